package brokertest_test

import (
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

// operatorScenarios are run one after the other: everybody sees what an operator does.
var operatorScenarios = []scenario{
	{"alarm blocks who publishes", alarmBlocks},
	{"alarm holds all that follows", alarmHolds},
	{"alarm spares who consumes", alarmSparesConsumers},
	{"two alarms at once", twoAlarms},
	{"shutdown", shutdown},
	{"a queue does not answer", suspendedQueue},
	{"flow control for a classic queue", flowClassic},
	{"flow control for a quorum queue", flowQuorum},
	{"confirms are withheld", withheld},
	{"a commit waits for confirms", commitWaits},
	{"a body above the maximum", tooLarge},
	{"an exchange that the user may not write to", forbidden},
	{"policy of queues that are there", policyExisting},
	{"policy and arguments", policyAndArguments},
	{"policy of quorum queues", policyQuorum},
	{"policy with a higher priority", policyPriority},
	{"policy that does not fit", policyUnfit},
	{"policy of an exchange", policyExchange},
	{"policy with a lease", policyExpires},
	{"policy with a lease and quorum queues", policyLease},
	{"policy keys and types of queues", policyKeys},
	{"policy without a limit of deliveries", noLimitByPolicy},
	{"consumer timeout of a policy", policyTimeout},
	{"consumer timeout of a policy that comes later", policyTimeoutLater},
	{"operator policy: the lowest counts", boundsLowest},
	{"operator policy: time", boundsTime},
	{"operator policy: overflow", boundsOverflow},
	{"operator policy: deliveries", boundsDeliveries},
	{"operator policy that does not fit", boundsUnfit},
	{"TLS", encrypted},
	{"TLS: a certificate is required", certificateRequired},
	{"login by certificate", external},
	{"consumer timeout of a queue", queueTimeout},
	{"consumer timeout of a consumer", consumerTimeout},
}

// blocking is a connection that hears of alarms.
type blocking struct {
	*channel
	blocked chan amqp.Blocking
}

func (c *client) blocking() blocking {
	conn := c.dial(amqp.Config{})
	return blocking{conn.channel(), conn.NotifyBlocked(make(chan amqp.Blocking, 10))}
}

func (b blocking) want(active bool, reason string) {
	b.c.Helper()
	got, _ := await(b.c, "connection.blocked or unblocked", b.blocked)
	if got.Active != active || got.Reason != reason {
		b.c.Errorf("got %+v, want active %t, reason %q", got, active, reason)
	}
}

// wantUntold comes after what would have been told.
func (b blocking) wantUntold() {
	b.c.Helper()
	b.sync()
	if len(b.blocked) > 0 {
		b.c.Errorf("told %+v", <-b.blocked)
	}
}

// alarm raises the alarm until it is cleared, by the test or after it.
func (c *client) alarm(resource string) (end func()) {
	c.server.Alarm(c, resource)
	on := true
	end = func() {
		if on {
			on = false
			c.server.ClearAlarm(c, resource)
		}
	}
	c.Cleanup(end)
	return end
}

func alarmBlocks(c *client) {
	published, idle := c.blocking(), c.blocking()
	published.queue()
	published.publish(c.name, "1")
	published.sync()
	end := c.alarm("memory")
	published.wantUntold() // only who publishes now is told
	idle.wantUntold()
	later := c.blocking() // new connections are welcome
	for i, b := range []blocking{published, idle, later} {
		b.cast("", c.name, amqp.Publishing{Body: []byte(fmt.Sprint(i + 2))})
		b.want(true, "low on memory")
	}
	never := c.blocking()
	end()
	for _, b := range []blocking{published, idle, later} {
		b.want(false, "")
	}
	never.publish(c.name, "5")
	never.wantUntold()
	published.awaitReady(c.name, 5)
}

// twoAlarms are told of together to whom they block, and what changes then is not told.
func twoAlarms(c *client) {
	first, both := c.blocking(), c.blocking()
	first.queue()
	endMemory := c.alarm("memory")
	first.cast("", c.name, amqp.Publishing{Body: []byte("1")})
	first.want(true, "low on memory")
	endDisk := c.alarm("disk")
	both.cast("", "nowhere", amqp.Publishing{})
	both.want(true, "low on disk & memory")
	endMemory()
	late := c.blocking()
	late.cast("", "nowhere", amqp.Publishing{})
	late.want(true, "low on disk")
	if len(first.blocked)+len(both.blocked) > 0 {
		c.Error("told that one of two alarms has ended")
	}
	endDisk()
	for _, b := range []blocking{first, both, late} {
		b.want(false, "")
	}
	first.wantQueue(c.name, "1")
}

// alarmHolds has two messages and a call on a blocked connection; all are handled after the alarm.
func alarmHolds(c *client) {
	observer, b := c.channel(), c.blocking()
	observer.durable(c.name)
	c.ok(b.Confirm(false))
	end := c.alarm("memory")
	confirms := b.NotifyPublish(make(chan amqp.Confirmation, 2))
	for _, body := range []string{"1", "2"} {
		b.cast("", c.name, amqp.Publishing{Body: []byte(body)})
	}
	b.want(true, "low on memory")
	called := make(chan error, 1)
	go func() { called <- b.Qos(1, 0, false) }()
	for range 20 { // round trips
		if got := observer.ready(c.name); got != 0 || len(confirms) > 0 || len(called) > 0 {
			c.Fatalf("%d messages, %d confirmations, %d calls came through", got, len(confirms), len(called))
		}
	}
	end()
	b.want(false, "")
	err, _ := await(c, "the answer to the call", called)
	c.ok(err)
	for range 2 {
		await(c, "the confirmation", confirms)
	}
	observer.wantQueue(c.name, "1", "2")
}

func alarmSparesConsumers(c *client) {
	publisher, b := c.channel(), c.blocking()
	publisher.durable(c.name)
	publisher.publish(c.name, "1", "2", "3")
	b.prefetch(1)
	consumer := b.consume(c.name, consuming{})
	first := consumer.want("1")
	c.alarm("memory")
	c.ok(first.Ack(false))
	c.ok(consumer.want("2").Ack(false))
	c.ok(consumer.want("3").Ack(false))
	b.wantUntold()
}

func shutdown(c *client) {
	ch := c.channel()
	const durable = true
	ch.durable(c.name)
	ch.durable(c.other("quorum"), "x-queue-type", "quorum")
	c.ok(ch.ExchangeDeclare(c.name, "direct", durable, false, false, false, nil))
	c.ok(ch.ExchangeDeclare(c.other("gone"), "direct", !durable, false, false, false, nil))
	_, err := ch.QueueDeclare(c.other("gone"), !durable, false, false, false, nil)
	c.ok(err)
	ch.bind(c.name, "k", c.name)
	c.ok(ch.Confirm(false))
	for _, queue := range []string{c.name, c.other("quorum"), c.other("gone")} {
		ch.wantAck("", queue, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("seen")})
		ch.wantAck("", queue, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("kept")})
		ch.wantAck("", queue, amqp.Publishing{DeliveryMode: amqp.Transient, Body: []byte("transient")})
	}
	ch.consume(c.name, consuming{}).want("seen", "kept", "transient")

	c.server.StopApp(c)
	stopped := true
	start := func() {
		if stopped {
			stopped = false
			c.server.StartApp(c)
		}
	}
	c.Cleanup(start)
	for _, closes := range []<-chan *amqp.Error{ch.closes, ch.connection.closes} {
		got, _ := await(c, "the close", closes)
		// RabbitMQ may be gone before the client's close-ok, and then the client may tell of that instead.
		unanswered := got != nil && got.Code == amqp.FrameError && strings.Contains(got.Reason, ": write: ")
		if !unanswered && (got == nil || got.Code != 320 || got.Reason != "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'") {
			c.Errorf("closed with %v", got)
		}
	}
	if conn, err := amqp.Dial(c.server.URL()); err == nil {
		conn.Close()
		c.Error("a connection was accepted")
	}
	start()

	ch = c.dial(amqp.Config{}).channel()
	if ch.there(c.other("gone")) {
		c.Error("a queue that was not durable is still there")
	}
	if there := ch.exists(c.other("gone")); there != c.has(versions.KeepsExchanges) {
		c.Errorf("an exchange that was not durable is there: %t", there)
	}
	c.ok(ch.ExchangeDelete(c.other("gone"), false, false))
	ch.send(c.name, "k", amqp.Publishing{Body: []byte("routed")})
	ch.wantQueue(c.name, "seenR", "keptR", "routed")
	ch.wantQueue(c.other("quorum"), "seen", "kept", "transient") // all that a quorum queue has is on disk
	c.ok(ch.ExchangeDelete(c.name, false, false))
}

func commitWaits(c *client) {
	ch := c.channel()
	ch.durable(c.name)
	c.ok(ch.Tx())
	ch.cast("", c.name, amqp.Publishing{Body: []byte("1")})
	ch.sync()
	c.server.Withhold(c, c.name)
	committed := make(chan error, 1)
	go func() { committed <- ch.TxCommit() }()
	other := c.channel()
	for range 20 { // round trips
		other.sync()
	}
	early := len(committed) > 0
	c.server.Release(c, c.name)
	err, _ := await(c, "commit-ok", committed)
	c.ok(err)
	if early {
		c.Error("committed without the queue's confirm")
	}
	other.wantQueue(c.name, "1")
}
