package brokertest_test

import amqp "github.com/rabbitmq/amqp091-go"

var expiryScenarios = []scenario{
	{"x-message-ttl", queueTTL},
	{"x-message-ttl, quorum", quorumTTL},
	{"expiration", messageTTL},
	{"the shorter of both", shorterTTL},
	{"expiration behind a message that lives longer", behindTheHead},
	{"expiration 0 and a consumer", zeroWithConsumer},
	{"expiration 0 and no consumer", zeroWithoutConsumer},
	{"delivered messages do not expire", deliveredLives},
	{"requeued messages expire", requeuedExpires},
	{"x-expires", queueExpires},
	{"x-expires and a consumer", consumedLives},
	{"x-expires, declared again", redeclaredLives},
}

// timer returns a consumer that gets "time" when a message has expired that lived for the given
// milliseconds: what was published before to live as long has expired too.
func (ch *channel) timer(milliseconds string) *consumer {
	c := ch.c
	c.Helper()
	rang, running := c.other("rang"), c.other("running")
	ch.queueNamed(rang)
	ch.queueNamed(running, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", rang)
	ch.send("", running, amqp.Publishing{Expiration: milliseconds, Body: []byte("time")})
	return ch.consume(rang, consuming{noAck: true})
}

func queueTTL(c *client) {
	ch := c.channel()
	ch.queue("x-message-ttl", 20)
	ch.publish(c.name, "1", "2")
	ch.wantQueue(c.name)
}

func quorumTTL(c *client) {
	ch := c.channel()
	ch.durable(c.name, "x-queue-type", "quorum", "x-message-ttl", 20)
	ch.publish(c.name, "1", "2")
	ch.timer("20").want("time")
	ch.wantQueue(c.name)
}

func messageTTL(c *client) {
	ch := c.channel()
	ch.queue()
	ch.send("", c.name, amqp.Publishing{Expiration: "20", Body: []byte("1")})
	ch.publish(c.name, "2")
	ch.wantQueue(c.name, "2")
}

func shorterTTL(c *client) {
	ch := c.channel()
	ch.queue("x-message-ttl", 60000)
	ch.queueNamed(c.other("short"), "x-message-ttl", 20)
	ch.send("", c.name, amqp.Publishing{Expiration: "20"})
	ch.send("", c.other("short"), amqp.Publishing{Expiration: "60000"})
	ch.wantQueue(c.name)
	ch.wantQueue(c.other("short"))
}

func behindTheHead(c *client) {
	ch := c.channel()
	ch.queue()
	ch.publish(c.name, "1")
	ch.send("", c.name, amqp.Publishing{Expiration: "1", Body: []byte("2")})
	ch.publish(c.name, "3")
	ch.timer("1").want("time")
	if got := ch.ready(c.name); got != 3 {
		c.Errorf("%d ready, want 3: only the head expires", got)
	}
	ch.get(c.name) // 1
	ch.wantQueue(c.name, "3")
}

func zeroWithConsumer(c *client) {
	ch := c.channel()
	ch.queue()
	consumer := ch.consume(c.name, consuming{})
	ch.send("", c.name, amqp.Publishing{Expiration: "0", Body: []byte("1")})
	consumer.want("1")
}

func zeroWithoutConsumer(c *client) {
	ch := c.channel()
	ch.queue()
	ch.prefetch(1)
	consumer := ch.consume(c.name, consuming{})
	ch.publish(c.name, "1")
	held := consumer.want("1")
	ch.send("", c.name, amqp.Publishing{Expiration: "0", Body: []byte("2")}) // for a consumer that is full
	ch.awaitReady(c.name, 0)
	ch.publish(c.name, "3")
	c.ok(held.Ack(false))
	consumer.want("3")
}

func deliveredLives(c *client) {
	ch := c.channel()
	ch.queue("x-message-ttl", 1)
	consumer := ch.consume(c.name, consuming{})
	ch.publish(c.name, "1")
	held := consumer.want("1")
	ch.timer("1").want("time")
	c.ok(held.Ack(false))
	ch.sync()
}

func requeuedExpires(c *client) {
	ch := c.channel()
	ch.queue("x-message-ttl", 1)
	consumer := ch.consume(c.name, consuming{tag: "tag"})
	ch.publish(c.name, "1")
	held := consumer.want("1")
	c.ok(ch.Cancel("tag", false))
	ch.timer("1").want("time")
	c.ok(held.Nack(false, true))
	ch.wantQueue(c.name)
}

// To publish is not to use a queue, and what is in it is not dead-lettered.
func queueExpires(c *client) {
	ch := c.channel()
	ch.queueNamed(c.other("dead"))
	ch.queueNamed(c.name, "x-expires", 3000, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", c.other("dead"))
	clock := ch.timer("2000")
	clock.want("time")
	ch.publish(c.name, "1") // would let it live until 5000 if that were to use it
	ch.again(clock, "2000")
	ch.wantQueue(c.other("dead"))
	if _, err := ch.QueueDeclarePassive(c.name, false, false, true, false, nil); err == nil {
		c.Error("the queue is still there")
	}
}

// again waits until the timer has rung once more.
func (ch *channel) again(timer *consumer, milliseconds string) {
	ch.c.Helper()
	ch.send("", ch.c.other("running"), amqp.Publishing{Expiration: milliseconds, Body: []byte("time")})
	timer.want("time")
}

func consumedLives(c *client) {
	ch := c.channel()
	ch.queue("x-expires", 3000)
	messages := ch.consume(c.name, consuming{noAck: true})
	ch.timer("4000").want("time")
	ch.publish(c.name, "1")
	messages.want("1")
}

func redeclaredLives(c *client) {
	ch := c.channel()
	ch.queue("x-expires", 5000)
	ch.publish(c.name, "1")
	clock := ch.timer("1000")
	clock.want("time")
	for range 5 {
		ch.queue("x-expires", 5000)
		ch.again(clock, "1000")
	}
	ch.wantQueue(c.name, "1")
}
