package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// A message that goes back when the consumer stops goes back once, and counts once: while the broker has not heard
// of the end, it would send it again at once.
func TestNothingGoesBackTwice(t *testing.T) {
	for name, test := range map[string]struct {
		messages, concurrency int
		answer                error // of the handlers, once their context has ended
		want                  consumer.Evidence
	}{
		"one that is not finished":  {1, 1, context.Canceled, consumer.Evidence{Unfinished: 1}},
		"one that is put back":      {1, 1, consumer.Requeue, consumer.Evidence{Unfinished: 1}},
		"some, and some not begun":  {10, 4, context.Canceled, consumer.Evidence{Unfinished: 4, ReturnedUnstarted: 6}},
		"one that is acknowledged":  {1, 1, nil, consumer.Evidence{}},
		"some that are, some waits": {10, 4, nil, consumer.Evidence{ReturnedUnstarted: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				err := server.DeclareQueue("work", nil)
				for i := range test.messages {
					err = errors.Join(err, server.Publish("work", fmt.Sprint(i)))
				}
				if err != nil {
					t.Fatal(err)
				}
				journal := fsm.NewRing(100)
				c, err := consumer.New(consumer.Config{
					URLs: []string{server.URL()}, Dial: server.Dial, Journal: journal,
					Subscriptions: []consumer.Subscription{{
						Queue: "work", Concurrency: test.concurrency,
						Handler: func(ctx context.Context, _ *consumer.Delivery) error {
							<-ctx.Done()
							return test.answer
						},
					}},
				})
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- c.Run(context.Background()) }()
				synctest.Wait()
				now, cancel := context.WithCancel(t.Context())
				cancel()
				if err := c.Stop(now); !errors.Is(err, context.Canceled) {
					t.Errorf("Stop: %v", err)
				}
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
				last, _ := journal.Last()
				e := consumer.EvidenceOf(last)
				if e.Unfinished != test.want.Unfinished || e.ReturnedUnstarted != test.want.ReturnedUnstarted {
					t.Errorf("the last event says %q, want %d not begun and %d not finished",
						last.Note, test.want.ReturnedUnstarted, test.want.Unfinished)
				}
				gone := uint64(test.messages) - e.Unfinished - e.ReturnedUnstarted
				if n := c.Stats().Acknowledged; n != gone {
					t.Errorf("%d are acknowledged, want %d", n, gone)
				}
				back := server.Count("basic.nack") + server.Count("basic.reject")
				if back > test.messages {
					t.Errorf("%d went back, and there are %d messages", back, test.messages)
				}
			})
		})
	}
}
