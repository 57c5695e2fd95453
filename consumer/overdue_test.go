package consumer

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

func TestStrikeOf(t *testing.T) {
	for _, test := range []struct {
		major, minor int
		queueType    string
		want         strike
	}{
		{3, 10, "classic", closesChannel}, {3, 13, "quorum", closesChannel}, {4, 2, "stream", closesChannel}, {4, 0, "", closesChannel},
		{4, 3, "quorum", cancels}, {5, 0, "quorum", cancels}, {4, 3, "", perhapsCancels},
		{4, 3, "classic", nothing}, {4, 3, "stream", nothing}, {4, 10, "classic", nothing},
		{0, 0, "classic", closesChannel}, // it did not say its version: better one warning too many
	} {
		if got := strikeOf(test.major, test.minor, test.queueType); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestConsumerTimeoutOf(t *testing.T) {
	const brokers = time.Hour
	queues := &broker.QueueOptions{Arguments: map[string]any{"x-consumer-timeout": int64(2000)}}
	for name, test := range map[string]struct {
		subscription Subscription
		want         time.Duration
	}{
		"the broker's":   {Subscription{}, brokers},
		"the queue's":    {Subscription{Declare: queues}, 2 * time.Second},
		"the consumer's": {Subscription{Declare: queues, Arguments: map[string]any{"x-consumer-timeout": 3000}}, 3 * time.Second},
		"no number":      {Subscription{Arguments: map[string]any{"x-consumer-timeout": "3000"}}, brokers},
		"for ever":       {Subscription{Arguments: map[string]any{"x-consumer-timeout": int64(math.MaxInt64)}}, maxTimeout},
	} {
		if got := test.subscription.consumerTimeout(brokers); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A consumer that the broker cancels may have lost its queue, or may have taken too long: that is told apart by how
// long a delivery has been outstanding, and only where the queue has a timeout.
func TestCancelledOrOverdue(t *testing.T) {
	const timeout = 10 * time.Minute
	tests := []struct {
		version, queueType string
		after              time.Duration // the delivery
		class              broker.Class
		note               string
		overdue            string // what the warning says; "": there is none
	}{
		{"3.10", "quorum", 11 * time.Minute, broker.Cancelled, "queue was deleted", "closes its channel"},
		{"4.3", "quorum", 11 * time.Minute, broker.ConsumerTimeout, "unacknowledged for 11m0s, and the timeout is 10m0s; shorten the handler", "RabbitMQ cancels its consumer (consumer_timeout)"},
		{"4.3", "", 11 * time.Minute, broker.ConsumerTimeout, "shorten the handler", "if this is a quorum queue"},
		{"4.3", "quorum", 5 * time.Minute, broker.Cancelled, "unacknowledged for 5m0s; declare the queue again", ""},
		{"4.3", "classic", 11 * time.Minute, broker.Cancelled, "queue was deleted, or moved to another node; declare the queue again", ""},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %s after %v", test.version, test.queueType, test.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t, brokertest.Version(test.version))
				declareIn(t, server, "q", map[string]any{"x-queue-type": "quorum"})
				declare := &broker.QueueOptions{Durable: true, Arguments: map[string]any{}}
				if test.queueType != "" {
					declare.Arguments["x-queue-type"] = test.queueType
				}
				if err := server.Publish("q", "x"); err != nil {
					t.Fatal(err)
				}
				var overdue string
				lost := make(chan fsm.Event, 10)
				c, err := New(Config{
					URLs: []string{server.URL()}, ConsumerTimeout: timeout, GracePeriod: time.Second,
					Dial: server.Dial,
					Observers: []func(fsm.Event){func(e fsm.Event) {
						switch {
						case e.Name == NoteOverdue:
							overdue = e.Note
						case e.Trigger == ChannelError:
							lost <- e
						}
					}},
					Subscriptions: []Subscription{{Queue: "q", Declare: declare, Handler: func(ctx context.Context, _ *Delivery) error {
						<-ctx.Done()
						return nil
					}}},
				})
				if err != nil {
					t.Fatal(err)
				}
				stop, ended := running(t, c)
				time.Sleep(test.after) // in the bubble's time
				server.Inject(brokertest.Now(), brokertest.CancelConsumers())
				e := <-lost
				if EvidenceOf(e).Class != string(test.class) || !strings.Contains(e.Note, test.note) {
					t.Errorf("class %s: %s", EvidenceOf(e).Class, e.Note)
				}
				stop()
				<-ended
				if (overdue == "") != (test.overdue == "") || !strings.Contains(overdue, test.overdue) {
					t.Errorf("the warning: %q, want %q", overdue, test.overdue)
				}
			})
		})
	}
}
