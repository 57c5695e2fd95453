package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// live is a publisher that is connected to RabbitMQ through a proxy that breaks things.
type live struct {
	*testing.T
	node   *rabbittest.Node
	proxy  *rabbittest.Proxy
	p      *publish.Publisher
	mu     sync.Mutex
	events []fsm.Event
}

func onRabbitMQ(t *testing.T, edits ...func(*publish.Config)) *live {
	t.Helper()
	l := &live{T: t, node: rabbittest.Shared(t)}
	var err error
	if l.proxy, err = rabbittest.NewProxy(l.node.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.proxy.Close)
	config := publish.Config{
		URLs: []string{l.proxy.URL(l.node.URL())}, Name: t.Name(),
		Observers: []func(fsm.Event){func(e fsm.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		}},
	}
	for _, edit := range edits {
		edit(&config)
	}
	if l.p, err = publish.New(config); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.p.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := l.p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		t.Logf("%v, %+v", l.triggers(), l.p.Stats())
	})
	return l
}

func (l *live) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *live) triggers() (list []fsm.Trigger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == fsm.KindTransition {
			list = append(list, e.Trigger)
		}
	}
	return list
}

// channel is one beside the proxy.
func (l *live) channel() *amqp.Channel {
	l.Helper()
	connection, err := amqp.Dial(l.node.URL())
	l.must(err)
	l.Cleanup(func() { connection.Close() })
	channel, err := connection.Channel()
	l.must(err)
	return channel
}

// queue declares one of a kind, and has it deleted.
func (l *live) queue(kind string) string {
	l.Helper()
	name := strings.ReplaceAll(l.Name(), "/", ".") + "." + kind
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l.must(l.p.DeclareQueue(ctx, name, broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": kind}}))
	l.Cleanup(func() { _, _ = l.channel().QueueDelete(name, false, false, false) })
	return name
}

// flush waits until everything is settled.
func (l *live) flush() {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.p.Flush(ctx); err != nil {
		l.Fatalf("%v: %v, %+v", err, l.triggers(), l.p.Stats())
	}
}

func (l *live) send(m *broker.Message) *publish.Confirmation {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := l.p.Send(ctx, m)
	l.must(err)
	return c
}

// wantOrder takes all there is out of a queue: the bodies 0 to n-1, the first of each in order.
func (l *live) wantOrder(queue string, n int) (twice int) {
	l.Helper()
	deliveries, err := l.channel().Consume(queue, "", true, false, false, false, nil)
	l.must(err)
	seen, wrong := map[string]bool{}, ""
	for {
		patience := 500 * time.Millisecond // for what may come twice
		if len(seen) < n {
			patience = time.Minute
		}
		select {
		case d := <-deliveries:
			body := string(d.Body[:min(len(d.Body), 20)])
			body = strings.TrimRight(body, "\x00")
			switch {
			case seen[body]:
				twice++
			case body != fmt.Sprint(len(seen)) && wrong == "":
				wrong = fmt.Sprintf("%s comes, want %d", body, len(seen))
			}
			seen[body] = true
		case <-time.After(patience):
			if len(seen) != n || wrong != "" {
				l.Fatalf("%s: %d messages, want %d; %s", queue, len(seen), n, wrong)
			}
			return twice
		}
	}
}

// stream sends to each queue, a few thousand a second, until it is stopped. It does not wait for room for ever: what holds
// the window is told then.
func (l *live) stream(queues ...string) (stop func() (each int)) {
	const patience = 5 * time.Minute // a broker that was killed takes its time on a busy machine
	over, each := make(chan struct{}), make(chan int, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				each <- i
				return
			case <-time.After(200 * time.Microsecond):
			}
			for _, queue := range queues {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				_, err := l.p.Send(ctx, to(queue, fmt.Sprint(i)))
				cancel()
				if err != nil {
					l.Errorf("%d to %s: %v; %+v; %v", i, queue, err, l.p.Status(), l.triggers())
					each <- i
					return
				}
			}
		}
	}()
	return func() int {
		close(over)
		return <-each
	}
}

func (l *live) wantConfirmed(n int) {
	l.Helper()
	if s := l.p.Stats(); s.Confirmed != uint64(n) || s.Unconfirmed+s.Waiting != 0 {
		l.Errorf("%+v, want %d confirmed", s, n)
	}
}

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
