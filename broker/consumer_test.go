package broker_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

func TestDelivery(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), queue(t)))
	c := consume(t, s, 0)
	if c.Index() != 0 {
		t.Errorf("consumer %d", c.Index())
	}
	publish(t, "", t.Name(), amqp.Publishing{
		Body: []byte("body"), ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 3,
		CorrelationId: "c", ReplyTo: "r", Expiration: "60000", MessageId: "m", Type: "t", UserId: "guest", AppId: "a",
		Headers: amqp.Table{
			"text":  "x",
			"table": amqp.Table{"deep": amqp.Table{"n": int64(1)}},
			"list":  []any{amqp.Table{"n": int64(2)}, []any{amqp.Table{}}},
		},
	})
	got := receive(t, c)
	want := &broker.Delivery{
		Body: []byte("body"), ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 3,
		CorrelationID: "c", ReplyTo: "r", Expiration: "60000", MessageID: "m", Type: "t", UserID: "guest", AppID: "a",
		Queue: t.Name(), RoutingKey: t.Name(), ConsumerTag: t.Name() + "#0", DeliveryTag: 1, Generation: 3,
		Headers: map[string]any{ // DeepEqual tells map[string]any from amqp.Table
			"text":  "x",
			"table": map[string]any{"deep": map[string]any{"n": int64(1)}},
			"list":  []any{map[string]any{"n": int64(2)}, []any{map[string]any{}}},
		},
	}
	want.ReceivedAt = got.ReceivedAt
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := c.Ack(got.DeliveryTag); err != nil {
		t.Error(err)
	}
}

func TestReceiveStops(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), queue(t)))
	c := consume(t, s, 0)
	publish(t, "", t.Name(), amqp.Publishing{})
	stop := make(chan struct{})
	close(stop)
	for range 50 {
		if d, ok := c.Receive(stop); ok {
			t.Fatalf("received %+v after stop", d)
		}
	}
	receive(t, c) // it is still there
}

func TestReject(t *testing.T) {
	channel := raw(t)
	dead, err := channel.QueueDeclare(t.Name()+"-dead", false, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	subscription := queue(t)
	subscription.Declare.Arguments = map[string]any{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.Name}
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), subscription))
	c := consume(t, s, 0)
	publish(t, "", t.Name(), amqp.Publishing{Body: []byte("x")})

	d := receive(t, c)
	if d.Redelivered {
		t.Error("redelivered at first")
	}
	if err := c.Reject(d.DeliveryTag, true); err != nil {
		t.Fatal(err)
	}
	if d = receive(t, c); !d.Redelivered || d.DeliveryTag != 2 {
		t.Errorf("after requeue: %+v", d)
	}
	if err := c.Reject(d.DeliveryTag, false); err != nil {
		t.Fatal(err)
	}
	rabbittest.Eventually(t, moment, "the message is dead-lettered", func() bool {
		m, ok, err := channel.Get(dead.Name, true)
		return err == nil && ok && string(m.Body) == "x"
	})
}

func TestTopologyRoutes(t *testing.T) {
	x := t.Name() + "-exchange"
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), broker.Subscription{
		Declare:   &broker.QueueOptions{Exclusive: true}, // named by the broker
		Exchanges: []broker.Exchange{{Name: x, Kind: "topic", AutoDelete: true}, {Name: "amq.topic", Passive: true}},
		Bindings:  []broker.Binding{{Exchange: x, RoutingKey: "a.*"}, {Exchange: x, RoutingKey: "b"}},
		Prefetch:  1,
	}))
	c := consume(t, s, 0)
	for _, key := range []string{"a.1", "c", "b"} {
		publish(t, x, key, amqp.Publishing{})
	}
	for _, key := range []string{"a.1", "b"} {
		d := receive(t, c)
		if d.RoutingKey != key || d.Exchange != x || !strings.HasPrefix(d.Queue, "amq.gen-") {
			t.Errorf("got %+v, want routing key %s", d, key)
		}
		if err := c.Ack(d.DeliveryTag); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConsumeRefused(t *testing.T) {
	channel := raw(t)
	for _, exclusive := range []bool{false, true} {
		if _, err := channel.QueueDeclare(fmt.Sprint(t.Name(), exclusive), false, false, exclusive, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	defer channel.QueueDelete(t.Name()+"false", false, false, false)
	held := t.Name() + "-held"
	if _, err := channel.QueueDeclare(held, false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := channel.Consume(held, "", true, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name         string
		subscription broker.Subscription
		op           string
		class        broker.Class
		code         int
	}{
		{"queue missing", broker.Subscription{Queue: "none"}, "consume", broker.NotFound, 404},
		{"exchange missing", broker.Subscription{Queue: "none", Exchanges: []broker.Exchange{{Name: "none", Passive: true}}},
			"declare exchange none", broker.NotFound, 404},
		{"binding to nothing", broker.Subscription{Declare: &broker.QueueOptions{Exclusive: true}, Bindings: []broker.Binding{{Exchange: "none"}}},
			"bind to exchange none", broker.NotFound, 404},
		{"queue differs", broker.Subscription{Queue: t.Name() + "false", Declare: &broker.QueueOptions{Durable: true, Strict: true}},
			"declare queue", broker.Precondition, 406},
		{"queue of another connection", broker.Subscription{Queue: t.Name() + "true"}, "consume", broker.Exclusive, 405},
		{"exclusive consumer", broker.Subscription{Queue: held}, "consume", broker.Exclusive, 403},
		{"reserved name", broker.Subscription{Queue: "amq.x", Declare: &broker.QueueOptions{}}, "declare queue", broker.Auth, 403},
	}
	plan := planFor(t, rabbittest.Shared(t).URL(), queue(t))
	for _, test := range tests {
		test.subscription.Prefetch = 1
		plan.Subscriptions = append(plan.Subscriptions, test.subscription)
	}
	s := open(t, plan)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.Consume(within(t), i+1, broker.Intake{})
			want(t, err, test.class, test.code, broker.ScopeChannel)
			var e *broker.Error
			if errors.As(err, &e); e.Op != test.op || e.Queue != test.subscription.Queue {
				t.Errorf("op %q, queue %q in %v", e.Op, e.Queue, err)
			}
		})
	}
	// One channel failed, not the connection, and what was reported by Consume is no loss.
	c := consume(t, s, 0)
	publish(t, "", t.Name(), amqp.Publishing{})
	receive(t, c)
	wantNoLoss(t, s)
}

func TestDeletedQueueIsOneLossOfASubscription(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), queue(t)))
	c := consume(t, s, 0)
	if _, err := raw(t).QueueDelete(t.Name(), false, false, false); err != nil {
		t.Fatal(err)
	}
	l := lossOf(t, s)
	want(t, l.Err, broker.Cancelled, 0, broker.ScopeSubscription)
	if l.Consumer != c || l.Generation != 3 || l.Err.Queue != t.Name() {
		t.Errorf("got %+v", l)
	}
	<-c.Lost()
	if d, ok := c.Receive(nil); ok {
		t.Errorf("received %+v from a deleted queue", d)
	}
	if err := c.Close(within(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
	consume(t, s, 0) // on the connection that lives
	wantNoLoss(t, s)
}

func TestAcknowledgingTwiceIsALossOfTheChannel(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), queue(t)))
	c := consume(t, s, 0)
	publish(t, "", t.Name(), amqp.Publishing{})
	d := receive(t, c)
	for range 2 {
		if err := c.Ack(d.DeliveryTag); err != nil {
			t.Fatal(err)
		}
	}
	l := lossOf(t, s)
	want(t, l.Err, broker.Precondition, 406, broker.ScopeChannel)
	if l.Consumer != c {
		t.Errorf("got %+v", l)
	}
	if err := c.Ack(d.DeliveryTag); !errors.Is(err, broker.ErrStale) {
		t.Errorf("Ack on a closed channel: %v", err)
	}
	consume(t, s, 0)
	wantNoLoss(t, s)
}

func TestCloseFencesAcknowledgements(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), queue(t)))
	old := consume(t, s, 0)
	publish(t, "", t.Name(), amqp.Publishing{Body: []byte("x")})
	stale := receive(t, old)
	fresh := consume(t, s, 0) // keeps the queue too
	if err := old.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	<-old.Lost()
	d := receive(t, fresh) // requeued; the tag is the same, the channel is not
	if d.DeliveryTag != stale.DeliveryTag || !d.Redelivered {
		t.Errorf("got %+v", d)
	}
	if err := old.Ack(stale.DeliveryTag); !errors.Is(err, broker.ErrStale) {
		t.Errorf("Ack after Close: %v", err)
	}
	if err := old.Reject(stale.DeliveryTag, false); !errors.Is(err, broker.ErrStale) {
		t.Errorf("Reject after Close: %v", err)
	}
	if err := fresh.Ack(d.DeliveryTag); err != nil { // would be 406 if the stale one had been sent
		t.Error(err)
	}
	if err := s.Probe(within(t)); err != nil {
		t.Error(err)
	}
	wantNoLoss(t, s)
}

func TestNothingIsAcknowledgedWhileTheChannelCloses(t *testing.T) {
	node := rabbittest.Shared(t)
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	s := open(t, planFor(t, proxy.URL(node.URL()), queue(t)))
	c := consume(t, s, 0)
	publish(t, "", t.Name(), amqp.Publishing{})
	d := receive(t, c)

	proxy.Freeze(rabbittest.ToBroker)
	closed := make(chan error, 1)
	go func() { closed <- c.Close(within(t)) }()
	<-c.Lost() // Close is under way, and the broker does not know
	if err := c.Ack(d.DeliveryTag); !errors.Is(err, broker.ErrStale) {
		t.Errorf("Ack during Close: %v", err)
	}
	proxy.Thaw()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestCancelLeavesDeliveriesToBeAcknowledged(t *testing.T) {
	subscription := queue(t)
	subscription.Declare.AutoDelete = false
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), subscription))
	c := consume(t, s, 0)
	channel := raw(t)
	defer channel.QueueDelete(t.Name(), false, false, false)
	publish(t, "", t.Name(), amqp.Publishing{})
	d := receive(t, c)
	if err := c.Cancel(within(t)); err != nil {
		t.Fatal(err)
	}
	if d, ok := c.Receive(within(t).Done()); ok {
		t.Errorf("received %+v after Cancel", d)
	}
	if err := c.Ack(d.DeliveryTag); err != nil {
		t.Error(err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Error(err)
	}
	if q, err := channel.QueueDeclarePassive(t.Name(), false, false, false, false, nil); err != nil || q.Messages != 0 || q.Consumers != 0 {
		t.Errorf("the queue: %+v, %v", q, err)
	}
	wantNoLoss(t, s)
}
