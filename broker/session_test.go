package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// moment is how long a test waits for what a healthy broker does at once.
const moment = time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	t.Cleanup(cancel)
	return ctx
}

func planFor(t *testing.T, url string, subscriptions ...broker.Subscription) broker.Plan {
	t.Helper()
	endpoints, err := broker.ParseEndpoints(url)
	if err != nil {
		t.Fatal(err)
	}
	return broker.Plan{Endpoints: endpoints, Name: t.Name(), Subscriptions: subscriptions}
}

// queue is a subscription to a queue of the test's own.
func queue(t *testing.T) broker.Subscription {
	return broker.Subscription{Queue: t.Name(), Declare: &broker.QueueOptions{AutoDelete: true}, Prefetch: 10}
}

func open(t *testing.T, plan broker.Plan) *broker.Session {
	t.Helper()
	s, err := broker.Open(within(t), plan, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	return s
}

func consume(t *testing.T, s *broker.Session, i int) *broker.Consumer {
	t.Helper()
	c, err := s.Consume(within(t), i, broker.Intake{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func receive(t *testing.T, c *broker.Consumer) *broker.Delivery {
	t.Helper()
	d, ok := c.Receive(within(t).Done())
	if !ok {
		t.Fatal("no delivery")
	}
	return d
}

func lossOf(t *testing.T, s *broker.Session) broker.Loss {
	t.Helper()
	select {
	case l := <-s.Losses():
		return l
	case <-time.After(moment):
		t.Fatal("no loss was reported")
		return broker.Loss{}
	}
}

// wantNoLoss is called when everything that could be reported has been: after a round trip.
func wantNoLoss(t *testing.T, s *broker.Session) {
	t.Helper()
	select {
	case l := <-s.Losses():
		t.Errorf("another loss: %v", l.Err)
	default:
	}
}

func want(t *testing.T, err error, class broker.Class, code int, scope broker.Scope) {
	t.Helper()
	var e *broker.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Class != class || e.Code != code || e.Scope != scope {
		t.Errorf("got class %s, code %d, scope %s (%v), want %s, %d, %s", e.Class, e.Code, e.Scope, e, class, code, scope)
	}
}

// raw is a channel of amqp091-go, for what this package does not do.
func raw(t *testing.T) *amqp.Channel {
	t.Helper()
	connection, err := amqp.Dial(rabbittest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

func publish(t *testing.T, exchange, key string, m amqp.Publishing) {
	t.Helper()
	if err := raw(t).PublishWithContext(t.Context(), exchange, key, false, false, m); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionIntroducesItself(t *testing.T) {
	rabbittest.NeedsControl(t)
	node := rabbittest.Shared(t)
	s := open(t, planFor(t, node.URL()))
	if s.Generation() != 3 || s.Endpoint().String() != node.Addr() {
		t.Errorf("generation %d at %s", s.Generation(), s.Endpoint())
	}
	text, err := node.Ctl(t.Context(), "list_connections", "--quiet", "client_properties")
	if err != nil {
		t.Fatal(err)
	}
	for _, property := range []string{
		`{"product","Everhop"}`,
		`{"connection_name","` + t.Name() + `"}`,
		`{"platform","Go"}`,
		`{"version","` + broker.Version() + `"}`,
		`{"authentication_failure_close",true}`,
		`{"consumer_cancel_notify",true}`,
		`{"connection.blocked",true}`,
		`{"basic.nack",true}`,
		`{"publisher_confirms",true}`,
	} {
		if !strings.Contains(text, property) {
			t.Errorf("the broker does not know %s; it knows\n%s", property, text)
		}
	}
}

func TestOpenRefused(t *testing.T) {
	node := rabbittest.Shared(t)
	tests := []struct {
		name, url string
		class     broker.Class
		code      int
		words     string
	}{
		{"password", "amqp://guest:wrong@" + node.Addr(), broker.Auth, 403, "Login was refused using authentication mechanism PLAIN"},
		{"vhost", "amqp://guest:guest@" + node.Addr() + "/nowhere", broker.VHost, 530, "vhost nowhere not found"},
		{"mechanism", "amqp://" + node.Addr() + "?auth_mechanism=external", broker.Auth, 0, "mechanism"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := broker.Open(within(t), planFor(t, test.url), 1, 0)
			want(t, err, test.class, test.code, broker.ScopeConnection)
			if !strings.Contains(err.Error(), test.words) {
				t.Errorf("%q does not say %q", err, test.words)
			}
			if strings.Contains(err.Error(), "wrong") {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

// RabbitMQ takes names of 255 bytes, so nothing shorter is refused.
func TestTheLongestNames(t *testing.T) {
	long := func(c string) string { return t.Name() + strings.Repeat(c, (255-len(t.Name()))/len(c)) }
	for _, c := range []string{"x", "é", "蜂"} {
		if c != "x" && !rabbittest.Shared(t).Has(rabbittest.CutsTexts) {
			continue // that there is no such queue cannot be said
		}
		name := long(c)
		s := broker.Subscription{
			Queue: name, ConsumerTag: name, Prefetch: 1, Arguments: map[string]any{name: name},
			Declare: &broker.QueueOptions{AutoDelete: true, Arguments: map[string]any{
				"x-dead-letter-exchange": name, "x-dead-letter-routing-key": name, name: map[string]any{name: name},
			}},
			Exchanges: []broker.Exchange{{Name: name, Kind: "topic", AutoDelete: true, Arguments: map[string]any{"alternate-exchange": name}}},
			Bindings:  []broker.Binding{{Exchange: name, RoutingKey: name, Arguments: map[string]any{name: name}}},
		}
		plan := planFor(t, rabbittest.Shared(t).URL(), s)
		plan.Name = name
		consumer := consume(t, open(t, plan), 0)
		if err := send(t, publisher(t, rabbittest.Shared(t).URL()), broker.Message{Exchange: name, RoutingKey: name}); err != nil {
			t.Fatal(err)
		}
		if d := receive(t, consumer); d.Queue != name || d.ConsumerTag != name || d.RoutingKey != name || d.Exchange != name {
			t.Errorf("came as %+v", d)
		}
	}
}

func TestProbeOfAHealthyBroker(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL()))
	for range 100 { // each begins while the answer to the last one is being digested
		if err := s.Probe(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAShutDownBrokerIsOneLoss(t *testing.T) {
	rabbittest.NeedsControl(t)
	node := rabbittest.Shared(t)
	first, second := queue(t), queue(t)
	second.Queue += "-2"
	s := open(t, planFor(t, node.URL(), first, second))
	consumers := []*broker.Consumer{consume(t, s, 0), consume(t, s, 1)}
	if err := node.CloseConnections(within(t), "test"); err != nil {
		t.Fatal(err)
	}
	l := lossOf(t, s)
	want(t, l.Err, broker.BrokerShutdown, 320, broker.ScopeConnection)
	if l.Generation != 3 || l.Consumer != nil || !s.Lost() {
		t.Errorf("got %+v, Lost() %t", l, s.Lost())
	}
	for _, c := range consumers {
		<-c.Lost()
	}
	wantNoLoss(t, s)
}

// Recovery by amqp091-go would acknowledge old tags on the new connection; it must stay off: a connection
// that was reset is gone for good, and an old tag is refused.
func TestTheConnectionIsNotRevivedBehindOurBack(t *testing.T) {
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

	proxy.Reset()
	want(t, lossOf(t, s).Err, broker.Network, 0, broker.ScopeConnection)
	<-c.Lost()
	if err := c.Ack(d.DeliveryTag); !errors.Is(err, broker.ErrStale) {
		t.Errorf("Ack after the loss: %v", err)
	}
	s.Abort()
	rabbittest.Eventually(t, moment, "no connection is left", func() bool { return proxy.Connections() == 0 })
}

func TestConsumeAndAbortAtOnce(t *testing.T) {
	node := rabbittest.Shared(t)
	for i := range 20 {
		s := open(t, planFor(t, node.URL(), queue(t)))
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Consume(context.Background(), 0, broker.Intake{}) // either outcome is right
		}()
		if i%2 == 0 {
			s.Probe(within(t))
		}
		s.Abort()
		<-done
	}
}

func TestEndpointsAreTriedInTurn(t *testing.T) {
	node := rabbittest.Shared(t)
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	proxy.Refuse()
	endpoints, err := broker.ParseEndpoints(proxy.URL(node.URL()), node.URL())
	if err != nil {
		t.Fatal(err)
	}
	plan := broker.Plan{Endpoints: endpoints, Name: t.Name()}
	if s := open(t, plan); s.Endpoint().String() != node.Addr() {
		t.Errorf("connected to %s", s.Endpoint())
	}
	plan.Endpoints = endpoints[:1]
	_, err = broker.Open(within(t), plan, 1, 0)
	want(t, err, broker.Network, 0, broker.ScopeConnection)
	if !strings.Contains(fmt.Sprint(err), "refused") {
		t.Errorf("%v does not say that it was refused", err)
	}
}
