package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// Connections that are reset again and again.
func TestRabbitMQResets(t *testing.T) {
	l := onRabbitMQ(t)
	classic, quorum := l.queue("classic"), l.queue("quorum")
	stop := l.stream(classic, quorum)
	for range 20 {
		time.Sleep(150 * time.Millisecond)
		l.proxy.Reset()
	}
	n := stop()
	l.flush()
	l.wantConfirmed(2 * n)
	twice := l.wantOrder(classic, n) + l.wantOrder(quorum, n)
	t.Logf("%d messages, %d of them twice", 2*n, twice)
	if resent := l.p.Stats().Resent; uint64(twice) > resent {
		t.Errorf("%d messages are there twice, and %d were sent again", twice, resent)
	}
}

// The node is killed, and comes back.
func TestRabbitMQKilled(t *testing.T) {
	rabbittest.NeedsControl(t)
	l := onRabbitMQ(t)
	classic, quorum := l.queue("classic"), l.queue("quorum")
	stop := l.stream(classic, quorum)
	time.Sleep(time.Second)
	l.must(l.node.Kill())
	l.must(l.node.Restart(context.Background()))
	time.Sleep(time.Second)
	n := stop()
	l.flush()
	l.wantConfirmed(2 * n)
	t.Logf("%d messages, %d of them twice", 2*n, l.wantOrder(classic, n)+l.wantOrder(quorum, n))
}

// An alarm: the state says it, and nothing is lost.
func TestRabbitMQAlarm(t *testing.T) {
	rabbittest.NeedsControl(t)
	l := onRabbitMQ(t)
	classic := l.queue("classic")
	stop := l.stream(classic)
	ctx := context.Background()
	l.must(l.node.MemoryAlarm(ctx, true))
	defer func() { l.must(l.node.MemoryAlarm(ctx, false)) }()
	rabbittest.Eventually(t, time.Minute, "the publisher is blocked", func() bool { return l.p.State() == publish.Blocked })
	time.Sleep(5 * time.Second) // longer than a silent peer lives
	if l.p.State() != publish.Blocked || l.p.Stats().BlockedSince.IsZero() {
		t.Errorf("%s, %+v", l.p.State(), l.p.Stats())
	}
	l.must(l.node.MemoryAlarm(ctx, false))
	n := stop()
	l.flush()
	if twice := l.wantOrder(classic, n); twice != 0 {
		t.Errorf("%d are there twice", twice)
	}
	for _, trigger := range l.triggers() {
		if trigger == publish.ConnectionError || trigger == publish.HeartbeatFailed {
			t.Errorf("%v", l.triggers())
		}
	}
}

// What RabbitMQ does not like gets its error, and nothing else notices.
func TestRabbitMQBadMessages(t *testing.T) {
	l := onRabbitMQ(t)
	classic, quorum := l.queue("classic"), l.queue("quorum")
	internal := t.Name() + ".internal"
	channel := l.channel()
	l.must(channel.ExchangeDeclare(internal, "fanout", true, false, true, false, nil))
	defer func() { _ = channel.ExchangeDelete(internal, false, false) }()
	full := t.Name() + ".full"
	if _, err := channel.QueueDeclare(full, true, false, false, false, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"}); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = channel.QueueDelete(full, false, false, false) }()
	for i := range 5 { // a classic queue has some slack
		l.send(to(full, fmt.Sprint(i)))
	}
	l.flush()
	kinds := []struct {
		message broker.Message
		code    int
		is      error
	}{
		{broker.Message{Exchange: "missing", RoutingKey: "x"}, 404, nil},
		{broker.Message{Exchange: internal, RoutingKey: "x"}, 403, nil},
		{broker.Message{RoutingKey: classic, UserID: "other"}, 406, nil},
		{broker.Message{RoutingKey: quorum, Expiration: "soon"}, 406, nil},
		{broker.Message{RoutingKey: "nowhere"}, 0, broker.ErrUnroutable},
		{broker.Message{RoutingKey: full}, 0, broker.ErrRefused},
		{broker.Message{RoutingKey: classic, Headers: map[string]any{"h": strings.Repeat("x", 140_000)}}, 0, broker.ErrHeaderTooLarge},
	}
	const n = 2000
	bad := make([][]*publish.Confirmation, len(kinds))
	for i := range n {
		if i%50 == 49 {
			k := i / 50 % len(kinds)
			bad[k] = append(bad[k], l.send(&kinds[k].message))
		}
		l.send(to(classic, fmt.Sprint(i)))
		l.send(to(quorum, fmt.Sprint(i)))
	}
	l.flush()
	for k, kind := range kinds {
		for _, c := range bad[k] {
			var refused *broker.Error
			if kind.code != 0 && (!errors.As(c.Err(), &refused) || refused.Code != kind.code) || !errors.Is(c.Err(), kind.is) && kind.is != nil {
				t.Errorf("%q %q: %v", kind.message.Exchange, kind.message.RoutingKey, c.Err())
			}
		}
	}
	t.Logf("%d of %d are there twice", l.wantOrder(classic, n)+l.wantOrder(quorum, n), 2*n)
	for _, trigger := range l.triggers() {
		if trigger == publish.ConnectionError || trigger == publish.HeartbeatFailed {
			t.Errorf("%v", l.triggers())
		}
	}
}

// A large message over a slow line holds the connection for seconds, and does not end it: what else is sent over it passes
// between its frames. With EVERHOP_TEST_LARGE it is 100 MB over 1 MB/s, which make large sets.
func TestRabbitMQLargeMessage(t *testing.T) {
	rabbittest.NeedsControl(t)
	size, rate := 60_000_000, 6_000_000
	if os.Getenv("EVERHOP_TEST_LARGE") != "" {
		size, rate = 100_000_000, 1_000_000
	}
	l := onRabbitMQ(t, func(c *publish.Config) { c.CallTimeout = time.Minute }) // what the kernel buffers takes its time
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	before, err := l.node.MaxMessageSize(ctx, 2*size)
	l.must(err)
	defer func() {
		_, err := l.node.MaxMessageSize(context.Background(), before)
		l.must(err)
	}()
	classic, quorum := l.queue("classic"), l.queue("quorum")
	l.proxy.Limit(rabbittest.ToBroker, rate)
	l.proxy.Reset() // the channel to come takes the new limit, with the small buffers of a slow line
	for i := range 51 {
		l.send(to(classic, fmt.Sprint(i)))
		l.send(to(quorum, fmt.Sprint(i)))
	}
	body := make([]byte, size)
	copy(body, "51")
	began := time.Now()
	large := l.send(&broker.Message{RoutingKey: classic, Body: body})
	for i := 51; i < 100; i++ {
		l.send(to(quorum, fmt.Sprint(i)))
	}
	time.Sleep(time.Duration(size/rate) * time.Second / 4)
	asked := time.Now()
	l.must(l.p.DeclareQueue(ctx, classic, broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": "classic"}}))
	answered := time.Since(asked)
	select {
	case <-large.Done():
		t.Errorf("nothing passes before all of it is there: %v", large.Err())
	default:
	}
	l.must(large.Wait(ctx))
	took := time.Since(began)
	l.flush()
	if took < time.Duration(size/rate)*time.Second {
		t.Errorf("it took %v: the line is not slow", took)
	}
	t.Logf("%d bytes over %d a second took %v; a declaration meanwhile took %v", size, rate, took, answered)
	l.proxy.Limit(rabbittest.ToBroker, 0)
	l.wantOrder(classic, 52)
	l.wantOrder(quorum, 100)
	triggers := l.triggers()
	if lost := slices.Index(triggers, publish.ConnectionError); lost < 0 || slices.ContainsFunc(triggers[lost+1:], func(trigger fsm.Trigger) bool {
		return slices.Contains(publish.Failures(), trigger)
	}) {
		t.Errorf("more than the reset: %v", triggers)
	}
}

// A queue whose process answers nobody keeps what goes to it from being confirmed, and nothing else: neither when it stops, nor
// when there is another connection.
func TestRabbitMQSuspendedQueue(t *testing.T) {
	rabbittest.NeedsControl(t)
	for kind, another := range map[string]string{"classic": "quorum", "quorum": "classic"} {
		t.Run(kind, func(t *testing.T) {
			l := onRabbitMQ(t)
			stuck, other := l.queue(kind), l.queue(another)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			sent := make(chan error, 1)
			const n, each = 2000, 1000
			go func() {
				for i := range n {
					if _, err := l.p.Send(ctx, to(stuck, fmt.Sprint(i))); err != nil {
						sent <- err
						return
					}
					if i < n/4 {
						time.Sleep(time.Millisecond)
					}
				}
				sent <- nil
			}()
			l.must(l.p.Publish(ctx, to(other, "first")))
			l.must(l.node.SuspendQueue(ctx, stuck))
			goesOn := func() {
				began := time.Now()
				var b publish.Batch
				for i := range each {
					l.must(b.Send(ctx, l.p, to(other, fmt.Sprint(i))))
				}
				l.must(b.Commit(ctx))
				t.Logf("%d beside it in %v", each, time.Since(began))
			}
			goesOn()
			l.proxy.Reset()
			goesOn()
			l.proxy.Reset()
			l.must(l.p.Publish(ctx, to(other, "last")))
			l.must(l.node.ResumeQueue(ctx, stuck))
			l.must(<-sent)
			l.flush()
			l.wantConfirmed(n + 2*each + 2)
			if failed := l.triggers(); slices.Contains(failed, publish.HeartbeatFailed) {
				t.Errorf("%v", failed)
			}
		})
	}
}
