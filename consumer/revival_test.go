package consumer_test

import (
	"context"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Nothing is handled before it is committed that the consumer consumes.
func TestEventComesBeforeDeliveries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(10)
	r.config.Journal = slow{r.journal} // so that a delivery which does not wait is handled first
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if !slices.ContainsFunc(r.journal.Events(), func(e fsm.Event) bool { return e.To == consumer.Consuming }) {
			t.Error("a delivery was handled before Consuming")
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.awaitHandled()
	r.stop()
}

// slow takes its time to commit that the consumer consumes.
type slow struct{ *book }

func (j slow) Append(e fsm.Event) error {
	if e.To == consumer.Consuming {
		<-time.After(200 * time.Millisecond)
	}
	return j.book.Append(e)
}

// A message whose handler fails does not come back before the pause is over.
func TestRequeuePause(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const pause = 300 * time.Millisecond
	r.config.Subscriptions[0].RequeuePause = pause
	var failed time.Time
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if !d.Redelivered {
			failed = time.Now()
			return consumer.Requeue
		}
		if paused := time.Since(failed); paused < pause {
			t.Errorf("the message came back after %v, want at least %v", paused, pause)
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.publish(1)
	r.awaitHandled()
	r.stop()
}

// After a loss the first dial goes to another endpoint than the one that was lost.
func TestAnotherEndpointFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second, err := rabbittest.NewProxy(r.node.Addr())
	r.must(err)
	defer second.Close()
	r.config.URLs = append(r.config.URLs, second.URL(r.node.URL()))
	var mu sync.Mutex
	var dialed []string
	r.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		dialed = append(dialed, address)
		mu.Unlock()
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	first := func(n int) string { // of those after n dials; one that takes long is overtaken by another
		mu.Lock()
		defer mu.Unlock()
		return dialed[n]
	}
	dials := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(dialed)
	}
	r.start()
	r.awaitState(consumer.Consuming)
	for range 2 {
		n, before, lost := r.events(), dials(), r.c.Status().Connections[0].Endpoint
		r.proxy.Reset()
		second.Reset()
		r.awaitEvent(n, consumer.Revived)
		if first(before) == lost {
			t.Errorf("%s was lost, and dialed first", lost)
		}
	}
	r.stop()
}

// Each subscription has a channel of its own, and a lost one is closed when it is replaced.
func TestChannelsAreNotLeaked(t *testing.T) {
	rabbittest.NeedsControl(t)
	r := newRig(t)
	r.config.Subscriptions[0].Declare = &broker.QueueOptions{Durable: true}
	r.start()
	r.flows()
	for range 5 {
		n := r.events()
		r.deleteQueue(r.queue)
		r.awaitEvent(n, consumer.Revived)
	}
	r.await("two channels at the broker", func() bool {
		return r.erlang("length(rabbit_channel:list()).") == "2" // one is the control channel
	})
	r.flows()
	r.stop()
}

// Stop while one subscription is being revived: the other's handler may finish, and its
// acknowledgement arrives.
func TestStopDuringPartialRevival(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	began, release := make(chan struct{}), make(chan struct{})
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		close(began)
		<-release
		return r.handle(ctx, d)
	}
	other := r.queue + ".other"
	r.declare(other)
	r.config.Subscriptions = append(r.config.Subscriptions, consumer.Subscription{Queue: other, Handler: ignore})
	r.config.ReviveBackoff = consumer.Backoff{Initial: time.Millisecond, Max: time.Millisecond}
	r.start()
	r.publish(1)
	<-began
	r.deleteQueue(other)
	n := r.awaitEvent(0, consumer.ReviveFailed)
	r.proxy.Freeze(rabbittest.ToClient) // an attempt is under way from now on, or in a millisecond
	<-time.After(100 * time.Millisecond)
	stopped := make(chan error)
	go func() { stopped <- r.c.Stop(context.Background()) }()
	<-time.After(100 * time.Millisecond)
	r.proxy.Thaw()
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if s := r.c.Stats(); s != (consumer.Stats{Acknowledged: 1}) || n == 0 {
		t.Errorf("%+v, want one handled and acknowledged", s)
	}
	if ready := r.ready(); ready != 0 {
		t.Errorf("%d messages in the queue, want 0", ready)
	}
}

// A queue that the broker named is found again when only its channel was lost: a second one would
// leave the first behind, with its bindings and messages.
// Where the consumer timeout is the consumer's, the channel stays, and what was late is acknowledged in vain or in time.
func TestConsumerTimeoutOfAQuorumQueue(t *testing.T) {
	rabbittest.NeedsControl(t)
	r := newRig(t)
	if r.node.Has(rabbittest.TimesOutChannels) {
		t.Skip("TestScenarioChannelError is about this version: ", rabbittest.TimesOutChannels)
	}
	r.remake("quorum", nil)
	r.erlang("application:set_env(rabbit, consumer_timeout, 500).")
	defer r.erlang("application:set_env(rabbit, consumer_timeout, 1800000).")
	release := make(chan struct{})
	s := &r.config.Subscriptions[0]
	s.Concurrency = 2 // the redelivery is handled while the first delivery still is
	s.Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if !d.Redelivered {
			<-release
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.awaitState(consumer.Consuming)
	r.load(1)
	r.awaitEvent(0, consumer.Revived)
	r.erlang("application:set_env(rabbit, consumer_timeout, 1800000).")
	r.awaitHandled()
	close(release)
	r.stop()
	r.awaitDepth(r.queue, 0, 0)
	if log := r.log.String(); !strings.Contains(log, `"class":"cancelled"`) {
		t.Error("the consumer was not cancelled")
	}
}

func TestServerNamedQueueSurvivesItsChannel(t *testing.T) {
	rabbittest.NeedsControl(t)
	rabbittest.Needs(t, rabbittest.TimesOutChannels)
	r := newRig(t)
	r.erlang("application:set_env(rabbit, consumer_timeout, 500).")
	r.erlang("application:set_env(rabbit, channel_tick_interval, 500).")
	defer r.erlang("application:set_env(rabbit, consumer_timeout, 1800000).")
	defer r.erlang("application:set_env(rabbit, channel_tick_interval, 60000).")
	release := make(chan struct{})
	r.config.Subscriptions[0] = consumer.Subscription{
		Declare:     &broker.QueueOptions{Exclusive: true},
		Bindings:    []broker.Binding{{Exchange: "amq.direct", RoutingKey: r.queue}},
		Concurrency: 2,
		Handler: func(ctx context.Context, d *consumer.Delivery) error {
			if string(d.Body) == "first" && !d.Redelivered {
				<-release
			}
			return r.handle(ctx, d)
		},
	}
	r.start()
	r.awaitState(consumer.Consuming)
	r.withPublisher(func(p *broker.Publisher) {
		for _, body := range []string{"first", "second", "third"} {
			confirm, err := p.Publish(t.Context(), broker.Message{Exchange: "amq.direct", RoutingKey: r.queue, Body: []byte(body)})
			r.must(err)
			r.must(confirm.Wait(t.Context()))
		}
	})
	r.published = 3
	r.awaitEvent(0, consumer.Revived)
	r.erlang("application:set_env(rabbit, consumer_timeout, 1800000).")
	r.awaitHandled()
	close(release)
	r.await("one queue that the broker has named", func() bool { // those of tests before go with their connections
		return r.erlang(`length([Name || {resource, _, queue, <<"amq.gen", Name/binary>>} <- rabbit_amqqueue:list_names()]).`) == "1"
	})
	r.stop()
}

// A handler that ends its goroutine (as t.FailNow does) costs neither the message nor the worker.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if consumer.Attempts(d) == 0 {
			runtime.Goexit()
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.publish(2)
	r.awaitHandled()
	r.stop()
	if s := r.c.Stats(); s != (consumer.Stats{Acknowledged: 2, Failed: 2}) {
		t.Errorf("%+v, want two handled and two failed", s)
	}
}

// A function of the caller's that ignores its context holds up neither the attempts nor the end.
func TestStuckCredentials(t *testing.T) {
	r := newRig(t)
	stuck := make(chan struct{})
	defer close(stuck)
	r.config.Credentials = func(context.Context) (broker.Credentials, error) {
		<-stuck
		return broker.Credentials{}, context.Canceled
	}
	r.config.ConnectTimeout = 50 * time.Millisecond
	r.start()
	r.awaitEvent(0, consumer.ReviveFailed)
	r.stop()
}
