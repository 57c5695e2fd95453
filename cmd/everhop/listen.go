package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/prom"
	"github.com/everhop/everhop/fsm/journal"
)

var portAlone = regexp.MustCompile(`^:?[0-9]+$`)

// listenAddress accepts host:port, and a port of this machine.
func listenAddress(target *string) value[string] {
	return value[string]{target, "ADDRESS", "an address such as 127.0.0.1:9090 or 0.0.0.0:9090, or a port of 127.0.0.1 such as 9090",
		func(text string) (string, bool) {
			if portAlone.MatchString(text) { // others are to see it only if that is said
				text = "127.0.0.1:" + strings.TrimPrefix(text, ":")
			}
			host, port, err := net.SplitHostPort(text)
			n, bad := strconv.ParseUint(port, 10, 16)
			return net.JoinHostPort(host, strconv.FormatUint(n, 10)), err == nil && bad == nil && host != ""
		}}
}

// window shows a consumer to those who ask over HTTP.
type window struct {
	listener net.Listener
	events   *health.Events
	metrics  *prom.Collector
	logger   zerolog.Logger
}

// openWindow takes the address before anything is consumed.
func openWindow(address string, logger zerolog.Logger) (*window, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--listen %s: another process listens there; end it, or choose another port", address)
	}
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("--listen %s: %w; choose an address of this machine and a port above 1023", address, err)
	}
	return &window{listener, health.NewEvents(), prom.New(prom.Config{}), logger}, nil
}

// farewell is how long the last answers may take.
const farewell = time.Second

// observe has it told of what happens to the consumer, and to its publisher.
func (w *window) observe(c *consumer.Config) {
	c.Observers = append(c.Observers, w.events.Observe, w.metrics.Observe)
	c.PublisherObservers = append(c.PublisherObservers, w.metrics.ObservePublisher)
}

// mostRemembered is how much of a journal is read before anything is consumed, in bytes: a day of idling, and less than a
// second's work.
const mostRemembered = 16 << 20

// remember has it show what was before this process, as far as the newest files of the journal tell.
func (w *window) remember(dir string) {
	entries, err := os.ReadDir(dir) // sorted by name: the newest is the last one
	var files []string
	size := int64(0)
	for _, entry := range slices.Backward(entries) {
		path := filepath.Join(dir, entry.Name())
		if !journal.IsSegment(path) {
			continue
		}
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
		if len(files) > 0 && size > mostRemembered {
			break
		}
		files = append(files, path)
	}
	for _, path := range slices.Backward(files) {
		for e := range journal.Until(journal.Read(path), &err) {
			w.events.Observe(e)
		}
	}
	if err != nil { // what can be read is shown
		w.logger.Warn().Err(err).Msg("--listen: not all of the journal's past is shown")
	}
}

// show answers until the returned function is called.
func (w *window) show(c *consumer.Consumer) (end func()) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(w.metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	_ = w.metrics.Add(c) // there is no other one of its name
	pages, mux := health.New(c, w.events, health.Options{}), http.NewServeMux()
	mux.Handle("/", pages)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      time.Minute, // streams of events have one for each write
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(w.logger, "", 0),
	}
	server.RegisterOnShutdown(pages.Close)
	served := make(chan error, 1)
	go func() { served <- server.Serve(w.listener) }()
	w.logger.Info().Str("address", w.listener.Addr().String()).Msg("status and health can be asked for, and a page: http://" + w.listener.Addr().String() + "/")
	return func() {
		ctx, over := context.WithTimeout(context.Background(), farewell)
		defer over()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			w.logger.Error().Err(err).Msg("--listen: nobody was answered any more")
		}
	}
}
