package consumer_test

import (
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// Without Retry.Poison a message that failed too often is dead-lettered if Declare says that the queue can,
// and parked if nothing says so, though the queue could.
func TestPoisonByDefault(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"classic", "quorum"} {
		for _, e := range []ending{
			{
				name: "declared", answers: times(2, errFails),
				set: func(s *consumer.Subscription) {
					s.Retry.Attempts = 2
					s.Declare = &broker.QueueOptions{Durable: true, Arguments: map[string]any{
						"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": s.Queue + ".dead",
					}}
				},
				calls: "1123", seen: "01", stats: consumer.Stats{Acknowledged: 2, Failed: 2, Rejected: 1},
				left: map[string]int{".dead": 1},
			},
			{
				name: "expected", answers: times(2, errFails),
				set:   func(s *consumer.Subscription) { s.Retry.Attempts = 2 },
				calls: "1123", seen: "01", stats: consumer.Stats{Acknowledged: 2, Failed: 2, Parked: 1},
				left: map[string]int{".parked": 1},
			},
		} {
			t.Run("poison-by-default-"+kind+"-"+e.name, func(t *testing.T) {
				t.Parallel()
				play(t, kind, e)
			})
		}
	}
}

// limited is a rig with a quorum queue that dead-letters a message instead of delivering it once more often
// than the limit says.
func limited(t *testing.T, limit int) *rig {
	r := newRig(t)
	r.remake("quorum", map[string]any{
		"x-delivery-limit": limit, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": r.queue + ".dead",
	})
	r.declare(r.queue + ".dead")
	t.Cleanup(func() { r.deleteQueue(r.queue + ".dead") })
	return r
}

// wantDead checks which message was dead-lettered, and why.
func (r *rig) wantDead(body, reason string) {
	r.Helper()
	r.awaitDepth(r.queue+".dead", 1, 0)
	r.onChannel(func(c *amqp.Channel) error {
		m, ok, err := c.Get(r.queue+".dead", true)
		if err != nil || !ok {
			return errors.Join(err, errors.New("nothing is dead-lettered"))
		}
		if why := m.Headers["x-first-death-reason"]; string(m.Body) != body || why != reason {
			r.Errorf("%s was dead-lettered because of %v; want %s, %s", m.Body, why, body, reason)
		}
		return nil
	})
}

// What is put back never reaches the limit, however often that is.
func TestPutBackBeyondDeliveryLimit(t *testing.T) {
	t.Parallel()
	const limit, often = 2, 10
	for _, test := range []struct {
		name   string
		answer error
		stats  consumer.Stats
	}{
		{"put-back", errFails, consumer.Stats{Acknowledged: 3, Failed: often, Kept: often}},
		{"requeue", consumer.Requeue, consumer.Stats{Acknowledged: 3, Kept: often}},
	} {
		t.Run("limit-"+test.name, func(t *testing.T) {
			t.Parallel()
			r := limited(t, limit)
			script := &script{T: t, answers: times(often, test.answer)}
			s := &r.config.Subscriptions[0]
			s.Handler = script.handle
			s.Retry = consumer.Retry{Attempts: 1, Poison: consumer.PutBack}
			r.load(3)
			r.start()
			r.await("all to be handled", func() bool { return r.c.Stats().Acknowledged == 3 })
			r.awaitDepth(r.queue, 0, 0)
			r.stop()
			if calls := script.calls.of("1"); len(calls) != often+1 {
				t.Errorf("%d calls, want %d", len(calls), often+1)
			}
			script.checkDeliveryCount()
			r.wantStats(test.stats)
		})
	}
}

// What a handler rejects is dead-lettered at once.
func TestRejectWithDeliveryLimit(t *testing.T) {
	t.Parallel()
	r := limited(t, 2)
	script := &script{T: t, answers: times(1, consumer.Reject)}
	r.config.Subscriptions[0].Handler = script.handle
	r.load(3)
	r.start()
	r.wantDead("message 1", "rejected")
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	r.wantStats(consumer.Stats{Acknowledged: 2, Rejected: 1})
}
