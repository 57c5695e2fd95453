package broker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// suspend has a queue's process do nothing until what is returned is called.
func suspend(t *testing.T, queue string) (wake func()) {
	t.Helper()
	node := rabbittest.Shared(t)
	if err := node.SuspendQueue(within(t), queue); err != nil {
		t.Fatal(err)
	}
	awake := false
	wake = func() {
		if awake {
			return
		}
		awake = true
		if err := node.ResumeQueue(within(t), queue); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(wake)
	return wake
}

// flow has a consumer handle messages of its queue until stopped, and returns how many there were and the longest time
// without one.
func flow(t *testing.T, c *broker.Consumer, queue string) (stop func() (handled int64, gap time.Duration)) {
	t.Helper()
	channel, over, stopped := raw(t), make(chan struct{}), make(chan struct{})
	var handled, longest atomic.Int64
	go func() {
		defer close(stopped)
		last := time.Now()
		for {
			d, ok := c.Receive(over)
			if !ok {
				return
			}
			longest.Store(max(longest.Load(), int64(time.Since(last))))
			last = time.Now()
			handled.Add(1)
			if err := c.Ack(d.DeliveryTag); err != nil {
				t.Error(err)
			}
			if err := channel.PublishWithContext(t.Context(), "", queue, false, false, amqp.Publishing{}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	publish(t, "", queue, amqp.Publishing{})
	return func() (int64, time.Duration) {
		close(over)
		<-stopped
		return handled.Load(), time.Duration(longest.Load())
	}
}

// A queue that does not answer costs the channels that asked it, and its neighbour on the same connection does not
// notice. When it answers at last, all is as before.
func TestASuspendedQueue(t *testing.T) {
	rabbittest.NeedsControl(t)
	ill, well := keep(t, nil), queue(t)
	well.Queue += "-well"
	plan := planFor(t, rabbittest.Shared(t).URL(), ill, well)
	plan.CallTimeout = 6 * time.Second // the neighbour of a busy machine may wait for a second
	s := open(t, plan)
	c := consume(t, s, 0)
	publish(t, "", ill.Queue, amqp.Publishing{Body: []byte("x")})
	d := receive(t, c)
	stop := flow(t, consume(t, s, 1), well.Queue)
	wake := suspend(t, ill.Queue)

	want(t, c.Cancel(within(t)), broker.Overdue, 0, broker.ScopeChannel)
	if l := lossOf(t, s); l.Consumer != c || l.Err.Class != broker.Overdue {
		t.Errorf("got %+v", l)
	}
	if err := c.Ack(d.DeliveryTag); !errors.Is(err, broker.ErrStale) {
		t.Errorf("Ack: %v", err)
	}
	_, err := s.Consume(within(t), 0, broker.Intake{})
	want(t, err, broker.Overdue, 0, broker.ScopeChannel)
	if n := s.Abandoned(); n != 2 {
		t.Errorf("%d channels are abandoned, want 2", n)
	}
	handled, gap := stop()
	t.Logf("the neighbour handled %d messages, with %v between two at most", handled, gap)
	if gap >= plan.CallTimeout {
		t.Errorf("the neighbour waited for %v", gap)
	}

	wake()
	rabbittest.Eventually(t, moment, "the abandoned channels are closed", func() bool { return s.Abandoned() == 0 })
	if d := receive(t, consume(t, s, 0)); !d.Redelivered || string(d.Body) != "x" {
		t.Errorf("got %+v", d)
	}
	wantNoLoss(t, s)
}

// RabbitMQ answers connection.close when all channels have ended. What was acknowledged before is, all the same.
func TestCloseBesideASuspendedQueue(t *testing.T) {
	rabbittest.NeedsControl(t)
	ill := keep(t, nil)
	well := ill
	well.Queue = t.Name() + "-well"
	channel := raw(t)
	if _, err := channel.QueueDeclare(well.Queue, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { channel.QueueDelete(well.Queue, false, false, false) })
	plan := planFor(t, rabbittest.Shared(t).URL(), ill, well)
	s := open(t, plan)
	c := consume(t, s, 1)
	for range plan.Subscriptions[1].Prefetch {
		publish(t, "", well.Queue, amqp.Publishing{})
	}
	defer suspend(t, ill.Queue)()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := s.Consume(ctx, 0, broker.Intake{})
	want(t, err, broker.Overdue, 0, broker.ScopeChannel)
	for range plan.Subscriptions[1].Prefetch {
		if err := c.Ack(receive(t, c).DeliveryTag); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(within(t)); err != nil { // CallTimeout is shorter than that
		t.Error(err)
	}
	rabbittest.Eventually(t, moment, "everything is acknowledged", func() bool {
		q, err := channel.QueueDeclarePassive(well.Queue, true, false, false, false, nil)
		return err == nil && q.Messages == 0 && q.Consumers == 0
	})
}
