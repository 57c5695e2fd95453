package consumer

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

// A quorum queue counts what is lost with its channel. So a consumer of one that is lost again soon begins small; one of a
// queue that does not count, or that is lost now and then, does not.
func TestLostAgainBeginsSmall(t *testing.T) {
	for _, test := range []struct {
		name, queueType string
		limit           int
		apart           time.Duration // the losses
		lowered         int
	}{
		{"quorum", "quorum", 0, time.Second, 1},
		{"quorum without a limit", "quorum", NoDeliveryLimit, time.Second, 0},
		{"classic", "classic", 0, time.Second, 0},
		{"now and then", "quorum", 0, 2 * inARow, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const concurrency = 2
				server, events := brokertest.NewInMemoryServer(t), fsm.NewRing(1000)
				c, err := New(Config{
					URLs: []string{server.URL()}, Dial: server.Dial, Name: "unlucky", Journal: events,
					Subscriptions: []Subscription{{
						Queue: "work", Concurrency: concurrency, DeliveryLimit: test.limit,
						Declare: &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": test.queueType}},
						Handler: func(context.Context, *Delivery) error { return nil },
					}},
				})
				if err != nil {
					t.Fatal(err)
				}
				stop, ended := running(t, c)
				for range 2 {
					time.Sleep(test.apart)
					server.Inject(brokertest.Now(), brokertest.Reset())
				}
				time.Sleep(test.apart)
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				lowered := 0
				for _, e := range events.Events() {
					if e.Name == NotePrefetchLowered {
						lowered++
						if got := EvidenceOf(e); got.Prefetch != concurrency || !strings.HasPrefix(got.Note, "lost again, after 1s") {
							t.Errorf("%+v", got)
						}
					}
				}
				if lowered != test.lowered {
					t.Errorf("the prefetch was lowered %d times, want %d", lowered, test.lowered)
				}
			})
		})
	}
}
