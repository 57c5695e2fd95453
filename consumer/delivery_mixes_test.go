package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// mix is how a backlog is handled: by so many handlers, of which some are held up for all the time, and others
// take long now and then.
type mix struct {
	concurrency, prefetch int
	stuck                 int           // messages whose handlers return only in the end
	slow                  int           // each so-and-so-manieth takes its time; 0: none
	takes                 time.Duration // its time
	messages              int
}

func (m mix) String() string {
	text := fmt.Sprintf("%d-handlers,prefetch-%d", m.concurrency, m.prefetch)
	if m.stuck > 0 {
		text += fmt.Sprintf(",%d-stuck", m.stuck)
	}
	if m.slow > 0 {
		text += fmt.Sprintf(",1-in-%d-takes-%v", m.slow, m.takes)
	}
	return text
}

type dial func(ctx context.Context, network, address string) (net.Conn, error)

// consume has the mix handled once. It returns the time from the first message that was not stuck to the last,
// and how many frames had acknowledged them by then.
func (m mix) consume(tb testing.TB, server *brokertest.Server, dial dial, each bool) (took time.Duration, frames int) {
	tb.Helper()
	bodies := slices.Concat(slices.Repeat([]string{"stuck"}, m.stuck), slices.Repeat([]string{"x"}, m.messages))
	if err := errors.Join(server.DeclareQueue("work", nil), server.Publish("work", bodies...)); err != nil {
		tb.Fatal(err)
	}
	let, done := make(chan struct{}), make(chan struct{})
	var began, ended atomic.Int64
	var first time.Time
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()}, Dial: dial,
		Subscriptions: []consumer.Subscription{{
			Queue: "work", Concurrency: m.concurrency, Prefetch: m.prefetch, AckEach: each,
			Handler: func(_ context.Context, d *consumer.Delivery) error {
				if string(d.Body) == "stuck" {
					<-let
					return nil
				}
				n := began.Add(1)
				if n == 1 {
					first = time.Now()
				}
				if m.slow > 0 && n%int64(m.slow) == 0 {
					<-time.After(m.takes) // the work
				}
				if ended.Add(1) == int64(m.messages) {
					took = time.Since(first)
					close(done)
				}
				return nil
			},
		}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- c.Run(context.Background()) }()
	<-done
	frames = server.Count("basic.ack")
	close(let)
	if err := errors.Join(c.Stop(context.Background()), <-over); err != nil {
		tb.Fatal(err)
	}
	return took, frames
}

// Gathering acknowledgements keeps nobody waiting, whatever the mix of fast and slow handlers: in a bubble, where
// nothing takes time but the handlers and the way to the broker. Where the way is long, and the prefetch is what
// limits the rate, what is gathered is missing for a moment. Who runs first is chance even there, and makes a few
// per cent, so that the limits leave room: BenchmarkMixes holds it to 0.95.
func TestGatheringKeepsNobodyWaiting(t *testing.T) {
	for _, way := range []struct {
		lag   time.Duration
		least float64 // of AckEach's rate
	}{{50 * time.Microsecond, 0.88}, {500 * time.Microsecond, 0.8}, {2300 * time.Microsecond, 0.8}} {
		if testing.Short() && way.lag != 500*time.Microsecond {
			continue
		}
		for _, m := range []mix{
			{concurrency: 1, prefetch: 1},
			{concurrency: 1, prefetch: 11},
			{concurrency: 1, prefetch: 23},
			{concurrency: 1, prefetch: 250},
			{concurrency: 4, prefetch: 23},
			{concurrency: 16, prefetch: 16},
			{concurrency: 16, prefetch: 64},
			{concurrency: 16, prefetch: 64, stuck: 15},
			{concurrency: 64, prefetch: 64, stuck: 30},
			{concurrency: 64, prefetch: 64, stuck: 60},
			{concurrency: 64, prefetch: 64, stuck: 63},
			{concurrency: 1, prefetch: 8, slow: 1, takes: time.Millisecond},
			{concurrency: 4, prefetch: 8, slow: 1, takes: time.Millisecond},
			{concurrency: 4, prefetch: 8, slow: 3, takes: 3 * time.Millisecond},
			{concurrency: 16, prefetch: 16, slow: 1, takes: time.Millisecond},
			{concurrency: 16, prefetch: 20, slow: 10, takes: time.Millisecond},
			{concurrency: 16, prefetch: 64, slow: 10, takes: time.Millisecond},
			{concurrency: 16, prefetch: 64, slow: 100, takes: 20 * time.Millisecond},
			{concurrency: 64, prefetch: 64, slow: 10, takes: 5 * time.Millisecond},
			{concurrency: 4, prefetch: 64, slow: 100, takes: 20 * time.Millisecond},
		} {
			m.messages = 2000
			t.Run(fmt.Sprintf("%v,%v-away", m, way.lag), func(t *testing.T) {
				each, gathered := m.inBubble(t, way.lag, true), m.inBubble(t, way.lag, false)
				gathered -= 2 * way.lag // it may be one round trip behind in the end
				if ratio := float64(each) / float64(gathered); ratio < way.least {
					t.Errorf("it took %v, and with AckEach %v: its rate is %.3f of that, and %v is the least", gathered, each, ratio, way.least)
				}
			})
		}
	}
}

func (m mix) inBubble(t *testing.T, lag time.Duration, each bool) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		server, err := brokertest.Start(brokertest.Config{InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		took, _ = m.consume(t, server, func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := server.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return lagging(conn, lag), nil
		}, each)
		server.Close()
	})
	return took
}

// lagging gives a connection a long way: what goes in at one end comes out at the other one after the lag,
// however much is under way.
func lagging(inner net.Conn, lag time.Duration) net.Conn {
	near, far := net.Pipe()
	carry(far, inner, lag)
	carry(inner, far, lag)
	return near
}

func carry(to, from net.Conn, lag time.Duration) {
	type parcel struct {
		bytes []byte
		due   time.Time
	}
	road := make(chan parcel, 1<<12)
	go func() {
		defer close(road)
		for {
			chunk := make([]byte, 1<<12)
			n, err := from.Read(chunk)
			if err != nil {
				return
			}
			road <- parcel{chunk[:n], time.Now().Add(lag)}
		}
	}()
	go func() {
		defer to.Close()
		for p := range road {
			<-time.After(time.Until(p.due))
			if _, err := to.Write(p.bytes); err != nil {
				_, _ = io.Copy(io.Discard, from) // until that end is closed, too
				return
			}
		}
	}()
}
