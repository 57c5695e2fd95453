package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

// rules are those of brokers that end consumers differently, and for which queues.
var rules = []struct{ version, queueType string }{{"3.10", "classic"}, {"3.10", "quorum"}, {"4.3", "quorum"}}

// overdue has the broker lose patience once a timeout after each time that a handler began.
func overdue(ctx context.Context, server *brokertest.Server, timeout time.Duration, at func() time.Time) {
	go func() {
		var last time.Time
		for ctx.Err() == nil {
			time.Sleep(time.Minute)
			if since := at(); since != last && time.Since(since) >= timeout {
				last = since
				server.Inject(brokertest.Now(), brokertest.ConsumerTimeout())
				time.Sleep(time.Second)
			}
		}
	}()
}

// One message takes longer than the broker waits, again and again; the others are handled, and that one is parked after
// its attempts. No two handlers have it at once.
func TestHandlerThatTakesTooLong(t *testing.T) {
	const timeout, attempts = 30 * time.Minute, 3
	for _, rule := range rules {
		for _, concurrency := range []int{1, 3} {
			for _, takes := range []time.Duration{timeout + 10*time.Minute, 24 * time.Hour} {
				if concurrency == 1 && takes > time.Hour { // nobody else is there to handle anything
					continue
				}
				t.Run(fmt.Sprintf("%s %s, %d handlers, %v", rule.version, rule.queueType, concurrency, takes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						server := brokertest.NewInMemoryServer(t, brokertest.Version(rule.version))
						declareIn(t, server, "work", map[string]any{"x-queue-type": rule.queueType})
						messages := append([]string{"slow"}, numbered("quick", 200)...)
						if err := server.Publish("work", messages...); err != nil {
							t.Fatal(err)
						}
						var slow, quick, calls atomic.Int64
						var began atomic.Pointer[time.Time]
						var mu sync.Mutex
						var told []int
						events := fsm.NewRing(1000)
						c, err := New(Config{
							URLs: []string{server.URL()}, Dial: server.Dial, Name: "slow", Journal: events, GracePeriod: time.Second,
							Subscriptions: []Subscription{{
								Queue: "work", Concurrency: concurrency, Retry: Retry{Attempts: attempts, Poison: Park},
								Declare: declaredAs(rule.queueType),
								Handler: func(_ context.Context, d *Delivery) error {
									if string(d.Body) != "slow" {
										quick.Add(1)
										return nil
									}
									if slow.Add(1) > 1 {
										t.Error("two handlers have the same message")
									}
									defer slow.Add(-1)
									calls.Add(1)
									mu.Lock()
									told = append(told, Attempts(d))
									mu.Unlock()
									now := time.Now()
									began.Store(&now)
									time.Sleep(takes)
									return nil
								},
							}},
						})
						if err != nil {
							t.Fatal(err)
						}
						ctx, stop := context.WithCancel(t.Context())
						overdue(ctx, server, timeout, func() time.Time {
							if at := began.Load(); at != nil {
								return *at
							}
							return time.Time{}
						})
						ended := make(chan error, 1)
						go func() { ended <- c.Run(ctx) }()
						time.Sleep(time.Hour)
						if n := quick.Load(); n < 200 {
							t.Errorf("after an hour %d of 200 others were handled", n)
						}
						time.Sleep(3 * time.Hour)
						parked := server.Messages("work.parked")
						if len(parked) != 1 || string(parked[0].Body) != "slow" || !strings.Contains(fmt.Sprint(parked[0].Headers[HeaderError]), "consumer_timeout") {
							t.Errorf("parked: %v", parked)
						}
						want := []int{0, 1, 2}
						if takes > time.Hour {
							want = []int{0} // its first handler has it still
						}
						mu.Lock()
						if !slices.Equal(told, want) {
							t.Errorf("its handler was told of %v attempts, want %v", told, want)
						}
						mu.Unlock()
						if err := server.Publish("work", "quick again"); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Minute)
						if n := quick.Load(); n < 201 {
							t.Error("nothing more is handled")
						}
						lowered, raised := 0, 0
						time.Sleep(3 * time.Hour)
						for _, e := range events.Events() {
							if e.Name == NotePrefetchLowered && EvidenceOf(e).Prefetch == concurrency {
								lowered++
							}
							if e.Name == NotePrefetchRaised && EvidenceOf(e).Prefetch == DefaultPrefetch {
								raised++
							}
						}
						if lowered == 0 || lowered > attempts || raised != 1 && takes < time.Hour {
							t.Errorf("the prefetch was lowered %d times, and raised %d times", lowered, raised)
						}
						stop()
						<-ended
						time.Sleep(24 * time.Hour)
					})
				})
			}
		}
	}
}

func declaredAs(queueType string) *broker.QueueOptions {
	return &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": queueType}}
}
