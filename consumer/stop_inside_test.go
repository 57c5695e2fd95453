package consumer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Stop does not wait for the function that calls it, whatever context that uses: Run returns as soon as the
// function has, without an error, and the message that it handled is acknowledged. Nothing is left behind, or
// the bubble would not end.
func TestStopFromInside(t *testing.T) {
	type stop func(context.Context) // of the consumer; a test fails if it is not called
	background := context.Background()
	for name, set := range map[string]func(*consumer.Config, *brokertest.Server, stop){
		"handler": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Subscriptions[0].Handler = func(ctx context.Context, _ *consumer.Delivery) error { stop(ctx); return nil }
		},
		"handler, with another context": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Subscriptions[0].Handler = func(context.Context, *consumer.Delivery) error { stop(background); return nil }
		},
		"a goroutine of the handler's": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Subscriptions[0].Handler = func(ctx context.Context, _ *consumer.Delivery) error {
				done := make(chan struct{})
				go func() { defer close(done); stop(ctx) }()
				<-done
				return nil
			}
		},
		"middleware": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			s := &c.Subscriptions[0]
			s.Handler = consumer.Chain(s.Handler, func(next consumer.Handler) consumer.Handler {
				return func(ctx context.Context, d *consumer.Delivery) error { defer stop(background); return next(ctx, d) }
			})
		},
		"OrderingKey": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Subscriptions[0].OrderingKey = func(*consumer.Delivery) string { stop(background); return "" }
		},
		"Dedup.ID": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Subscriptions[0].Dedup = consumer.Dedup{Window: 1, ID: func(*consumer.Delivery) string { stop(background); return "" }}
		},
		"Commit": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Subscriptions[0].Commit = func(context.Context) error { stop(background); return nil }
		},
		"OnStale": func(c *consumer.Config, server *brokertest.Server, stop stop) {
			c.Subscriptions[0].Handler = func(context.Context, *consumer.Delivery) error {
				server.Inject(brokertest.Now(), brokertest.Reset())
				time.Sleep(time.Second / 4)
				return nil
			}
			c.OnStale = func(consumer.Stale) { stop(background) }
		},
		"an observer": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Observers = []func(fsm.Event){func(e fsm.Event) {
				if e.Trigger == consumer.Connected {
					stop(background)
				}
			}}
		},
		"the logger's writer": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Logger = zerolog.New(writer(func(p []byte) (int, error) { stop(background); return len(p), nil }))
		},
		"the journal": func(c *consumer.Config, _ *brokertest.Server, stop stop) {
			c.Journal = &stopping{Ring: fsm.NewRing(100), stop: stop}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := errors.Join(server.DeclareQueue("work", nil), server.Publish("work", "x")); err != nil {
					t.Fatal(err)
				}
				config := consumer.Config{
					URLs: []string{server.URL()}, Dial: server.Dial,
					Subscriptions: []consumer.Subscription{{
						Queue: "work", Handler: func(context.Context, *consumer.Delivery) error { return nil },
					}},
				}
				var c *consumer.Consumer
				var once sync.Once
				var called time.Time
				set(&config, server, func(ctx context.Context) {
					if c == nil { // New writes to the journal and the log, too
						return
					}
					once.Do(func() { called = time.Now() })
					if err := c.Stop(ctx); err != nil {
						t.Errorf("Stop: %v", err)
					}
				})
				made, err := consumer.New(config)
				if err != nil {
					t.Fatal(err)
				}
				c = made
				if err := c.Run(t.Context()); err != nil {
					t.Errorf("Run: %v", err)
				}
				if took := time.Since(called); called.IsZero() || took > time.Second/2 {
					t.Errorf("Stop was called at %v, and Run returned %v later", called, took)
				}
				q, _ := server.Queue("work")
				if n := c.Stats().Acknowledged; int(n)+q.Ready != 1 || q.Unacknowledged != 0 {
					t.Errorf("%d acknowledged, and the queue is %+v", n, q)
				}
			})
		})
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// stopping is a journal that stops the consumer.
type stopping struct {
	*fsm.Ring
	stop func(context.Context)
}

func (j *stopping) Append(e fsm.Event) error {
	if e.Trigger == consumer.Connected {
		j.stop(context.Background())
	}
	return j.Ring.Append(e)
}

// Outside, Stop waits, also if it is called with the context of another consumer's handler.
func TestStopOfAnotherConsumerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := errors.Join(server.DeclareQueue("work", nil), server.DeclareQueue("other", nil), server.Publish("work", "x")); err != nil {
			t.Fatal(err)
		}
		open := func(queue string, handler consumer.Handler) *consumer.Consumer {
			c, err := consumer.New(consumer.Config{
				URLs: []string{server.URL()}, Dial: server.Dial,
				Subscriptions: []consumer.Subscription{{Queue: queue, Handler: handler}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		other := open("other", nothing)
		ended := make(chan error, 1)
		go func() { ended <- other.Run(context.Background()) }()
		time.Sleep(time.Second)
		var c *consumer.Consumer
		c = open("work", func(ctx context.Context, _ *consumer.Delivery) error {
			if err := other.Stop(ctx); err != nil || other.State() != consumer.Disconnected {
				t.Errorf("Stop: %v, and the state is %s", err, other.State())
			}
			return c.Stop(ctx)
		})
		if err := errors.Join(c.Run(context.Background()), <-ended); err != nil {
			t.Error(err)
		}
	})
}

func nothing(context.Context, *consumer.Delivery) error { return nil }
