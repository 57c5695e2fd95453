package consumer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Any publisher can set the header that a stream's messages have: that makes no stream of a queue.
func TestForeignStreamHeader(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var calls atomic.Int64
	s := &r.config.Subscriptions[0]
	s.Retry = consumer.Retry{Attempts: 1, Poison: consumer.PutBack}
	s.RequeuePause = time.Millisecond
	s.Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if _, forged := d.Headers["x-stream-offset"]; forged && calls.Add(1) == 1 {
			return errFails
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.awaitState(consumer.Consuming)
	r.onChannel(func(c *amqp.Channel) error {
		return c.PublishWithContext(t.Context(), "", r.queue, false, false,
			amqp.Publishing{Headers: amqp.Table{"x-stream-offset": int64(5)}, Body: []byte("forged")})
	})
	r.mu.Lock()
	r.published++
	r.mu.Unlock()
	r.await("it to be put back and handled", func() bool { return r.c.Stats().Acknowledged == 1 })
	n := r.events()
	r.proxy.Reset()
	r.awaitEvent(n, consumer.Revived)
	r.flows()
	r.stop()
}

// A Commit that hangs keeps no other subscription from being revived.
func TestHangingCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := r.queue + ".other"
	r.declare(other)
	t.Cleanup(func() { r.deleteQueue(other) })
	hang := make(chan struct{})
	var hangs atomic.Bool
	a, b := r.config.Subscriptions[0], r.config.Subscriptions[0]
	a.Commit = func(context.Context) error {
		hangs.Store(true)
		<-hang
		return nil
	}
	b.Queue = other
	r.config.Subscriptions = append(r.config.Subscriptions[:0], a, b)
	r.start()
	r.awaitState(consumer.Consuming)
	r.publish(1)
	r.await("a Commit that hangs", hangs.Load)
	n := r.events()
	r.deleteQueue(r.queue) // its consumer is lost, its channel is not
	n = r.awaitEvent(n, consumer.ChannelError)
	r.declare(r.queue)
	n = r.awaitEvent(n, consumer.Revived)
	r.proxy.Reset()
	r.awaitEvent(n, consumer.Revived)
	close(hang)
	r.stop()
}

type hollow struct{ cause error }

func (h *hollow) Error() string { return h.cause.Error() }
func (h *hollow) Unwrap() error { return h.cause }

// An error whose methods panic is a failure like a panic of the handler's.
func TestErrorThatPanics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var calls atomic.Int64
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if calls.Add(1) == 1 {
			return (*hollow)(nil)
		}
		return r.handle(ctx, d)
	}
	r.publish(1)
	r.start()
	r.awaitHandled()
	r.stop()
	r.wantStats(consumer.Stats{Acknowledged: 1, Failed: 1})
}

// Whoever handles a delivery learns that its outcome could not be sent.
func TestOnStale(t *testing.T) {
	t.Parallel()
	server := brokertest.NewServer(t)
	if err := errors.Join(server.DeclareQueue("work", nil),
		server.PublishMessage("work", brokertest.Message{Body: []byte("x"), MessageID: "id 1"})); err != nil {
		t.Fatal(err)
	}
	began, let, told := make(chan struct{}, 2), make(chan struct{}), make(chan consumer.Stale, 1)
	journal := fsm.NewRing(100)
	c, err := consumer.New(consumer.Config{
		URLs:    []string{server.URL()},
		Journal: journal,
		OnStale: func(s consumer.Stale) { told <- s },
		Subscriptions: []consumer.Subscription{{
			Queue: "work",
			Handler: func(context.Context, *consumer.Delivery) error {
				began <- struct{}{}
				<-let
				return nil
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(t.Context()) }()
	<-began
	<-server.Inject(brokertest.Now(), brokertest.Reset()).Played
	if err := server.Await(t.Context(), func() bool {
		q, _ := server.Queue("work")
		return q.Consumers == 1 && len(server.Connections()) == 1 && server.Connections()[0].ID > 1
	}); err != nil {
		t.Fatal(err)
	}
	close(let)
	s := <-told
	if s.Queue != "work" || s.MessageID != "id 1" || s.DeliveryTag != 1 || s.Generation != 1 || s.Age <= 0 {
		t.Errorf("%+v", s)
	}
	if err := errors.Join(c.Stop(context.Background()), <-ended); err != nil {
		t.Error(err)
	}
	if n := c.Stats().Stale; n != 1 {
		t.Errorf("%d are counted as stale, want 1", n)
	}
}
