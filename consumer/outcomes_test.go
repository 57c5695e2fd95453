package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// telling runs a consumer of the queues in a bubble, and stops it behind the test.
func telling(t *testing.T, subscriptions []consumer.Subscription, test func(*brokertest.Server, *consumer.Consumer, *fsm.Ring)) *fsm.Ring {
	t.Helper()
	server := brokertest.NewInMemoryServer(t)
	for i := range subscriptions {
		if err := server.DeclareQueue(subscriptions[i].Queue, nil); err != nil {
			t.Fatal(err)
		}
	}
	ring := fsm.NewRing(10_000)
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()}, Dial: server.Dial, Journal: ring, Subscriptions: subscriptions, GracePeriod: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	synctest.Wait()
	test(server, c, ring)
	if err := c.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return ring
}

// named are the events of a name.
func named(ring *fsm.Ring, names ...string) (events []fsm.Event) {
	for _, e := range ring.Events() {
		if slices.Contains(names, e.Name) {
			events = append(events, e)
		}
	}
	return events
}

// outcomesOf adds up what a queue's outcomes say; of all, if it has no name.
func outcomesOf(ring *fsm.Ring, queue string) (sum consumer.Stats, calls uint64) {
	for _, e := range named(ring, consumer.NoteOutcomes) {
		why := consumer.EvidenceOf(e)
		if queue != "" && why.Queue != queue {
			continue
		}
		calls += why.Calls
		o := why.Outcomes()
		sum.Acknowledged += o.Acknowledged
		sum.Failed += o.Failed
		sum.Kept += o.Kept
		sum.Requeued += o.Requeued
		sum.Saved += o.Saved
		sum.Rejected += o.Rejected
		sum.Delayed += o.Delayed
		sum.Parked += o.Parked
		sum.Deduplicated += o.Deduplicated
		sum.ReturnedUnstarted += o.ReturnedUnstarted
		sum.Stale += o.Stale
	}
	return sum, calls
}

// Through all outcomes, losses and a hard stop, what the journal says comes to what Stats say, queue by queue.
func TestOutcomesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls [2]atomic.Uint64
		handler := func(of int) consumer.Handler {
			return func(ctx context.Context, d *consumer.Delivery) error {
				defer calls[of].Add(1)
				n := calls[of].Load()
				select {
				case <-time.After(time.Duration(n%7) * 100 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
				switch n % 11 {
				case 1:
					return consumer.Requeue
				case 2:
					return consumer.Reject
				case 3:
					return consumer.Permanent(errors.New("unknown article"))
				case 4:
					return consumer.RetryAfter(time.Hour)
				case 5:
					panic("boom")
				case 6:
					return errors.New("no answer")
				}
				return nil
			}
		}
		retry := consumer.Retry{Attempts: 2, Poison: consumer.Park}
		var c *consumer.Consumer
		ring := telling(t, []consumer.Subscription{
			{Queue: "a", Handler: handler(0), Retry: retry, Concurrency: 4},
			{Queue: "b", Handler: handler(1), Retry: retry},
		}, func(server *brokertest.Server, of *consumer.Consumer, _ *fsm.Ring) {
			c = of
			for range 10 {
				for _, queue := range []string{"a", "b"} {
					if err := server.Publish(queue, slices.Repeat([]string{"message"}, 50)...); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(17 * time.Second)
				server.Inject(brokertest.Now(), brokertest.Reset())
			}
			time.Sleep(300 * time.Millisecond) // and stop in the middle of it
		})
		for i, queue := range []string{"a", "b"} {
			sum, n := outcomesOf(ring, queue)
			h := c.Subscription(queue)
			if diff := cmp.Diff(h.Stats(), sum); diff != "" {
				t.Errorf("%s: Stats (-), the journal (+):\n%s", queue, diff)
			}
			if want := calls[i].Load(); n != want {
				t.Errorf("%s: %d calls, want %d", queue, n, want)
			}
		}
		all := c.Stats()
		for what, n := range map[string]uint64{"acknowledged": all.Acknowledged, "failed": all.Failed, "kept": all.Kept, "rejected": all.Rejected, "delayed": all.Delayed, "parked": all.Parked, "stale": all.Stale} {
			if n == 0 {
				t.Errorf("the test has none that is %s", what)
			}
		}
	})
}

// So they do when a handler that was left behind fails before Run has returned, or later.
func TestOutcomesOfWhoIsLeftBehind(t *testing.T) {
	for name, late := range map[string]time.Duration{"before Run has returned": 500 * time.Millisecond, "later": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := errors.Join(server.DeclareQueue("work", nil), server.Publish("work", "message")); err != nil {
					t.Fatal(err)
				}
				ring, stops := fsm.NewRing(1000), make(chan struct{})
				c, err := consumer.New(consumer.Config{
					URLs: []string{server.URL()}, Dial: server.Dial, Journal: ring, GracePeriod: time.Second,
					Observers: []func(fsm.Event){func(e fsm.Event) { // Run waits for it, for a second
						if e.Trigger == consumer.Stop {
							close(stops)
							time.Sleep(time.Hour)
						}
					}},
					Subscriptions: []consumer.Subscription{{Queue: "work", Handler: func(context.Context, *consumer.Delivery) error {
						<-stops
						time.Sleep(late)
						return errors.New("too late")
					}}},
				})
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- c.Run(context.Background()) }()
				synctest.Wait()
				_ = c.Stop(context.Background())
				if err := <-ended; !errors.Is(err, consumer.ErrUnfinished) {
					t.Errorf("Run: %v", err)
				}
				time.Sleep(2 * time.Hour)
				sum, _ := outcomesOf(ring, "work")
				if diff := cmp.Diff(c.Stats(), sum); diff != "" {
					t.Errorf("Stats (-), the journal (+):\n%s", diff)
				}
			})
		})
	}
}

// A minute's outcomes are told within seconds of its end, with how long handlers took; of a minute in which nothing
// happened, nothing is.
func TestOutcomesOfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().Truncate(time.Minute)
		ring := telling(t, []consumer.Subscription{
			{Queue: "busy", Handler: func(_ context.Context, d *consumer.Delivery) error {
				took, _ := time.ParseDuration(string(d.Body))
				time.Sleep(took)
				return nil
			}},
			{Queue: "idle", Handler: func(context.Context, *consumer.Delivery) error { return nil }},
		}, func(server *brokertest.Server, _ *consumer.Consumer, ring *fsm.Ring) {
			if err := server.Publish("busy", "10ms", "30ms", "20ms", "75s"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute + 6*time.Second)
			if n := len(named(ring, consumer.NoteOutcomes)); n != 1 {
				t.Errorf("%d events are there soon after the minute, want 1", n)
			}
			time.Sleep(10 * time.Minute)
		})
		events := named(ring, consumer.NoteOutcomes)
		if len(events) != 2 {
			t.Fatalf("%d events, want one for each minute with any: %v", len(events), events)
		}
		first, second := consumer.EvidenceOf(events[0]), consumer.EvidenceOf(events[1])
		if late := events[0].Time.Sub(begin.Add(time.Minute)); late < 0 || late > 6*time.Second {
			t.Errorf("the first minute is told of %v behind its end", late)
		}
		if first.Queue != "busy" || first.Acknowledged != 3 || first.Calls != 3 || first.LongestUS != 30_000 || first.HandlingUS != 60_000 {
			t.Errorf("the first minute: %+v", first)
		}
		// What is under way has begun 60 ms behind the begin.
		if oldest, want := time.Duration(first.OldestMS)*time.Millisecond, events[0].Time.Sub(begin)-60*time.Millisecond; (oldest - want).Abs() > 10*time.Millisecond {
			t.Errorf("the oldest in flight: %v, want %v", oldest, want)
		}
		if second.Acknowledged != 1 || second.Calls != 1 || second.LongestUS != 75_000_000 || second.OldestMS != 0 {
			t.Errorf("the second minute: %+v", second)
		}
		if span := time.Duration(second.PeriodMS) * time.Millisecond; span < 54*time.Second || span > 66*time.Second {
			t.Errorf("the second minute is %v long", span)
		}
		if want := "3 acknowledged, 3 calls of 20ms, the longest 30ms, one under way for "; !strings.HasPrefix(first.Note, want) {
			t.Errorf("it says %q, want %q", first.Note, want)
		}
	})
}

// Of very many queues all is told, too, though not in one go.
func TestOutcomesOfManyQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queues, minutes = 250, 3
		var subscriptions []consumer.Subscription
		for i := range queues {
			subscriptions = append(subscriptions, consumer.Subscription{
				Queue: fmt.Sprint("q", i), Handler: func(context.Context, *consumer.Delivery) error { return nil },
			})
		}
		ring := telling(t, subscriptions, func(server *brokertest.Server, _ *consumer.Consumer, _ *fsm.Ring) {
			for range minutes {
				for _, sub := range subscriptions {
					if err := server.Publish(sub.Queue, "x"); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
			}
			time.Sleep(10 * time.Second)
		})
		told := map[string]int{}
		for _, e := range named(ring, consumer.NoteOutcomes) {
			told[consumer.EvidenceOf(e).Queue]++
		}
		for _, sub := range subscriptions {
			if n := told[sub.Queue]; n != minutes {
				t.Fatalf("%s is told of %d times, want %d", sub.Queue, n, minutes)
			}
		}
	})
}

// What had happened before a loss is told before it, unless hardly anything had: what is lost all the time would fill
// the journal.
func TestOutcomesBeforeALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := telling(t, []consumer.Subscription{
			{Queue: "a", Handler: func(context.Context, *consumer.Delivery) error { return nil }},
		}, func(server *brokertest.Server, _ *consumer.Consumer, _ *fsm.Ring) {
			time.Sleep(10 * time.Second)
			for range 20 {
				if err := server.Publish("a", "message"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond)
				server.Inject(brokertest.Now(), brokertest.Reset())
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
		})
		var lost []fsm.Event
		told := 0
		for _, e := range ring.Events() {
			switch {
			case e.Trigger == consumer.ConnectionError:
				lost = append(lost, e)
			case e.Name == consumer.NoteOutcomes:
				if told++; told == 1 && len(lost) > 0 {
					t.Error("the first loss comes before what had happened until then")
				}
			}
		}
		if len(lost) == 0 || told < 2 || told > 5 {
			t.Errorf("%d losses, and outcomes are told %d times", len(lost), told)
		}
	})
}
