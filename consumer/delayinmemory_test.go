package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// Where there can be no delay queue, a message waits in memory for its time, or as long as the broker permits that; and
// takes no handler meanwhile.
func TestDelayInMemory(t *testing.T) {
	const timeout = 30 * time.Minute
	long := strings.Repeat("q", 250)
	for _, tt := range []struct {
		name        string
		queue       string // "": the broker names it
		delay, want time.Duration
		isTold      bool
	}{
		{"a queue that the broker has named", "", time.Minute, time.Minute, false},
		{"a name that is too long", long, time.Minute, time.Minute, false},
		{"longer than the broker waits", long, time.Hour, timeout*3/4 - time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				s := consumer.Subscription{Queue: tt.queue, Retry: consumer.Retry{Poison: consumer.PutBack}}
				if tt.queue == "" {
					s.Declare = &broker.QueueOptions{Exclusive: true, AutoDelete: true}
					s.Bindings = []broker.Binding{{Exchange: "amq.fanout"}}
				} else if err := server.DeclareQueue(tt.queue, nil); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
				defer cancel()
				var began, waited time.Duration
				start, others := time.Now(), 0
				s.Handler = func(_ context.Context, d *consumer.Delivery) error {
					switch {
					case string(d.Body) == "another":
						others++
					case began == 0:
						began = time.Since(start)
						return errors.Join(errors.New("busy"), consumer.RetryAfter(tt.delay))
					default:
						waited = time.Since(start) - began
						cancel()
					}
					return nil
				}
				var log bytes.Buffer
				c, err := consumer.New(consumer.Config{
					URLs: []string{server.URL()}, Dial: server.Dial, Name: "test", ConsumerTimeout: timeout, Logger: zerolog.New(zerolog.SyncWriter(&log)), Subscriptions: []consumer.Subscription{s},
				})
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(10*time.Second, func() {
					queue := server.Queues()[0].Name
					if err := errors.Join(server.Publish(queue, "m"), server.Publish(queue, "another")); err != nil {
						t.Error(err)
					}
				})
				if err := c.Run(ctx); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // for the log
				if waited != tt.want || others != 1 {
					t.Errorf("it came again after %v; want %v; %d others were handled", waited, tt.want, others)
				}
				if told := strings.Contains(log.String(), "could not be delayed"); told != tt.isTold {
					t.Errorf("told: %v\n%s", told, log.String())
				}
			})
		})
	}
}

// What waits in memory for its delay has as many attempts as what waits in a delay queue, and is poison after them.
func TestDelayInMemoryCounts(t *testing.T) {
	for _, queue := range []string{"orders", strings.Repeat("q", 244)} {
		synctest.Test(t, func(t *testing.T) {
			server := brokertest.NewInMemoryServer(t)
			if err := errors.Join(server.DeclareQueue(queue, nil), server.Publish(queue, "m")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			var seen []int
			c, err := consumer.New(consumer.Config{
				URLs: []string{server.URL()}, Dial: server.Dial, Name: "test",
				Subscriptions: []consumer.Subscription{{
					Queue: queue, Retry: consumer.Retry{Attempts: 4},
					Handler: func(_ context.Context, d *consumer.Delivery) error {
						if seen = append(seen, consumer.Attempts(d)); len(seen)%2 == 0 {
							return errors.New("down")
						}
						return consumer.RetryAfter(time.Minute)
					},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(ctx); err != nil {
				t.Fatal(err)
			}
			parked := server.Messages(queue + ".parked")
			if !slices.Equal(seen, []int{0, 1, 2, 3}) || len(parked) != 1 {
				t.Fatalf("%.10s: it was called with %v before, and %d are parked", queue, seen, len(parked))
			}
			first, _ := parked[0].Headers[consumer.HeaderFirstFailed].(time.Time)
			last, _ := parked[0].Headers[consumer.HeaderLastFailed].(time.Time)
			if last.Sub(first) < time.Minute {
				t.Errorf("%.10s: it failed first at %v, and last at %v", queue, first, last)
			}
		})
	}
}
