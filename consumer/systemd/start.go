package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
)

// Source is a consumer, or what stands for one.
type Source interface{ Status() consumer.Status }

const (
	// lookEvery is how often the consumers are looked at, unless WatchdogSec is short.
	lookEvery = time.Second
	// looks is how often they are looked at within WatchdogSec: one that is late by a busy machine does no harm.
	looks = 4
	// writeTimeout is how long systemd may take to make room for a message.
	writeTimeout = time.Second
)

// Start tells systemd how the consumers are, all of them together, until stop is called: once they have returned from Run. It
// does nothing unless systemd wants to know, which it says by NOTIFY_SOCKET. There is an error if it cannot be told; what is
// lost later is not told to anybody.
func Start(consumers ...Source) (stop func(), err error) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" || len(consumers) == 0 {
		return func() {}, nil
	}
	every, feeds, err := watchdog(os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID"))
	n := &notifier{address: address, consumers: consumers, feeds: feeds}
	if err := errors.Join(err, n.look()); err != nil {
		return func() {}, err
	}
	done := make(chan struct{})
	var looker sync.WaitGroup
	looker.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = n.look()
			case <-done:
				n.stop()
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		looker.Wait()
	}), nil
}

// watchdog returns how often to look, and whether to feed the watchdog.
func watchdog(usec, pid string) (every time.Duration, feeds bool, err error) {
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) { // that is for another process
		return lookEvery, false, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 {
		return 0, false, fmt.Errorf("systemd: WATCHDOG_USEC=%q: expected microseconds", usec)
	}
	return max(time.Millisecond, min(lookEvery, time.Duration(n)*time.Microsecond/looks)), true, nil
}

// notifier knows what systemd has been told.
type notifier struct {
	address   string
	consumers []Source
	feeds     bool

	ready, stopping bool
	words           string
}

// look tells what has changed.
func (n *notifier) look() error {
	ready, alive, stopping := true, true, true
	var words []string
	for _, c := range n.consumers {
		s := c.Status()
		ready, alive = ready && s.Ready(), alive && s.Alive()
		stopping = stopping && ends(s)
		words = append(words, inWords(s))
	}
	var news []string
	if ready && !n.ready {
		n.ready = true
		news = append(news, "READY=1")
	}
	if stopping && !n.stopping {
		n.stopping = true
		news = append(news, "STOPPING=1")
	}
	if text := strings.Join(words, " | "); text != n.words {
		n.words = text
		news = append(news, "STATUS="+text)
	}
	if alive && n.feeds {
		news = append(news, "WATCHDOG=1")
	}
	return n.send(news...)
}

// stop is for what came since the last look.
func (n *notifier) stop() {
	if !n.stopping {
		_ = n.send("STOPPING=1")
	}
}

func (n *notifier) send(news ...string) error {
	if len(news) == 0 {
		return nil
	}
	// @ at the begin stands for an abstract address, in package net, too.
	conn, err := net.Dial("unixgram", n.address)
	if err != nil {
		return fmt.Errorf("systemd: NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	if err = conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
		_, err = conn.Write([]byte(strings.Join(news, "\n")))
	}
	if err != nil {
		return fmt.Errorf("systemd: NOTIFY_SOCKET: %w", err)
	}
	return nil
}

// ends tells whether a consumer stops, or has.
func ends(s consumer.Status) bool {
	return slices.ContainsFunc(s.NotReady, func(r consumer.Reason) bool {
		return r.Code == consumer.ReasonStopping || r.Code == consumer.ReasonStopped
	})
}

// inWords is one line: another one would be another message. What is in it may be a broker's words.
func inWords(s consumer.Status) string {
	text := string(s.State) + ", ready"
	switch {
	case !s.Alive():
		text = fmt.Sprintf("%s, not alive: %s", s.State, s.NotAlive[0].Text)
	case !s.Ready():
		text = fmt.Sprintf("%s, not ready: %s", s.State, s.NotReady[0].Text)
		if queue := s.NotReady[0].Queue; queue != "" {
			text += " (" + queue + ")"
		}
	}
	if s.Name != "" {
		text = s.Name + ": " + text
	}
	return strings.Join(strings.Fields(text), " ")
}
