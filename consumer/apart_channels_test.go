package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// More subscriptions than the connection has channels are spread over several, at first and after a loss of all.
func TestMoreSubscriptionsThanChannels(t *testing.T) {
	t.Parallel()
	const channels, subscriptions = 4, 10 // one channel is for probes
	inHall(t, subscriptions, func(h *hall) { h.config.URLs[0] += "?channel_max=4" }, func(h *hall) {
		h.await("everything to be consumed", func() bool {
			return !slices.ContainsFunc(h.server.Queues(), func(q brokertest.QueueState) bool { return q.Consumers != 1 })
		})
		h.awaitState(true)
		time.Sleep(time.Second)
		for range 2 {
			h.forget()
			time.Sleep(5 * time.Minute)
			h.wantFlow(feed+10*time.Millisecond, h.queues...)
			h.server.Inject(brokertest.Now, brokertest.Reset())
			time.Sleep(5 * time.Second)
		}
		if n, want := len(h.server.Connections()), (subscriptions+channels-2)/(channels-1); n != want {
			t.Errorf("%d connections, want %d", n, want)
		}
		if slices.Contains(h.notes(""), consumer.NoteHome) {
			t.Error("what has no place at home came home")
		}
	})
}
