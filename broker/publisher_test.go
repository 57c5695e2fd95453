package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

func publisher(t *testing.T, url string) *broker.Publisher {
	t.Helper()
	p, err := broker.OpenPublisher(within(t), planFor(t, url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(within(t)) })
	return p
}

func send(t *testing.T, p *broker.Publisher, m broker.Message) error {
	t.Helper()
	confirm, err := p.Publish(within(t), m)
	if err != nil {
		return err
	}
	return confirm.Wait(within(t))
}

// declare makes a queue that goes with the test.
func declare(t *testing.T, arguments amqp.Table) (name string, channel *amqp.Channel) {
	t.Helper()
	channel = raw(t)
	if _, err := channel.QueueDeclare(t.Name(), false, false, true, false, arguments); err != nil {
		t.Fatal(err)
	}
	return t.Name(), channel
}

func TestPublish(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	m := broker.Message{
		RoutingKey: queue, Body: []byte("x"), ContentType: "text/plain",
		Headers: map[string]any{"a": "b"}, MessageID: "id",
	}
	if err := send(t, p, m); err != nil {
		t.Fatal(err)
	}
	d, ok, err := channel.Get(queue, true) // confirmed, so it is there
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if string(d.Body) != "x" || d.ContentType != "text/plain" || d.Headers["a"] != "b" || d.MessageId != "id" || d.DeliveryMode != 2 {
		t.Errorf("stored as %+v", d)
	}
	if err := p.Close(within(t)); err != nil {
		t.Error(err)
	}
	if err := send(t, p, m); err == nil {
		t.Error("published after Close")
	}
}

func TestPublishAsAnotherUser(t *testing.T) {
	queue, _ := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	want(t, send(t, p, broker.Message{RoutingKey: queue, UserID: "somebody"}), broker.Precondition, 406, broker.ScopeChannel)
	if !p.Lost() {
		t.Error("the channel is closed, and the publisher not lost")
	}
}

func TestPublishToAMissingExchange(t *testing.T) {
	p := publisher(t, rabbittest.Shared(t).URL())
	m := broker.Message{Exchange: "none", RoutingKey: "x"}
	for range 2 { // the second finds the channel closed, for the same reason
		want(t, send(t, p, m), broker.NotFound, 404, broker.ScopeChannel)
	}
}

func TestPublishRefused(t *testing.T) {
	queue, _ := declare(t, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	p := publisher(t, rabbittest.Shared(t).URL())
	m := broker.Message{RoutingKey: queue}
	if err := send(t, p, m); err != nil {
		t.Fatal(err)
	}
	if err := send(t, p, m); !errors.Is(err, broker.ErrRefused) {
		t.Errorf("into a full queue: %v", err)
	}
}

// Who gave up before publishing takes nobody else's connection away.
func TestPublishWithAnEndedContext(t *testing.T) {
	queue, _ := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 30 {
		if _, err := p.Publish(ended, broker.Message{RoutingKey: queue}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	if err := send(t, p, broker.Message{RoutingKey: queue}); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// What is refused closes a channel, and not that of the messages.
func TestPublisherDeclaresAQueue(t *testing.T) {
	node := rabbittest.Shared(t)
	p := publisher(t, node.URL())
	name, channel := t.Name(), raw(t)
	t.Cleanup(func() { channel.QueueDelete(name, false, false, false) })
	if err := send(t, p, broker.Message{RoutingKey: name}); !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("before: %v", err)
	}
	options := broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-max-length": 3}}
	for range 2 {
		if err := p.DeclareQueue(within(t), name, options); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(t, p, broker.Message{RoutingKey: name}); err != nil {
		t.Errorf("after: %v", err)
	}

	held := name + ".held"
	if _, err := channel.QueueDeclare(held, false, false, true, false, nil); err != nil {
		t.Fatal(err)
	}
	want(t, p.DeclareQueue(within(t), name, broker.QueueOptions{Durable: true}), broker.Precondition, 406, broker.ScopeChannel)
	want(t, p.DeclareQueue(within(t), "amq.mine", options), broker.Auth, 403, broker.ScopeChannel)
	want(t, p.DeclareQueue(within(t), held, broker.QueueOptions{}), broker.Exclusive, 405, broker.ScopeChannel)
	if err := send(t, p, broker.Message{RoutingKey: name}); err != nil || p.Lost() {
		t.Errorf("after refusals: %v, lost %t", err, p.Lost())
	}
}

func TestPublishManyInFlight(t *testing.T) {
	const senders, each = 5, 1000
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	var work sync.WaitGroup
	for sender := range senders {
		confirms := make(chan *broker.Confirm, each)
		work.Go(func() {
			defer close(confirms)
			for i := range each {
				confirm, err := p.Publish(context.Background(), broker.Message{RoutingKey: queue, Body: fmt.Append(nil, sender, ":", i)})
				if err != nil {
					t.Error(err)
					return
				}
				confirms <- confirm
			}
		})
		work.Go(func() {
			for confirm := range confirms {
				if err := confirm.Wait(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	seen := map[string]bool{}
	for {
		d, ok, err := channel.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		seen[string(d.Body)] = true
	}
	if len(seen) != senders*each {
		t.Errorf("%d different messages stored, %d confirmed", len(seen), senders*each)
	}
}

func TestPublishOnALostConnection(t *testing.T) {
	const outstanding = 100
	node := rabbittest.Shared(t)
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	queue, _ := declare(t, nil)
	p := publisher(t, proxy.URL(node.URL()))
	proxy.Freeze(rabbittest.Both)
	var confirms []*broker.Confirm
	for range outstanding {
		confirm, err := p.Publish(within(t), broker.Message{RoutingKey: queue})
		if err != nil {
			t.Fatal(err)
		}
		confirms = append(confirms, confirm)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := confirms[0].Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait past its context: %v", err)
	}
	proxy.Reset()
	for _, confirm := range confirms[1:] {
		want(t, confirm.Wait(within(t)), broker.Network, 0, broker.ScopeConnection)
	}
	want(t, send(t, p, broker.Message{RoutingKey: queue}), broker.Network, 0, broker.ScopeConnection)
}

func TestPublishWaitsForAnAlarmToClear(t *testing.T) {
	rabbittest.NeedsControl(t)
	node := rabbittest.Shared(t)
	queue, _ := declare(t, nil)
	plan := planFor(t, node.URL())
	plan.DrainTimeout, plan.ProbeTimeout = time.Second/2, 5*time.Second
	p, err := broker.OpenPublisher(within(t), plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(within(t)) })
	if err := node.MemoryAlarm(within(t), true); err != nil {
		t.Fatal(err)
	}
	defer node.MemoryAlarm(context.Background(), false)
	confirm, err := p.Publish(within(t), broker.Message{RoutingKey: queue}) // makes it a publishing connection
	if err != nil {
		t.Fatal(err)
	}
	wantBlocked := func(active bool) {
		t.Helper()
		select {
		case b := <-p.BlockedChanges():
			if b.Active != active {
				t.Errorf("got %+v", b)
			}
		case <-time.After(moment):
			t.Fatalf("blocked %t was not told", active)
		}
	}
	wantBlocked(true)

	// More than the sockets hold, and for longer than a peer may be silent.
	published := make(chan error, 1)
	go func() {
		var err error
		for range 200 {
			if _, err = p.Publish(context.Background(), broker.Message{RoutingKey: queue, Body: make([]byte, 128<<10)}); err != nil {
				break
			}
		}
		published <- err
	}()
	select {
	case err := <-published:
		t.Fatalf("Publish did not wait: %v", err)
	case <-time.After(2 * (plan.DrainTimeout + plan.ProbeTimeout)):
	}
	if err := node.MemoryAlarm(within(t), false); err != nil {
		t.Fatal(err)
	}
	wantBlocked(false)
	if err := <-published; err != nil {
		t.Errorf("after the alarm: %v", err)
	}
	if err := confirm.Wait(within(t)); err != nil {
		t.Errorf("the message before the alarm: %v", err)
	}
}
