package consumer_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// A header can name the messages, too. Those without one are handled again.
func TestDedupByAHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		problem := server.DeclareQueue("work", nil)
		for _, m := range []brokertest.Message{
			{Body: []byte("named"), Headers: map[string]any{"order": "7"}},
			{Body: []byte("nameless"), MessageID: "an id of no account"},
			{Body: []byte("named as well"), Headers: map[string]any{"order": "8"}},
		} {
			problem = errors.Join(problem, server.PublishMessage("work", m))
		}
		if problem != nil {
			t.Fatal(problem)
		}
		server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Reset())
		calls := map[string]int{} // one handler at a time
		stats := consumed(t, server, consumer.Subscription{
			Dedup: consumer.Dedup{Window: 10, ID: func(d *consumer.Delivery) string {
				order, _ := d.Headers["order"].(string)
				return order
			}},
			Handler: func(_ context.Context, d *consumer.Delivery) error {
				calls[string(d.Body)]++
				return nil
			},
		})
		if want := map[string]int{"named": 1, "nameless": 2, "named as well": 1}; !maps.Equal(calls, want) {
			t.Errorf("handled %v, want %v", calls, want)
		}
		if stats.Deduplicated != 2 {
			t.Errorf("%+v", stats)
		}
	})
}
