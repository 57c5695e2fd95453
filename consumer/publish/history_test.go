package publish_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// history is a plan that is being played.
type history struct {
	plan
	server *brokertest.Server
	p      *publish.Publisher
	began  time.Time

	mu       sync.Mutex
	calls    [][]*call
	taps     []*tap
	events   []fsm.Event
	occurred []string
	wrong    []string
}

// call is a sending that was played.
type call struct {
	sending
	name     string // in the body, between <>
	returned time.Time
	waited   *publish.Confirmation
	err      error
}

// tap keeps what a client writes.
type tap struct {
	net.Conn
	mu      sync.Mutex
	written []byte
}

func (t *tap) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written = append(t.written, p[:n]...)
	return n, err
}

// copies is how often a message was written.
func (t *tap) copies(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Count(t.written, []byte("<"+name+">"))
}

func (h *history) dial(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := h.server.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := &tap{Conn: raw}
	h.taps = append(h.taps, t)
	return t, nil
}

// within is how long all may take once nothing is wrong any more.
const within = 3 * time.Minute

// playHistory runs in a bubble.
func playHistory(p plan) *history {
	h := &history{plan: p, began: time.Now(), calls: make([][]*call, len(p.senders))}
	var err error
	h.server, err = brokertest.Start(brokertest.Config{InMemory: true, Version: p.version, MaxMessageSize: largest})
	h.check(err)
	defer h.server.Close()
	h.declare()
	h.p, err = publish.New(publish.Config{
		URLs: []string{h.server.URL()}, Dial: h.dial, Name: "history", Window: p.window, WindowBytes: p.windowBytes,
		Observers: []func(fsm.Event){func(e fsm.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		}},
	})
	h.check(err)
	h.p.SetCredit(p.credit)
	ended := make(chan error, 1)
	go func() { ended <- h.p.Run(context.Background()) }()

	var senders, faults sync.WaitGroup
	for i := range p.senders {
		senders.Go(func() { h.send(i) })
	}
	for _, f := range p.faults {
		faults.Go(func() { h.fail(f) })
	}
	if p.stop > 0 {
		time.Sleep(p.stop)
		h.stopAmidIt(ended)
	}
	played := make(chan struct{})
	go func() {
		defer close(played)
		faults.Wait()
		senders.Wait()
	}()
	select {
	case <-played:
	case <-time.After(10 * time.Minute):
		h.blame("it goes on and on: %+v", h.p.Stats())
		stopped, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.p.Stop(stopped)
		<-played
	}
	if p.stop == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := h.p.Flush(ctx); err != nil {
			h.blame("after %v: %v, %+v", within, err, h.p.Stats())
		}
	}
	h.collect()
	h.check(h.p.Check())
	if p.stop == 0 {
		h.check(h.p.Stop(context.Background()))
		h.check(<-ended)
	}
	h.judge()
	return h
}

func (h *history) declare() {
	for _, t := range healthy {
		h.check(h.server.DeclareQueue(t.queue(), nil))
	}
	h.check(h.server.DeclareQueue(full.key, map[string]any{"x-max-length": int64(2), "x-overflow": "reject-publish"}))
	h.check(h.server.DeclareExchange("ex", "direct", nil))
	for _, t := range healthy {
		if t.exchange != "" {
			h.check(h.server.Bind(t.exchange, t.key, t.queue(), nil))
		}
	}
}

// stopAmidIt ends the publisher, and holds its promises of the end against what has become of each message.
func (h *history) stopAmidIt(ended <-chan error) {
	ctx := context.Background()
	if h.hard {
		soon, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		ctx = soon
	}
	began := time.Now()
	if err := h.p.Stop(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		h.blame("Stop: %v", err)
	}
	if took := time.Since(began); took > 30*time.Second || h.hard && took > 5*time.Second {
		h.blame("Stop took %v", took)
	}
	left := h.p.Stats()
	err := <-ended
	if (left.NotSent+left.NotKnown == 0) && err != nil || err != nil && !errors.Is(err, publish.ErrStopped) {
		h.blame("Run: %v, and %+v", err, left)
	}
}

func (h *history) send(sender int) {
	for i, s := range h.senders[sender] {
		time.Sleep(s.pause)
		h.check(h.p.Check())
		c := &call{sending: s, name: fmt.Sprintf("s%d.%d", sender, i)}
		h.mu.Lock()
		h.calls[sender] = append(h.calls[sender], c)
		h.mu.Unlock()
		ctx, cancel := context.Background(), func() {}
		if s.patience > 0 {
			ctx, cancel = context.WithTimeout(ctx, s.patience)
		}
		if s.async {
			c.waited, c.err = h.p.Send(ctx, c.message())
		} else {
			c.err = h.p.Publish(ctx, c.message())
		}
		cancel()
		c.returned = time.Now()
	}
}

// message is what a call sends.
func (c *call) message() *broker.Message {
	m := &broker.Message{Exchange: c.to.exchange, RoutingKey: c.to.key, Body: fmt.Appendf(nil, "<%s>%*s", c.name, c.body, "")}
	switch c.is {
	case noID:
		m.NoMessageID = true
	case sameID:
		m.MessageID = "shared"
	case headers:
		m.Headers = map[string]any{"n": int32(1), "text": "word"}
	case tooLarge:
		m.Body = append(m.Body, make([]byte, largest)...)
	case wrongUser:
		m.UserID = "other"
	case noNumber:
		m.Expiration = "soon"
	case bigHeaders:
		m.Headers = map[string]any{"big": strings.Repeat("x", 140_000)}
	case notUTF8:
		m.RoutingKey += "\xff"
	}
	return m
}

// collect learns what became of what was sent with Send.
func (h *history) collect() {
	for _, c := range slices.Concat(h.calls...) {
		if c.waited == nil {
			continue
		}
		select {
		case <-c.waited.Done():
			c.err = c.waited.Err()
		default:
			h.blame("%s is not settled: %v", c.name, c.sending)
		}
	}
}

// fail plays a fault, and its end.
func (h *history) fail(f fault) {
	time.Sleep(f.at)
	h.note("%s begins: %+v", f.what, f)
	s := h.server
	end := func() {}
	now := func(f brokertest.Fault) { s.Inject(brokertest.Now(), f) }
	switch f.what {
	case "reset":
		now(brokertest.Reset())
	case "hang up":
		now(brokertest.HangUp())
	case "close":
		now(brokertest.CloseConnection(320, "an operator wants it so"))
	case "reset at method":
		s.Inject(brokertest.OnMethod([]string{"basic.publish", "basic.ack", "channel.open"}[f.n%3], f.n/3+1), brokertest.Reset())
	case "reset after bytes":
		s.Inject(brokertest.AfterReceived(f.n*97), brokertest.Reset())
	case "freeze":
		now(brokertest.Freeze(brokertest.Both))
		end = func() { now(brokertest.Thaw()) }
	case "freeze to client":
		now(brokertest.Freeze(brokertest.ToClient))
		end = func() { now(brokertest.Thaw()) }
	case "refuse":
		s.RefuseConnections()
		now(brokertest.Reset())
		end = func() { h.check(s.AcceptConnections()) }
	case "stop app":
		s.StopApp()
		end = func() { h.check(s.StartApp()) }
	case "alarm":
		s.Alarm("")
		end = s.ClearAlarm
	case "close channel":
		s.Inject(brokertest.OnMethod("basic.publish", f.n), brokertest.CloseChannel(406, "for no reason"))
	case "suspend":
		s.SuspendQueue(f.queue)
		end = func() { s.ResumeQueue(f.queue) }
	case "withhold":
		s.WithholdConfirms(f.queue)
		end = func() { s.ReleaseConfirms(f.queue) }
	case "delay":
		now(brokertest.Delay(50 * time.Millisecond))
		end = func() { now(brokertest.Delay(0)) }
	case "delete queue":
		s.DeleteQueue(f.queue)
		end = h.declare
	case "delete exchange":
		s.DeleteExchange("ex")
		end = h.declare
	default:
		h.blame("there is no fault %q", f.what)
	}
	time.Sleep(time.Millisecond)
	h.check(h.p.Check())
	time.Sleep(f.lasts)
	end()
	h.note("%s has ended", f.what)
}

func (h *history) check(err error) {
	if err != nil {
		h.blame("%v", err)
	}
}

func (h *history) blame(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

func (h *history) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.occurred = append(h.occurred, fmt.Sprintf("%8v ", time.Since(h.began))+fmt.Sprintf(format, args...))
}
