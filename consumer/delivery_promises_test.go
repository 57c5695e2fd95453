package consumer_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// inBubble consumes the queue q, which holds these messages, in synthetic time, until test returns.
func inBubble(t *testing.T, s consumer.Subscription, messages []string, test func(*testing.T, *brokertest.Server, *consumer.Consumer, *book)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Second) // the last read has an end, too
		server, err := brokertest.Start(brokertest.Config{InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if err := errors.Join(server.DeclareQueue("q", nil), server.Publish("q", messages...)); err != nil {
			t.Fatal(err)
		}
		s.Queue = "q"
		journal := &book{}
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Journal: journal, Subscriptions: []consumer.Subscription{s},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := server.Dial(ctx, network, address)
				return slowLine{conn}, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() {
			if err := c.Run(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		defer running.Wait()
		defer c.Stop(context.WithoutCancel(t.Context()))
		test(t, server, c, journal)
	})
}

// pass lets time pass, and everybody come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// What goes back to the queue is counted in the last event, however slow the line is.
func TestStopReportsOverASlowLine(t *testing.T) {
	s := consumer.Subscription{Prefetch: 1000, Handler: func(context.Context, *consumer.Delivery) error {
		time.Sleep(10 * time.Millisecond)
		return nil
	}}
	messages := strings.Split(strings.Repeat("m", 1000), "")
	inBubble(t, s, messages, func(t *testing.T, server *brokertest.Server, c *consumer.Consumer, journal *book) {
		time.Sleep(2 * time.Second)
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		stats := c.Stats()
		// One that a worker gives back before the broker has heard of the end comes once more.
		if rest := 1000 - stats.Acknowledged; stats.Acknowledged == 0 || rest == 0 || stats.ReturnedUnstarted < rest || stats.ReturnedUnstarted > rest+1 {
			t.Errorf("%+v", stats)
		}
		last, _ := journal.Last()
		if why := consumer.EvidenceOf(last); why.ReturnedUnstarted != stats.ReturnedUnstarted || why.Unfinished != 0 {
			t.Errorf("%d were given back, and the last event is %+v", stats.ReturnedUnstarted, last)
		}
	})
}

// slowLine takes a while for each read.
type slowLine struct{ net.Conn }

func (l slowLine) Read(p []byte) (int, error) {
	time.Sleep(100 * time.Millisecond)
	return l.Conn.Read(p)
}

// A handler may do with its Delivery what it likes: the next attempt, and the parking queue, get it as it
// came.
func TestDeliveryIsTheHandlers(t *testing.T) {
	var calls []string
	s := consumer.Subscription{
		Retry: consumer.Retry{Attempts: 3},
		Handler: func(_ context.Context, d *consumer.Delivery) error {
			calls = append(calls, string(d.Body)+" of "+d.Queue)
			d.Body, d.Queue, d.Headers = []byte("changed"), "changed", map[string]any{"changed": true}
			return errors.New("it fails")
		},
	}
	inBubble(t, s, []string{"as it came"}, func(t *testing.T, server *brokertest.Server, c *consumer.Consumer, _ *book) {
		pass(time.Minute)
		if len(calls) != 3 {
			t.Errorf("%d calls", len(calls))
		}
		for i, call := range calls {
			if call != "as it came of q" {
				t.Errorf("call %d was given %s", i+1, call)
			}
		}
		parked := server.Messages("q.parked")
		if len(parked) != 1 || string(parked[0].Body) != "as it came" {
			t.Fatalf("parked: %+v", parked)
		}
		if _, changed := parked[0].Headers["changed"]; changed || parked[0].Headers[consumer.HeaderQueue] != "q" {
			t.Errorf("its headers are %v", parked[0].Headers)
		}
	})
}

// A Commit that fails is called again after RequeuePause, and not sooner because more was handled.
func TestFailedCommitWaits(t *testing.T) {
	var at []time.Time
	s := consumer.Subscription{
		RequeuePause: time.Second, // and messages come every millisecond
		Handler:      func(context.Context, *consumer.Delivery) error { time.Sleep(time.Millisecond); return nil },
		Commit: func(context.Context) error {
			at = append(at, time.Now())
			if len(at) < 4 {
				return errors.New("it fails")
			}
			return nil
		},
	}
	inBubble(t, s, strings.Split(strings.Repeat("m", 60), ""), func(t *testing.T, _ *brokertest.Server, c *consumer.Consumer, _ *book) {
		pass(10 * time.Second)
		if len(at) < 4 {
			t.Fatalf("%d calls", len(at))
		}
		for i := 1; i < 4; i++ {
			if pause := at[i].Sub(at[i-1]); pause != time.Second {
				t.Errorf("call %d came after %v", i+1, pause)
			}
		}
	})
}

// What was handled over a connection that is gone cannot be acknowledged: when its Commit fails, only that
// of the next connection goes on.
func TestFailedCommitOfALostConnection(t *testing.T) {
	var calls atomic.Int64
	var works atomic.Bool
	s := consumer.Subscription{
		Handler: func(context.Context, *consumer.Delivery) error { return nil },
		Commit: func(context.Context) error {
			calls.Add(1)
			if works.Load() {
				return nil
			}
			return errors.New("it fails")
		},
	}
	inBubble(t, s, []string{"m"}, func(t *testing.T, server *brokertest.Server, c *consumer.Consumer, _ *book) {
		for range 5 {
			time.Sleep(1500 * time.Millisecond)
			server.Inject(brokertest.Now(), brokertest.Reset())
		}
		pass(1500 * time.Millisecond)
		calls.Store(0)
		pass(10 * time.Second)
		if n := calls.Load(); n > 15 { // and without that, 60
			t.Errorf("%d calls in 10 s", n)
		}
		works.Store(true)
		pass(2 * time.Second)
		if q, _ := server.Queue("q"); q.Ready+q.Unacknowledged != 0 {
			t.Errorf("in the end the queue is %+v", q)
		}
	})
}

func TestSetConcurrencyMindsTheBreaker(t *testing.T) {
	s := consumer.Subscription{
		Handler: func(context.Context, *consumer.Delivery) error { return nil },
		Retry:   consumer.Retry{Attempts: 2},
		Breaker: consumer.Breaker{Failures: 7},
	}
	inBubble(t, s, nil, func(t *testing.T, _ *brokertest.Server, c *consumer.Consumer, _ *book) {
		synctest.Wait()
		if err := c.Subscription("q").SetConcurrency(3); err != nil {
			t.Error(err)
		}
		if err := c.Subscription("q").SetConcurrency(4); err == nil || !strings.Contains(err.Error(), "Breaker.Failures: 7 is not more than") {
			t.Errorf("4: %v", err)
		}
	})
}
