package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// misconduct is what a function of the caller's does instead of what it is there for.
type misconduct func(w *suppliedWorld)

var misconducts = map[string]misconduct{
	"hangs":  func(w *suppliedWorld) { w.hung.Store(true); <-w.release },
	"panics": func(*suppliedWorld) { panic("no") },
	"ends its goroutine": func(*suppliedWorld) {
		runtime.Goexit()
	},
	"pauses and resumes": func(w *suppliedWorld) {
		h := w.c.Load().Subscription("work")
		_, _ = h.Pause(), h.Resume()
	},
	"sets the prefetch": func(w *suppliedWorld) { _ = w.c.Load().Subscription("work").SetPrefetch(3) },
	"stops": func(w *suppliedWorld) {
		if w.stopping.Load() {
			_ = w.c.Load().Stop(context.Background())
		}
	},
}

type suppliedWorld struct {
	server         *brokertest.Server
	c              atomic.Pointer[consumer.Consumer]
	release        chan struct{}
	hung, stopping atomic.Bool
	calls          atomic.Int64
	do             misconduct
}

// misbehave is called in the place of what it does. It behaves from its third call on, but again in the end; what hangs
// does not return.
func (w *suppliedWorld) misbehave() {
	if w.c.Load() != nil && (w.calls.Add(1) <= 2 || w.stopping.Load()) {
		w.do(w)
	}
}

var errParked = consumer.Permanent(errors.New("to be parked"))

// supplied are the functions that a program gives to a consumer.
var supplied = map[string]func(*suppliedWorld, *consumer.Config, *consumer.Subscription){
	"Handler": func(w *suppliedWorld, _ *consumer.Config, s *consumer.Subscription) {
		s.Handler = func(context.Context, *consumer.Delivery) error { w.misbehave(); return nil }
	},
	"OrderingKey": func(w *suppliedWorld, _ *consumer.Config, s *consumer.Subscription) {
		s.OrderingKey = func(*consumer.Delivery) string { w.misbehave(); return "" }
	},
	"Dedup.ID": func(w *suppliedWorld, _ *consumer.Config, s *consumer.Subscription) {
		s.Dedup = consumer.Dedup{Window: 10, ID: func(*consumer.Delivery) string { w.misbehave(); return "" }}
	},
	"Commit": func(w *suppliedWorld, _ *consumer.Config, s *consumer.Subscription) {
		s.Commit = func(context.Context) error { w.misbehave(); return nil }
	},
	"OnStale": func(w *suppliedWorld, c *consumer.Config, s *consumer.Subscription) {
		var calls atomic.Int64
		s.Handler = func(context.Context, *consumer.Delivery) error {
			if calls.Add(1) == 1 {
				w.server.Inject(brokertest.Now(), brokertest.Reset())
				time.Sleep(time.Second / 4)
			}
			return nil
		}
		c.OnStale = func(consumer.Stale) { w.misbehave() }
	},
	"an observer": func(w *suppliedWorld, c *consumer.Config, _ *consumer.Subscription) {
		c.Observers = []func(fsm.Event){func(e fsm.Event) {
			if e.Kind == fsm.KindTransition {
				w.misbehave()
			}
		}}
	},
	"the writer of the Logger": func(w *suppliedWorld, c *consumer.Config, s *consumer.Subscription) {
		c.Logger = zerolog.New(writer(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("handler failed")) || bytes.Contains(p, []byte("transition")) {
				w.misbehave()
			}
			return len(p), nil
		}))
		var calls atomic.Int64
		s.Handler = func(context.Context, *consumer.Delivery) error {
			if calls.Add(1) <= 2 {
				return errors.New("fails")
			}
			return nil
		}
	},
	"Credentials, for the second connection": func(w *suppliedWorld, c *consumer.Config, s *consumer.Subscription) {
		s.Handler = func(context.Context, *consumer.Delivery) error { return errParked }
		var calls atomic.Int64
		c.Credentials = func(context.Context) (broker.Credentials, error) {
			if calls.Add(1) > 1 {
				w.misbehave()
			}
			return broker.NewCredentials("guest", "guest"), nil
		}
	},
	"Dial, for the second connection": func(w *suppliedWorld, c *consumer.Config, s *consumer.Subscription) {
		s.Handler = func(context.Context, *consumer.Delivery) error { return errParked }
		var calls atomic.Int64
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if calls.Add(1) > 1 {
				w.misbehave()
			}
			return w.server.Dial(ctx, network, address)
		}
	},
}

// Whatever a function of the caller's does: another subscription goes on, Run returns in time, and what the function was
// called for is done in the end, unless it hangs.
func TestSuppliedFunctionsCostOnlyThemselves(t *testing.T) {
	for function, set := range supplied {
		for name, do := range misconducts {
			t.Run(function+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { besides(t, set, do, name == "hangs") })
			})
		}
	}
}

func besides(t *testing.T, set func(*suppliedWorld, *consumer.Config, *consumer.Subscription), do misconduct, hangs bool) {
	w := &suppliedWorld{server: brokertest.NewInMemoryServer(t), release: make(chan struct{}), do: do}
	if err := errors.Join(w.server.DeclareQueue("work", nil), w.server.DeclareQueue("other", nil), w.server.Publish("work", "1", "2", "3")); err != nil {
		t.Fatal(err)
	}
	var others atomic.Int64
	work := consumer.Subscription{Queue: "work", Handler: nothing}
	config := consumer.Config{URLs: []string{w.server.URL()}, Dial: w.server.Dial, GracePeriod: 2 * time.Second, HealWithin: -1}
	set(w, &config, &work)
	config.Subscriptions = []consumer.Subscription{work, {
		Queue: "other", Handler: func(context.Context, *consumer.Delivery) error { others.Add(1); return nil },
	}}
	c, err := consumer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w.c.Store(c)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	time.Sleep(2 * time.Second)
	for n := range int64(60) {
		if err := w.server.Publish("other", "x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if others.Load() <= n {
			t.Fatalf("after %d s: %d of the neighbour's messages are handled", n, others.Load())
		}
	}
	if w.calls.Load() == 0 {
		t.Error("it was not called")
	}
	if s := c.Subscription("work").Stats(); s.Acknowledged+s.Parked != 3 && !hangs {
		t.Errorf("of 3 messages: %+v", s)
	}
	w.stopping.Store(true)
	began := time.Now()
	go func() { _ = c.Stop(context.Background()) }()
	err = <-ended
	most := time.Second / 2
	if hangs {
		most = config.GracePeriod + 4*time.Second
	}
	if took := time.Since(began); took > most {
		t.Errorf("Run returned %v after Stop", took)
	}
	if err != nil && (!hangs || !errors.Is(err, consumer.ErrUnfinished)) {
		t.Error(err)
	}
	if hangs != w.hung.Load() {
		t.Errorf("it hung: %v", w.hung.Load())
	}
	close(w.release)
	time.Sleep(time.Hour) // what was left behind ends
}
