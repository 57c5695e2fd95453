package broker_test

import (
	"fmt"
	"maps"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// keep declares a durable queue for the test, deletes it afterwards, and returns a subscription to it.
func keep(t *testing.T, arguments amqp.Table) broker.Subscription {
	t.Helper()
	channel := raw(t)
	if _, err := channel.QueueDeclare(t.Name(), true, false, false, false, arguments); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { channel.QueueDelete(t.Name(), false, false, false) })
	return broker.Subscription{Queue: t.Name(), Prefetch: 3}
}

// number publishes the numbers from first to last, each confirmed; to a stream, together in few chunks.
func number(t *testing.T, first, last int) {
	t.Helper()
	channel := raw(t)
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	var confirms []*amqp.DeferredConfirmation
	for i := first; i <= last; i++ {
		m := amqp.Publishing{Body: fmt.Append(nil, i), DeliveryMode: 2}
		confirm, err := channel.PublishWithDeferredConfirm("", t.Name(), false, false, m)
		if err != nil {
			t.Fatal(err)
		}
		confirms = append(confirms, confirm)
	}
	for _, confirm := range confirms {
		if ok, err := confirm.WaitContext(within(t)); err != nil || !ok {
			t.Fatalf("not confirmed: %v", err)
		}
	}
}

// wantNumbers receives as many as are wanted, acknowledges none, and returns the last one's tag.
func wantNumbers(t *testing.T, c *broker.Consumer, numbers ...int) (tag uint64) {
	t.Helper()
	for _, n := range numbers {
		d := receive(t, c)
		if string(d.Body) != fmt.Sprint(n) {
			t.Errorf("got %s, want %d", d.Body, n)
		}
		tag = d.DeliveryTag
	}
	return tag
}

func pause(t *testing.T, c *broker.Consumer) {
	t.Helper()
	if err := c.Cancel(within(t)); err != nil {
		t.Fatal(err)
	}
}

func resume(t *testing.T, c *broker.Consumer, in broker.Intake) {
	t.Helper()
	if err := c.Resume(within(t), in); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, s *broker.Session, in broker.Intake) *broker.Consumer {
	t.Helper()
	c, err := s.Consume(within(t), 0, in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var stream = amqp.Table{"x-queue-type": "stream"}

func at(offset int64) broker.Intake { return broker.Intake{StreamOffset: &offset} }

// Offsets are exact, though a stream is stored and read in chunks of many messages.
func TestStreamFromAnOffset(t *testing.T) {
	subscription := keep(t, stream)
	subscription.Arguments = map[string]any{"x-stream-offset": "next"}
	plans := maps.Clone(subscription.Arguments)
	number(t, 0, 99)
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), subscription))
	c := start(t, s, at(0))
	for n := range 2 {
		if d := receive(t, c); d.Headers["x-stream-offset"] != int64(n) || d.StreamOffset != int64(n) {
			t.Errorf("headers %v, want offset %d", d.Headers, n)
		}
	}
	for _, offset := range []int{17, 50, 0, 99} {
		pause(t, c)
		for d, ok := c.Receive(nil); ok; d, ok = c.Receive(nil) {
			if d.Headers["x-stream-offset"].(int64) >= 100 {
				t.Errorf("headers %v", d.Headers)
			}
		}
		resume(t, c, at(int64(offset)))
		if d := receive(t, c); d.Headers["x-stream-offset"] != int64(offset) || string(d.Body) != fmt.Sprint(offset) {
			t.Errorf("got %s, headers %v, want offset %d", d.Body, d.Headers, offset)
		}
	}
	if !maps.Equal(subscription.Arguments, plans) {
		t.Errorf("the plan's arguments are now %v", subscription.Arguments)
	}
	wantNoLoss(t, s)
}

// An offset that is not there yet is waited for.
func TestStreamFromAnOffsetToCome(t *testing.T) {
	subscription := keep(t, stream)
	number(t, 0, 4)
	c := start(t, open(t, planFor(t, rabbittest.Shared(t).URL(), subscription)), at(7))
	number(t, 5, 9)
	wantNumbers(t, c, 7, 8, 9)
}

func TestStreamGivesCreditForAckUpTo(t *testing.T) {
	subscription := keep(t, stream)
	subscription.Arguments = map[string]any{"x-stream-offset": "first"}
	for n := range 30 {
		number(t, n, n) // each a chunk of its own; a larger one is delivered whole, whatever the prefetch
	}
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), subscription))
	c := start(t, s, broker.Intake{})
	for n := 0; n < 30; n += 3 {
		if err := c.AckUpTo(wantNumbers(t, c, n, n+1, n+2)); err != nil {
			t.Fatal(err)
		}
	}
	wantNoLoss(t, s)
}

// Some versions of RabbitMQ end the connection; others take no notice.
func TestStreamTakesNothingBack(t *testing.T) {
	subscription := keep(t, stream)
	subscription.Arguments = map[string]any{"x-stream-offset": "first"}
	number(t, 0, 0)
	for name, giveBack := range map[string]func(*broker.Consumer, uint64) error{
		"Reject":  func(c *broker.Consumer, tag uint64) error { return c.Reject(tag, false) },
		"requeue": func(c *broker.Consumer, tag uint64) error { return c.Reject(tag, true) },
		"Nack":    (*broker.Consumer).Nack,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, planFor(t, rabbittest.Shared(t).URL(), subscription))
			c := start(t, s, broker.Intake{})
			if err := giveBack(c, receive(t, c).DeliveryTag); err != nil {
				t.Fatal(err)
			}
			if rabbittest.Shared(t).Has(rabbittest.StreamsAreDeaf) {
				pause(t, c) // a round trip
				wantNoLoss(t, s)
				return
			}
			want(t, lossOf(t, s).Err, broker.Protocol, 540, broker.ScopeConnection)
		})
	}
}

func TestAnOffsetOfWhatIsNoStream(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			s := open(t, planFor(t, rabbittest.Shared(t).URL(), keep(t, amqp.Table{"x-queue-type": kind})))
			_, err := s.Consume(within(t), 0, at(1))
			want(t, err, broker.Precondition, 406, broker.ScopeChannel)
		})
	}
}
