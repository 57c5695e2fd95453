package broker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
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

func TestPublishUnroutable(t *testing.T) {
	queue, _ := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	confirms := map[string]*broker.Confirm{}
	for range 2 {
		for _, key := range []string{queue, "nowhere"} {
			for i := range 50 {
				confirm, err := p.Publish(within(t), broker.Message{RoutingKey: key})
				if err != nil {
					t.Fatal(err)
				}
				confirms[fmt.Sprint(key, i)] = confirm
			}
		}
		for i := range 50 {
			if err := confirms[fmt.Sprint(queue, i)].Wait(within(t)); err != nil {
				t.Errorf("routable: %v", err)
			}
			if err := confirms[fmt.Sprint("nowhere", i)].Wait(within(t)); !errors.Is(err, broker.ErrUnroutable) {
				t.Errorf("unroutable: %v", err)
			}
		}
	}
}

// A delivery can be published again as it is.
func TestPublishEveryProperty(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	m := broker.Message{
		RoutingKey: queue, Body: []byte("x"), Headers: map[string]any{"a": "b", "in": map[string]any{"list": []any{int32(1)}}},
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageID: "id", Timestamp: time.Unix(1234567890, 0), Type: "type", UserID: "guest", AppID: "app",
	}
	want := amqp.Delivery{
		RoutingKey: queue, Body: m.Body, Headers: amqp.Table{"a": "b", "in": amqp.Table{"list": []any{int32(1)}}},
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationId: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageId: "id", Timestamp: time.Unix(1234567890, 0), Type: "type", UserId: "guest", AppId: "app",
		DeliveryMode: amqp.Persistent, DeliveryTag: 1,
	}
	if err := send(t, p, m); err != nil {
		t.Fatal(err)
	}
	got, ok, err := channel.Get(queue, true)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if got.Acknowledger = nil; !reflect.DeepEqual(got, want) {
		t.Errorf("stored as %+v, want %+v", got, want)
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

// Message ids belong to the application and need not be unique: a message that is published to two
// places has the same one in both, and one that is published again may have none.
func TestPublishTellsMessagesOfOneIDApart(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	for _, m := range []broker.Message{{MessageID: "same"}, {NoMessageID: true}} {
		m.RoutingKey = "nowhere"
		lost, err := p.Publish(within(t), m)
		if err != nil {
			t.Fatal(err)
		}
		m.RoutingKey = queue
		stored, err := p.Publish(within(t), m)
		if err != nil {
			t.Fatal(err)
		}
		if err := stored.Wait(within(t)); err != nil {
			t.Errorf("the stored one: %v", err)
		}
		if err := lost.Wait(within(t)); !errors.Is(err, broker.ErrUnroutable) {
			t.Errorf("the one that was not stored: %v", err)
		}
		got, ok, err := channel.Get(queue, true)
		_, marked := got.Headers[broker.HeaderPublishID]
		if err != nil || !ok || got.MessageId != m.MessageID || marked != m.NoMessageID {
			t.Errorf("got id %q and headers %v, %v", got.MessageId, got.Headers, err)
		}
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

func TestPublishWhatCannotBeEncoded(t *testing.T) {
	cycle := map[string]any{}
	cycle["again"] = cycle
	queue, _ := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	for what, m := range map[string]broker.Message{
		"a struct in a header": {RoutingKey: queue, Headers: map[string]any{"a": struct{}{}}},
		"a long routing key":   {RoutingKey: strings.Repeat("k", 256)},
		"an endless header":    {RoutingKey: queue, Headers: cycle},
		"a long app id":        {RoutingKey: queue, AppID: strings.Repeat("a", 256)},
	} {
		if err := send(t, p, m); err == nil {
			t.Errorf("published %s", what)
		}
	}
	if err := send(t, p, broker.Message{RoutingKey: queue}); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// amqp091-go sends an int as 32 bits, and what does not fit into them would arrive as another number.
func TestPublishLargeNumbers(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	for _, n := range []int{0, -1, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt64} {
		headers := map[string]any{"n": n, "in": []any{map[string]any{"n": n}}}
		if err := send(t, p, broker.Message{RoutingKey: queue, Headers: headers}); err != nil {
			t.Fatal(err)
		}
		d, ok, err := channel.Get(queue, true)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if want := fmt.Sprintf("map[in:[map[n:%d]] n:%d]", n, n); fmt.Sprint(d.Headers) != want {
			t.Errorf("got %v, want %s", d.Headers, want)
		}
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
	plan.DrainTimeout, plan.ProbeTimeout = time.Second/2, time.Second/2
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

// A header frame cannot be divided: one that is too large is refused here, and harms no other message. RabbitMQ
// takes all that are not.
func TestPublishLargeHeaders(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	const frameMax = 131072 // RabbitMQ's default
	for _, test := range []struct {
		bytes int
		fits  bool
	}{{100, true}, {frameMax - 400, true}, {frameMax - 20, false}, {frameMax, false}, {4 * frameMax, false}} {
		err := send(t, p, broker.Message{RoutingKey: queue, Headers: map[string]any{"h": strings.Repeat("x", test.bytes)}})
		if test.fits && err != nil || !test.fits && !errors.Is(err, broker.ErrHeaderTooLarge) {
			t.Errorf("a header of %d bytes: %v", test.bytes, err)
		}
		if err := send(t, p, broker.Message{RoutingKey: queue, Body: []byte("beside")}); err != nil {
			t.Fatalf("behind a header of %d bytes: %v", test.bytes, err)
		}
	}
	for n := 0; ; n++ {
		if _, ok, err := channel.Get(queue, true); err != nil || !ok {
			if n != 7 || err != nil {
				t.Errorf("%d messages are there, %v; want 7", n, err)
			}
			break
		}
	}
}
