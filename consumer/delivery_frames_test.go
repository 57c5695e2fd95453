package consumer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// consumed consumes what is in the queue "work" until it is empty, in a bubble.
func consumed(t *testing.T, server *brokertest.Server, s consumer.Subscription) consumer.Stats {
	t.Helper()
	s.Queue = "work"
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()}, Dial: server.Dial, Subscriptions: []consumer.Subscription{s},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	empty := server.Await(t.Context(), func() bool {
		q, _ := server.Queue("work")
		return q.Ready+q.Unacknowledged == 0
	})
	if err := errors.Join(empty, c.Stop(context.Background()), <-ended); err != nil {
		t.Error(err)
	}
	return c.Stats()
}

// Acknowledgements share frames, unless they are not to.
func TestAcknowledgementFrames(t *testing.T) {
	const messages = 2000
	// How many handlers are between two messages when a third is done, the scheduler decides.
	for _, test := range []struct {
		name        string
		concurrency int
		work        time.Duration
		each        bool
		most        int // frames
	}{
		{"one handler", 1, 0, false, messages / 8},
		{"16 handlers", 16, 0, false, messages / 2},
		{"16 handlers with work", 16, time.Millisecond, false, messages / 2},
		{"one handler, AckEach", 1, 0, true, messages},
		{"16 handlers, AckEach", 16, 0, true, messages},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := errors.Join(server.DeclareQueue("work", nil), server.Publish("work", slices.Repeat([]string{"x"}, messages)...)); err != nil {
					t.Fatal(err)
				}
				stats := consumed(t, server, consumer.Subscription{
					Concurrency: test.concurrency,
					AckEach:     test.each,
					Handler: func(context.Context, *consumer.Delivery) error {
						if test.work > 0 {
							<-time.After(test.work)
						}
						return nil
					},
				})
				if want := (consumer.Stats{Acknowledged: messages}); stats != want {
					t.Errorf("%+v, want %+v", stats, want)
				}
				switch frames := server.Count("basic.ack"); {
				case frames > test.most, test.each && frames != messages:
					t.Errorf("%d messages were acknowledged by %d frames, want %d", messages, frames, test.most)
				default:
					t.Logf("%d messages were acknowledged by %d frames", messages, frames)
				}
			})
		})
	}
}
