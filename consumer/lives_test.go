package consumer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

func TestLastLives(t *testing.T) {
	for limit, want := range map[int]int{NoDeliveryLimit: 0, 0: 0, 1: 1, 2: 1, 3: 1, 4: 2, 5: 3, 8: 6, 20: 15, 100: 75} {
		if got := lastLives(limit); got != want {
			t.Errorf("limit %d: from %d on, want %d", limit, got, want)
		}
	}
}

func TestDeliveryLimit(t *testing.T) {
	declared := func(limit any) *broker.QueueOptions {
		return &broker.QueueOptions{Arguments: map[string]any{"x-delivery-limit": limit}}
	}
	for _, test := range []struct {
		name string
		s    Subscription
		want int
	}{
		{"nothing said", Subscription{}, 20},
		{"declared without", Subscription{Declare: &broker.QueueOptions{}}, 20},
		{"declared", Subscription{Declare: declared(3)}, 3},
		{"declared, of another type", Subscription{Declare: declared(uint8(4))}, 4},
		{"declared to have none", Subscription{Declare: declared(int64(-1))}, -1},
		{"set", Subscription{DeliveryLimit: 7}, 7},
		{"set to none", Subscription{DeliveryLimit: NoDeliveryLimit, Declare: declared(3)}, -1},
		{"set goes before declared", Subscription{DeliveryLimit: 7, Declare: declared(3)}, 7},
	} {
		if got := test.s.deliveryLimit(4); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	if got := (Subscription{}).deliveryLimit(3); got != NoDeliveryLimit {
		t.Errorf("before RabbitMQ 4: %d", got)
	}
}

// worn is a quorum queue with a delivery limit of 3, with one message that has come back so often, and a consumer
// of it. Its one handler is busy with another message until it is let go.
type worn struct {
	*testing.T
	server  *brokertest.Server
	c       *Consumer
	busy    chan struct{}
	handled chan Delivery
	events  *fsm.Ring
}

func playWorn(t *testing.T, returns int, m brokertest.Message, set func(*worn, *Subscription), test func(*worn)) {
	synctest.Test(t, func(t *testing.T) {
		w := &worn{T: t, server: brokertest.NewInMemoryServer(t), busy: make(chan struct{}), handled: make(chan Delivery, 10), events: fsm.NewRing(1000)}
		options := &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": "quorum", "x-delivery-limit": 3}}
		declareIn(t, w.server, "work", options.Arguments)
		if err := w.server.PublishMessage("work", m); err != nil {
			t.Fatal(err)
		}
		w.wear(returns)
		if err := w.server.Publish("work", "busy"); err != nil {
			t.Fatal(err)
		}
		s := Subscription{Queue: "work", Declare: options, Handler: w.handle}
		if set != nil {
			set(w, &s)
		}
		c, err := New(Config{
			URLs: []string{w.server.URL()}, Dial: w.server.Dial, Name: "worn", Journal: w.events, Logger: zerolog.Nop(),
			Subscriptions: []Subscription{s},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.c = c
		stop, ended := running(t, c)
		synctest.Wait()
		test(w)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// wear has the message come back.
func (w *worn) wear(returns int) {
	endpoints, err := broker.ParseEndpoints(w.server.URL())
	if err != nil {
		w.Fatal(err)
	}
	s, err := broker.Open(w.Context(), broker.Plan{
		Endpoints: endpoints, Dial: w.server.Dial, Subscriptions: []broker.Subscription{{Queue: "work", Prefetch: 1}},
	}, 1, 0)
	if err != nil {
		w.Fatal(err)
	}
	c, err := s.Consume(w.Context(), 0, broker.Intake{})
	if err != nil {
		w.Fatal(err)
	}
	for i := range returns {
		d, _ := c.Receive(nil)
		if i == returns-1 {
			s.Abort() // which gives it back, too
		} else if err := c.Reject(d.DeliveryTag, true); err != nil {
			w.Fatal(err)
		}
	}
	synctest.Wait()
}

// wearAll has all messages of a queue come back so often.
func (w *worn) wearAll(queue string, messages, returns int) {
	endpoints, err := broker.ParseEndpoints(w.server.URL())
	if err != nil {
		w.Fatal(err)
	}
	for range returns {
		s, err := broker.Open(w.Context(), broker.Plan{
			Endpoints: endpoints, Dial: w.server.Dial, Subscriptions: []broker.Subscription{{Queue: queue, Prefetch: messages}},
		}, 1, 0)
		if err != nil {
			w.Fatal(err)
		}
		c, err := s.Consume(w.Context(), 0, broker.Intake{Prefetch: messages})
		if err != nil {
			w.Fatal(err)
		}
		for range messages {
			c.Receive(nil)
		}
		s.Abort()
		synctest.Wait()
	}
}

func (w *worn) handle(ctx context.Context, d *Delivery) error {
	if string(d.Body) == "busy" {
		select {
		case <-w.busy:
		case <-ctx.Done():
		}
	}
	w.handled <- *d
	return nil
}

// next is what is handled next.
func (w *worn) next() Delivery {
	select {
	case d := <-w.handled:
		return d
	case <-time.After(time.Minute):
		w.Fatal("nothing is handled")
		return Delivery{}
	}
}

func (w *worn) wantSaved(n uint64) {
	w.Helper()
	if got := w.c.Stats().Saved; got != n {
		w.Errorf("%d messages were saved, want %d", got, n)
	}
	var told uint64
	for _, e := range w.events.Events() {
		if e.Name == NoteSaved {
			told++
		}
	}
	if told != n {
		w.Errorf("events tell of %d messages that were saved, want %d", told, n)
	}
}
