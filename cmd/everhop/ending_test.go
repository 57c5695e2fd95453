package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// It stops when the queues are empty, and not while a message is being handled or waits to be tried again.
func TestConsumeUntilEmpty(t *testing.T) {
	tests := []struct {
		name, exec, flags string
		parked            int
	}{
		{"written", "", "", 0},
		{"slow commands", "sleep 0.5", "", 0},
		{"tried again", "false", "--attempts 2 --backoff 500ms", 3},
		{"at a pace", "", "--max-rate 4", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := twoQueues(t)
			args := append(strings.Fields("consume --until-empty --queue a --queue b --url "+server.URL()), strings.Fields(tt.flags)...)
			if tt.exec != "" {
				args = append(args, "--exec", tt.exec)
			}
			status, stdout, stderr := inProcess(t, args...)
			if status != 0 || !strings.Contains(stderr, "the queue is empty: stopping") {
				t.Errorf("exit status %d\n%s", status, stderr)
			}
			if tt.exec == "" && strings.Count(stdout, "\n") != 6 {
				t.Errorf("written: %q", stdout)
			}
			for _, queue := range []string{"a", "b"} {
				if ready(server, queue) != 0 || ready(server, queue+".parked") != tt.parked {
					t.Errorf("queue %s: %d, parked %d", queue, ready(server, queue), ready(server, queue+".parked"))
				}
			}
		})
	}
}

// resting is a consumer of queue q that stops by itself, in a bubble.
type resting struct {
	server *brokertest.Server
	ended  chan struct{}
	result error
	log    transcript
}

func rest(t *testing.T, handle consumer.Handler, flags string, messages ...string) *resting {
	t.Helper()
	w := &resting{server: brokertest.NewInMemoryServer(t), ended: make(chan struct{})}
	if err := errors.Join(w.server.DeclareQueue("q", nil), w.server.Publish("q", messages...)); err != nil {
		t.Fatal(err)
	}
	f := newConsumption()
	if err := f.command().ParseFlags(strings.Fields("--queue q --url " + w.server.URL() + " " + flags)); err != nil {
		t.Fatal(err)
	}
	urls, endpoints, err := f.url.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	sub := f.subscription()
	sub.Handler = handle
	if f.every > 0 {
		sub.Handler = paced(ctx, f.every, handle)
	}
	config := f.config(urls, sub, zerolog.New(&w.log), stop)
	config.Dial = w.server.Dial
	c, err := consumer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	unwatched := f.watchEnding(ctx, c, endpoints, config, zerolog.New(&w.log), stop)
	go func() {
		defer close(w.ended)
		w.result = errors.Join(c.Run(ctx), unwatched())
	}()
	t.Cleanup(func() {
		stop()
		<-w.ended
	})
	return w
}

// runs expects that it still runs after so long.
func (w *resting) runs(t *testing.T, d time.Duration) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	select {
	case <-w.ended:
		t.Fatalf("it has stopped: %v\n%s", w.result, &w.log)
	default:
	}
}

// stops expects that it stops within so long.
func (w *resting) stops(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-w.ended:
	case <-time.After(d):
		t.Fatalf("it runs\n%s", &w.log)
	}
}

func handled(context.Context, *consumer.Delivery) error { return nil }

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := rest(t, handled, "--idle-timeout 10s", "1", "2")
		for range 5 {
			w.runs(t, 9*time.Second)
			if err := w.server.Publish("q", "more"); err != nil {
				t.Fatal(err)
			}
		}
		w.runs(t, 9*time.Second)
		w.stops(t, 2*time.Second)
		if w.result != nil || !strings.Contains(w.log.String(), "nothing has come for 10s: stopping") {
			t.Errorf("%v\n%s", w.result, &w.log)
		}
	})
}

// A handler at work, an outage and a queue that is not there are no idleness.
func TestIdleTimeoutIsOfAConsumerAtRest(t *testing.T) {
	t.Run("handler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := rest(t, func(context.Context, *consumer.Delivery) error { time.Sleep(time.Minute); return nil }, "--idle-timeout 10s", "1")
			w.runs(t, 69*time.Second)
			w.stops(t, 2*time.Second)
		})
	})
	t.Run("outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := rest(t, handled, "--idle-timeout 10s", "1")
			w.runs(t, 5*time.Second)
			w.server.StopApp()
			w.runs(t, time.Minute)
			if err := w.server.StartApp(); err != nil {
				t.Fatal(err)
			}
			w.runs(t, 9*time.Second)
			w.stops(t, time.Minute) // it has to revive first
		})
	})
	t.Run("no queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := rest(t, handled, "--idle-timeout 10s")
			w.server.DeleteQueue("q")
			w.runs(t, time.Minute)
		})
	})
}

// Others may have its messages: it waits for the last one, and asks not too often meanwhile.
func TestUntilEmptyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := rest(t, func(context.Context, *consumer.Delivery) error { <-release; return nil }, "--until-empty --prefetch 1", "1", "2")
		w.runs(t, time.Minute)
		if n := w.server.Count("queue.declare"); n > 1 {
			t.Errorf("it asked %d times while a handler was at work", n)
		}
		close(release)
		w.stops(t, 2*time.Second)
		if q, _ := w.server.Queue("q"); q.Ready+q.Unacknowledged > 0 {
			t.Errorf("%+v", q)
		}
	})
}

// After a lost connection, what it had may come back until the broker's heartbeats have noticed.
func TestUntilEmptyAfterALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := rest(t, func(context.Context, *consumer.Delivery) error { time.Sleep(5 * time.Second); return nil }, "--until-empty --heartbeat 7s", "1")
		time.Sleep(time.Second)
		<-w.server.Inject(brokertest.Now(), brokertest.Reset()).Played
		w.runs(t, 14*time.Second)
		w.stops(t, time.Minute)
		if q, _ := w.server.Queue("q"); q.Ready+q.Unacknowledged > 0 {
			t.Errorf("%+v", q)
		}
	})
}

// It cannot tell for a while whether the queue is empty.
func TestUntilEmptyCannotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask, log := 0, transcript{}
		left := func(context.Context) (int, error) {
			if ask++; ask < 4 {
				return 0, errors.New("refused")
			}
			return 0, nil
		}
		server := brokertest.NewInMemoryServer(t)
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		c, err := consumer.New(consumer.Config{URLs: []string{server.URL()}, Dial: server.Dial, Subscriptions: []consumer.Subscription{{Queue: "q", Handler: handled}}})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		f, begin := ending{empty: true}, time.Now()
		if err := f.watch(ctx, c.Status, left, broker.DefaultHeartbeat, zerolog.New(&log), stop); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < 3*time.Second {
			t.Errorf("it asked four times within %v", took)
		}
		if err := <-ended; err != nil || ask != 5 || strings.Count(log.String(), "it cannot be asked") != 1 {
			t.Errorf("%v, asked %d times\n%s", err, ask, &log)
		}
	})
}

func TestUntilEmptyRefuses(t *testing.T) {
	tests := []struct{ flags, want string }{
		{"--queue q --until-empty --stream-offset first", "--until-empty: a stream keeps its messages, and is never empty; use --idle-timeout"},
		{"--queue q --until-empty --declare --declare-type stream", "--until-empty: a stream keeps its messages, and is never empty; use --idle-timeout"},
		{"--bind x --until-empty", "--until-empty: a temporary queue is empty from the beginning; use --idle-timeout"},
		{"--queue q --idle-timeout 0s", `--idle-timeout: "0s": expected a duration between 1ms and 86400s, such as 1500ms or 10s`},
		{"--queue q --max-rate 0", `--max-rate: "0": expected a number of messages per second, or per minute or hour, such as 1000, 90/m or 10/h`},
		{"--queue q --max-rate 5/d", `--max-rate: "5/d": expected a number of messages per second, or per minute or hour, such as 1000, 90/m or 10/h`},
	}
	for _, tt := range tests {
		t.Run(tt.flags, func(t *testing.T) { refuses(t, "consume", tt.flags, tt.want) })
	}
}

// Six messages at two a second take two and a half seconds, however many handlers there are.
func TestMaxRate(t *testing.T) {
	for _, flags := range []string{"--max-rate 2", "--max-rate 120/m --concurrency 6"} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var at []time.Time
			begin := time.Now()
			w := rest(t, func(context.Context, *consumer.Delivery) error {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Now())
				return nil
			}, flags, "1", "2", "3", "4", "5", "6")
			w.runs(t, 10*time.Second)
			mu.Lock()
			defer mu.Unlock()
			if len(at) != 6 {
				t.Fatalf("%d messages", len(at))
			}
			for i, at := range at {
				if got := at.Sub(begin).Round(100 * time.Millisecond); got != time.Duration(i)*500*time.Millisecond {
					t.Errorf("%s: message %d after %v", flags, i+1, got)
				}
			}
		})
	}
}

// What waits for its turn goes back when it stops.
func TestMaxRateStops(t *testing.T) {
	server := oneQueue(t, "1", "2", "3")
	p := prepareAlone(t, strings.Fields("consume --max-rate 1/h --concurrency 2 --queue q --url "+server.URL())...).start()
	p.logs(`"to":"Consuming"`)
	for p.stdout.String() == "" {
		time.Sleep(10 * time.Millisecond)
	}
	p.signal(syscall.SIGTERM)
	p.wait(0)
	if got := ready(server, "q"); got != 2 {
		t.Errorf("%d messages are left", got)
	}
}
