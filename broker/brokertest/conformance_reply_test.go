package brokertest_test

import (
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

// pseudo is the queue of which direct replies come.
const pseudo = "amq.rabbitmq.reply-to"

var replyScenarios = slices.Concat(
	[]scenario{
		{"direct reply-to", directReplyTo},
		{"direct reply-to ends with its consumer", replyAfterCancel},
		{"direct reply-to is declared", replyDeclared},
		{"direct reply-to by a copy", replyCopy},
		{"direct reply-to shares its tag", replyTag},
		{"direct reply-to in a transaction", replyInTransaction},
	},
	refusals(
		refused("direct reply-to with acknowledgements", 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge",
			func(ch *channel) { ch.Consume(pseudo, "", false, false, false, false, nil) }),
		refused("direct reply-to twice", 406, "PRECONDITION_FAILED - reply consumer already set", func(ch *channel) {
			ch.consume(pseudo, consuming{tag: "tag", noAck: true})
			ch.Consume(pseudo, "tag", true, false, false, false, nil)
		}),
		refused("direct reply-to without a consumer", 406, "PRECONDITION_FAILED - fast reply consumer does not exist",
			func(ch *channel) { ch.cast("", ch.c.name, amqp.Publishing{ReplyTo: pseudo}) }),
		refused("direct reply-to of another channel", 406, "PRECONDITION_FAILED - fast reply consumer does not exist", func(ch *channel) {
			ch.channel().consume(pseudo, consuming{noAck: true})
			ch.cast("", ch.c.name, amqp.Publishing{ReplyTo: pseudo})
		}),
		refused("direct reply-to with the tag of another", 530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'", func(ch *channel) {
			ch.queue()
			ch.consume(ch.c.name, consuming{tag: "tag"})
			ch.Consume(pseudo, "tag", true, false, false, false, nil)
		}),
		refused("direct reply-to, get", 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'", func(ch *channel) { ch.Get(pseudo, true) }),
	),
)

// ask begins a consumer of replies, and publishes a question to the scenario's queue; address is where the answer goes.
func (ch *channel) ask() (replies *consumer, address string) {
	c := ch.c
	c.Helper()
	replies = ch.consume(pseudo, consuming{tag: "replies", noAck: true})
	ch.queue()
	ch.cast("", c.name, amqp.Publishing{ReplyTo: pseudo, Body: []byte("question")})
	return replies, ch.get(c.name).ReplyTo
}

// answer publishes to an address with the mandatory flag, and tells whether it came back.
func (c *client) answer(address, body string) (returned bool) {
	c.Helper()
	ch := c.dial(amqp.Config{}).channel()
	c.ok(ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	confirmed, err := ch.PublishWithDeferredConfirmWithContext(c.Context(), "", address, true, false, amqp.Publishing{Body: []byte(body)})
	c.ok(err)
	await(c, "the confirmation", confirmed.Done())
	if !confirmed.Acked() {
		c.Error("the answer was nacked")
	}
	return len(returns) > 0
}

func directReplyTo(c *client) {
	ch := c.channel()
	replies, address := ch.ask()
	if len(address) <= len(pseudo) || address[:len(pseudo)+1] != pseudo+"." {
		c.Errorf("address %q", address)
	}
	ch.cast("", c.name, amqp.Publishing{ReplyTo: "elsewhere"})
	if got := ch.get(c.name).ReplyTo; got != "elsewhere" {
		c.Errorf("another reply_to became %q", got)
	}
	first, want := uint64(3), uint64(3) // behind two of get
	if c.has(versions.QueuesReplies) {
		want++
	}
	for i, body := range []string{"1", "2"} {
		if returned := c.answer(address, body); returned == c.has(versions.QueuesReplies) {
			c.Errorf("a mandatory answer came back: %t", returned)
		}
		got := replies.want(body)
		if got.Exchange != "" || got.RoutingKey != address || got.ConsumerTag != "replies" || got.DeliveryTag != []uint64{first, want}[i] {
			c.Errorf("got exchange %q, key %q, consumer %q, tag %d", got.Exchange, got.RoutingKey, got.ConsumerTag, got.DeliveryTag)
		}
	}
}

func replyAfterCancel(c *client) {
	ch := c.channel()
	_, address := ch.ask()
	c.ok(ch.Cancel("replies", false))
	if returned := c.answer(address, "late"); returned == c.has(versions.QueuesReplies) {
		c.Errorf("an answer after the end came back: %t", returned)
	}
	if !c.answer(pseudo+".bogus", "lost") || !c.answer(pseudo, "lost") {
		c.Error("an answer to nobody did not come back")
	}
	replies, next := ch.ask()
	if next == address {
		c.Error("the same address")
	}
	c.answer(address, "old")
	c.answer(next, "new")
	replies.want("new")
	c.ok(ch.Close())
	c.answer(next, "late")
	probe := c.dial(amqp.Config{}).channel()
	probe.QueueDeclarePassive(next, false, false, false, false, nil)
	probe.wantClosed(404, "NOT_FOUND - no queue '"+next+"' in vhost '/'")
}

// replyDeclared: a declaration tells a server whether the client still waits.
func replyDeclared(c *client) {
	ch := c.channel()
	_, address := ch.ask()
	other := c.dial(amqp.Config{}).channel()
	for _, name := range []string{address, pseudo} {
		q, err := other.QueueDeclarePassive(name, false, false, false, false, nil)
		c.ok(err)
		c.wantCounts(q, 0, 1)
		q, err = other.QueueDeclare(name, true, false, false, false, nil)
		c.ok(err)
		c.wantCounts(q, 0, 1)
	}
	replies := other.consume("", consuming{noAck: true}) // it is the queue declared last
	other.cast("", c.other("nowhere"), amqp.Publishing{ReplyTo: pseudo})
	other.sync()
	c.ok(other.Close())
	replies.wantEnd()
}

func replyCopy(c *client) {
	ch := c.channel()
	replies, address := ch.ask()
	ch.send("", c.name, amqp.Publishing{Headers: amqp.Table{"CC": []any{address}}, Body: []byte("1")})
	if got := replies.want("1"); got.RoutingKey != c.name {
		c.Errorf("key %q", got.RoutingKey)
	}
}

// replyTag: a queue's consumer may have the tag, too.
func replyTag(c *client) {
	w := c.wire() // a client library would not
	w.open(2047, 131072, 0)
	w.openChannel(1)
	w.method(1, 50, 10, uint16(0), c.other("own"), byte(4), uint32(0))
	w.want(50, 11)
	for _, queue := range []string{pseudo, c.other("own")} {
		w.method(1, 60, 20, uint16(0), queue, "tag", byte(2), uint32(0))
		w.want(60, 21)
	}
}

// replyInTransaction: only where a reply goes to a queue does it wait for the commit, and end with a rollback.
func replyInTransaction(c *client) {
	ch := c.channel()
	replies, address := ch.ask()
	server := c.channel()
	c.ok(server.Tx())
	server.cast("", address, amqp.Publishing{Body: []byte("1")})
	c.ok(server.TxRollback())
	server.cast("", address, amqp.Publishing{Body: []byte("2")})
	c.ok(server.TxCommit())
	if !c.has(versions.QueuesReplies) {
		replies.want("1")
	}
	replies.want("2")
	server.cast("", address, amqp.Publishing{Body: []byte("3")})
	c.ok(server.TxCommit())
	replies.want("3") // and each of them once
}
