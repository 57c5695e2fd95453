package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// stuck is a broker of which one channel at a time does nothing more, from some method on, while the others go on: as
// when its queue does not answer.
type stuck struct {
	net.Conn
	mu      sync.Mutex
	method  [2]uint16 // of whose next one a channel gets stuck; 0: of none
	channel uint16    // that is stuck; 0: none is
	held    [][]byte
}

// serveStuck is serve, with a neighbour as the last subscription. The broker gets stuck as told.
func serveStuck(t *testing.T, subscriptions ...Subscription) (*brokertest.Server, Plan, *stuck) {
	t.Helper()
	neighbour := Subscription{Queue: "neighbour", Declare: &QueueOptions{}, Prefetch: 1}
	server, plan := serve(t, append(slices.Clone(subscriptions), neighbour)...)
	wire := &stuck{}
	plan.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := server.Dial(ctx, network, address)
		wire.Conn = c
		return wire, err
	}
	return server, plan, wire
}

func (w *stuck) hold(method string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.method, w.channel = numbers[method], 0
}

// Write relies on amqp091-go, which writes each method at once and alone.
func (w *stuck) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(p) > frameHeader+4 && p[0] == 1 {
		channel := binary.BigEndian.Uint16(p[1:])
		if w.method == [2]uint16{binary.BigEndian.Uint16(p[7:]), binary.BigEndian.Uint16(p[9:])} && channel != 1 { // not the probe's
			w.method, w.channel = [2]uint16{}, channel
		}
		if w.channel != 0 && channel == w.channel {
			w.held = append(w.held, slices.Clone(p))
			return len(p), nil
		}
	}
	return w.Conn.Write(p)
}

func (w *stuck) release(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.channel = 0
	for _, p := range w.held {
		if _, err := w.Conn.Write(p); err != nil {
			t.Error(err)
		}
	}
	w.held = nil
}

// accompany handles a message of the neighbour's every 100 ms until the test ends, and fails it when one takes time.
func accompany(t *testing.T, server *brokertest.Server, s *Session) {
	t.Helper()
	c := subscribe(t, s, len(s.plan.Subscriptions)-1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			var err error
			if d := took(func() {
				if err = server.Publish("neighbour", "x"); err != nil {
					return
				}
				if d, ok := c.Receive(nil); ok {
					err = c.Ack(d.DeliveryTag)
				} else {
					err = errors.New("it is lost")
				}
			}); d != 0 || err != nil {
				t.Errorf("the neighbour: %v, after %v", err, d)
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		synctest.Wait()
		if q, _ := server.Queue("neighbour"); q.Ready+q.Unacknowledged != 0 {
			t.Errorf("the neighbour's queue: %+v", q)
		}
	})
}

// wantChannels waits until what can be closed is.
func wantChannels(t *testing.T, server *brokertest.Server, s *Session, abandoned, channels int) {
	t.Helper()
	synctest.Wait()
	if n := s.Abandoned(); n != abandoned {
		t.Errorf("%d channels are abandoned, want %d", n, abandoned)
	}
	if c := server.Connections(); len(c) != 1 || c[0].Channels != channels {
		t.Errorf("the broker has %+v, want %d channels", c, channels)
	}
}
