package publish_test

import (
	"context"
	"fmt"
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
