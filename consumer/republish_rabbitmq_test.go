package consumer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// TestRepublishWithRabbitMQ delays a message three times and parks it. The message claims to have died in
// the work queue before, as one does that was moved back from a dead-letter queue: were it published again
// so, RabbitMQ would take its way back from the delay queue for a cycle, and drop it.
func TestRepublishWithRabbitMQ(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, test := range []struct {
		kind   string // of the work queue
		parked string // the parking queue's, which an operator has made; "" if nobody has
	}{{"classic", ""}, {"quorum", "quorum"}} {
		t.Run(test.kind, func(t *testing.T) {
			work := "republish." + test.kind
			l := layOut(ctx, t, work, test.kind, test.parked)
			l.publish(ctx, map[string]any{
				"x-death": []any{map[string]any{"queue": work, "reason": "expired", "count": int64(1), "exchange": "", "time": firstTime, "routing-keys": []any{work}}},
				"a":       map[string]any{"b": []any{int32(1), "two"}},
			})
			for round := 1; round <= 3; round++ {
				d := l.receive(ctx, l.work)
				if n := Attempts(d); n != round-1 {
					t.Errorf("round %d: %d attempts before", round, n)
				}
				why := failure{err: fmt.Errorf("round %d: %w", round, errHandler), attempts: round, first: firstTime.Add(time.Duration(round) * time.Hour)}
				why.last = why.first
				if err := l.r.delay(ctx, d, 20*time.Millisecond, why); err != nil {
					t.Fatal(err)
				}
				if err := l.work.Ack(d.DeliveryTag); err != nil {
					t.Fatal(err)
				}
			}
			d := l.receive(ctx, l.work)
			if n := Attempts(d); n != 3 {
				t.Errorf("at last: %d attempts", n)
			}
			if err := l.r.park(ctx, d, l.parked, failure{errHandler, 4, secondTime, secondTime}); err != nil {
				t.Fatal(err)
			}
			if err := l.work.Ack(d.DeliveryTag); err != nil {
				t.Fatal(err)
			}
			l.check(l.receive(ctx, l.consume(ctx, l.parked)))
		})
	}
}

// The shortest and the longest delay queue are such that RabbitMQ takes them.
func TestDelayLimitsOfRabbitMQ(t *testing.T) {
	l := layOut(t.Context(), t, "republish.limits", "classic", "quorum")
	d := delivered("x")
	d.Queue = l.name
	for after, queue := range map[time.Duration]string{1: ".retry.1", maxDelay: ".retry.4200000000"} {
		t.Cleanup(func() {
			l.raw(func(c *amqp.Channel) error {
				_, err := c.QueueDelete(l.name+queue, false, false, false)
				return err
			})
		})
		if err := l.r.delay(t.Context(), d, after, itFailed); err != nil {
			t.Errorf("%v: %v", after, err)
		}
	}
}

// layout is a work queue on RabbitMQ, its consumer, and a republisher.
type layout struct {
	*testing.T
	url    string
	plan   broker.Plan
	parked string
	name   string
	work   *broker.Consumer
	r      *republisher
}

func layOut(ctx context.Context, t *testing.T, work, kind, parkedKind string) *layout {
	t.Helper()
	node := rabbittest.Shared(t)
	endpoints, err := broker.ParseEndpoints(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	l := &layout{T: t, url: node.URL(), plan: broker.Plan{Endpoints: endpoints, Name: t.Name()}, name: work, parked: work + ".parked"}
	l.r = newRepublisher(l.plan, zerolog.New(zerolog.NewTestWriter(t)))
	t.Cleanup(func() { l.r.close(context.Background()) })
	l.raw(func(c *amqp.Channel) error {
		if parkedKind != "" {
			if _, err := c.QueueDeclare(l.parked, true, false, false, false, amqp.Table{"x-queue-type": parkedKind}); err != nil {
				return err
			}
		}
		_, err := c.QueueDeclare(work, true, false, false, false, amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": ""})
		return err
	})
	t.Cleanup(func() {
		l.raw(func(c *amqp.Channel) error {
			var problems []error
			for _, queue := range []string{work, l.parked, work + ".retry.20"} {
				_, err := c.QueueDelete(queue, false, false, false)
				problems = append(problems, err)
			}
			return errors.Join(problems...)
		})
	})
	l.work = l.consume(ctx, work)
	return l
}

func (l *layout) raw(f func(*amqp.Channel) error) {
	l.Helper()
	connection, err := amqp.Dial(l.url)
	if err != nil {
		l.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err == nil {
		err = f(channel)
	}
	if err != nil {
		l.Fatal(err)
	}
}

func (l *layout) consume(ctx context.Context, queue string) *broker.Consumer {
	l.Helper()
	plan := l.plan
	plan.Subscriptions = []broker.Subscription{{Queue: queue, Prefetch: 10}}
	s, err := broker.Open(ctx, plan, 1, 0)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(s.Abort)
	c, err := s.Consume(ctx, 0, broker.Intake{})
	if err != nil {
		l.Fatal(err)
	}
	return c
}

func (l *layout) receive(ctx context.Context, c *broker.Consumer) *Delivery {
	l.Helper()
	d, ok := c.Receive(ctx.Done())
	if !ok {
		l.Fatalf("no message came from %s", c.Queue())
	}
	return d
}

// publish sends a message with every property into the work queue.
func (l *layout) publish(ctx context.Context, headers map[string]any) {
	l.Helper()
	p, err := broker.OpenPublisher(ctx, l.plan)
	if err != nil {
		l.Fatal(err)
	}
	defer p.Close(ctx)
	confirm, err := p.Publish(ctx, broker.Message{
		RoutingKey: l.name, Body: []byte("body"), Headers: headers,
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageID: "id", Timestamp: firstTime, Type: "type", UserID: "guest", AppID: "app",
	})
	if err == nil {
		err = confirm.Wait(ctx)
	}
	if err != nil {
		l.Fatal(err)
	}
}

// check compares what was parked in the end.
func (l *layout) check(d *Delivery) {
	l.Helper()
	want := &Delivery{
		Queue: l.parked, RoutingKey: l.parked, Body: []byte("body"), DeliveryMode: 2,
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		MessageID: "id", Timestamp: firstTime, Type: "type", AppID: "app",
		ConsumerTag: d.ConsumerTag, DeliveryTag: d.DeliveryTag, Generation: d.Generation, ReceivedAt: d.ReceivedAt,
		Headers: map[string]any{
			"a": map[string]any{"b": []any{int32(1), "two"}}, "x-first-death-queue": l.name + ".retry.20",
			"x-first-death-reason": "expired", "x-first-death-exchange": "",
			HeaderAttempts: int64(4), HeaderError: errHandler.Error(), HeaderFirstFailed: firstTime.Add(time.Hour), HeaderLastFailed: secondTime,
			HeaderQueue: l.name, HeaderHost: l.r.host, HeaderExchange: "", HeaderRoutingKey: l.name,
			HeaderExpiration: "60000", HeaderUserID: "guest",
		},
	}
	if !reflect.DeepEqual(d, want) {
		l.Errorf("parked %+v\n  want %+v", d, want)
	}
}
