package brokertest_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/rabbittest"
)

const (
	moment   = time.Minute     // for what a healthy broker does at once, if the machine is not busy
	patience = 3 * time.Minute // for a scenario
)

// client is a scenario's side of the broker. What fails here fails the test.
type client struct {
	*testing.T
	server server
	name   string // of the scenario's own queue or exchange

	first    *connection
	deadline time.Time // of the scenario
}

func (c *client) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// other is a name for the scenario's second queue or exchange.
func (c *client) other(suffix string) string { return c.name + "-" + suffix }

// await returns what a channel gives within a moment.
func await[T any](c *client, what string, from <-chan T) (value T, open bool) {
	c.Helper()
	timeout := time.NewTimer(moment)
	defer timeout.Stop()
	select {
	case value, open = <-from:
	case <-timeout.C:
		c.Fatalf("not within %v: %s", moment, what)
	}
	return value, open
}

type connection struct {
	*amqp.Connection
	c         *client
	closes    <-chan *amqp.Error
	publisher *channel // see send
}

// dial opens a connection that ends with the test.
func (c *client) dial(config amqp.Config) *connection {
	c.Helper()
	config.Dial = c.connect
	conn, err := amqp.DialConfig(c.server.URL(), config)
	c.ok(err)
	c.Cleanup(func() { conn.CloseDeadline(time.Now().Add(moment)) })
	return &connection{Connection: conn, c: c, closes: conn.NotifyClose(make(chan *amqp.Error, 1))}
}

// connect has a connection end with the scenario's time, so that no call waits for an answer for ever.
func (c *client) connect(network, addr string) (net.Conn, error) {
	conn, err := amqp.DefaultDial(moment)(network, addr)
	if err != nil {
		return nil, err
	}
	hangUp := time.AfterFunc(time.Until(c.deadline), func() {
		c.Errorf("not done within %v", patience)
		conn.Close()
	})
	c.Cleanup(func() { hangUp.Stop() })
	return conn, nil
}

type channel struct {
	*amqp.Channel
	*connection
	closes <-chan *amqp.Error
}

// channel opens a channel of the scenario's first connection.
func (c *client) channel() *channel {
	c.Helper()
	if c.first == nil {
		c.first = c.dial(amqp.Config{})
	}
	return c.first.channel()
}

func (conn *connection) channel() *channel {
	conn.c.Helper()
	ch, err := conn.Channel()
	conn.c.ok(err)
	return &channel{ch, conn, ch.NotifyClose(make(chan *amqp.Error, 1))}
}

// wantClosed expects the broker to have closed the channel, or with a hard error its connection, and what is not closed
// to work. {name} in text is the scenario's.
func (ch *channel) wantClosed(code int, text string) {
	c := ch.c
	c.Helper()
	text = strings.ReplaceAll(text, "{name}", c.name)
	got, _ := await(c, "the channel is closed", ch.closes)
	if got == nil {
		c.Fatal("the channel was closed without an error")
	}
	if got.Code != code || got.Reason != text {
		c.Errorf("closed with\n%d %s, want\n%d %s", got.Code, got.Reason, code, text)
	}
	if code >= 500 || code == amqp.ConnectionForced {
		if got, _ := await(c, "the connection is closed", ch.connection.closes); got == nil || got.Code != code {
			c.Errorf("the connection was closed with %v, want %d", got, code)
		}
		return
	}
	ch.connection.channel().Close() // the connection works on
}

// sync returns when the broker has handled what was sent on the channel before.
func (ch *channel) sync() {
	ch.c.Helper()
	ch.c.ok(ch.ExchangeDeclarePassive("amq.direct", "direct", true, false, false, false, nil))
}

// arguments makes a table of name, value, name, value.
func arguments(pairs []any) amqp.Table {
	table := amqp.Table{}
	for pair := range slices.Chunk(pairs, 2) {
		table[pair[0].(string)] = pair[1]
	}
	return table
}

// queue declares an exclusive queue with the scenario's name.
func (ch *channel) queue(args ...any) string {
	ch.c.Helper()
	return ch.queueNamed(ch.c.name, args...)
}

func (ch *channel) queueNamed(name string, args ...any) string {
	ch.c.Helper()
	_, err := ch.QueueDeclare(name, false, false, true, false, arguments(args))
	ch.c.ok(err)
	return name
}

// durable declares a durable queue that all connections may use, and removes it with the test.
func (ch *channel) durable(name string, args ...any) string {
	c := ch.c
	c.Helper()
	_, err := ch.QueueDeclare(name, true, false, false, false, arguments(args))
	c.ok(err)
	c.Cleanup(func() { c.dial(amqp.Config{}).channel().QueueDelete(name, false, false, false) })
	return name
}

// exchange declares an exchange with the scenario's name and removes it with the test.
func (ch *channel) exchange(kind string, args ...any) string {
	ch.c.Helper()
	return ch.exchangeNamed(ch.c.name, kind, args...)
}

func (ch *channel) exchangeNamed(name, kind string, args ...any) string {
	c := ch.c
	c.Helper()
	c.ok(ch.ExchangeDeclare(name, kind, false, false, false, false, arguments(args)))
	c.Cleanup(func() { c.dial(amqp.Config{}).channel().ExchangeDelete(name, false, false) })
	return name
}

func (ch *channel) bind(queue, key, exchange string, args ...any) {
	ch.c.Helper()
	ch.c.ok(ch.QueueBind(queue, key, exchange, false, arguments(args)))
}

func (ch *channel) prefetch(count int) {
	ch.c.Helper()
	ch.c.ok(ch.Qos(count, 0, false))
}

// publish sends messages to a queue, which has them when publish returns.
func (ch *channel) publish(queue string, bodies ...string) {
	ch.c.Helper()
	for _, body := range bodies {
		ch.send("", queue, amqp.Publishing{Body: []byte(body)})
	}
}

// send publishes on the connection's channel for that, and waits for the confirmation.
func (ch *channel) send(exchange, key string, message amqp.Publishing) {
	conn, c := ch.connection, ch.c
	c.Helper()
	if conn.publisher == nil {
		conn.publisher = conn.channel()
		c.ok(conn.publisher.Confirm(false))
	}
	if !conn.publisher.confirmed(exchange, key, message) {
		c.Error("nacked, want an ack")
	}
}

// cast publishes on the channel itself and does not wait.
func (ch *channel) cast(exchange, key string, message amqp.Publishing) {
	ch.c.Helper()
	ch.c.ok(ch.PublishWithContext(ch.c.Context(), exchange, key, false, false, message))
}

// ready is how many messages a queue could deliver.
func (ch *channel) ready(queue string) int {
	ch.c.Helper()
	q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
	ch.c.ok(err)
	return q.Messages
}

func (ch *channel) awaitReady(queue string, count int) {
	ch.c.Helper()
	rabbittest.Eventually(ch.c, moment, fmt.Sprint(count, " messages are ready in ", queue), func() bool {
		return ch.ready(queue) == count
	})
}

// get takes the next message, unacknowledged, as soon as there is one.
func (ch *channel) get(queue string) (message amqp.Delivery) {
	ch.c.Helper()
	rabbittest.Eventually(ch.c, moment, "a message in "+queue, func() (ok bool) {
		var err error
		message, ok, err = ch.Get(queue, false)
		ch.c.ok(err)
		return ok
	})
	return message
}

// wantQueue takes all messages out of a queue.
func (ch *channel) wantQueue(queue string, want ...string) {
	ch.c.Helper()
	ch.awaitReady(queue, len(want))
	var got []string
	for {
		message, ok, err := ch.Get(queue, true)
		ch.c.ok(err)
		if !ok {
			break
		}
		got = append(got, show(message))
	}
	if !slices.Equal(got, want) {
		ch.c.Errorf("the queue held %q, want %q", got, want)
	}
}

// show is a delivery's body, with an R if it is a redelivery.
func show(d amqp.Delivery) string {
	if d.Redelivered {
		return string(d.Body) + "R"
	}
	return string(d.Body)
}

// consuming is how a consumer consumes.
type consuming struct {
	tag              string
	noAck, exclusive bool
	arguments        amqp.Table
}

type consumer struct {
	c          *client
	deliveries <-chan amqp.Delivery
}

func (ch *channel) consume(queue string, how consuming) *consumer {
	ch.c.Helper()
	deliveries, err := ch.Consume(queue, how.tag, how.noAck, how.exclusive, false, false, how.arguments)
	ch.c.ok(err)
	return &consumer{ch.c, deliveries}
}

// want receives as many deliveries as given, and returns the last.
func (k *consumer) want(bodies ...string) (last amqp.Delivery) {
	k.c.Helper()
	for _, body := range bodies {
		var open bool
		if last, open = await(k.c, "delivery of "+body, k.deliveries); !open {
			k.c.Fatal("the consumer has ended, want ", body)
		}
		if show(last) != body {
			k.c.Fatalf("got %s, want %s of %q", show(last), body, bodies)
		}
	}
	return last
}

// wantEnd expects that nothing more is delivered.
func (k *consumer) wantEnd() {
	k.c.Helper()
	if d, open := await(k.c, "the consumer's end", k.deliveries); open {
		k.c.Fatalf("got %s, want no more", show(d))
	}
}

// refusal is a scenario in which the broker closes the channel, or with a hard error the connection.
type refusal struct {
	name string
	code int
	text string // {name} is the scenario's
	act  func(*channel)
	then []otherwise
}

// otherwise is what the broker says if it has a feature.
type otherwise struct {
	feature versions.Feature
	code    int
	text    string
}

func refused(name string, code int, text string, act func(*channel)) refusal {
	return refusal{name: name, code: code, text: text, act: act}
}

// where says how the refusal of brokers with a feature reads.
func (r refusal) where(feature versions.Feature, code int, text string) refusal {
	r.then = append(r.then, otherwise{feature, code, text})
	return r
}

func refusals(table ...refusal) []scenario {
	scenarios := make([]scenario, len(table))
	for i, r := range table {
		scenarios[i] = scenario{r.name, func(c *client) {
			code, text := r.code, r.text
			for _, o := range r.then {
				if c.has(o.feature) {
					code, text = o.code, o.text
				}
			}
			ch := c.channel()
			r.act(ch)
			ch.wantClosed(code, text)
		}}
	}
	return scenarios
}
