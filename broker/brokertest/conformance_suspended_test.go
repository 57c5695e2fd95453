package brokertest_test

import (
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"
)

// suspendedQueue asks a queue that does not answer in every way, each on a channel of its own: what needs its answer
// waits for it, and nothing else does.
func suspendedQueue(c *client) {
	observer, holding := c.channel(), c.channel()
	ill, deleted, well := observer.durable(c.name), observer.durable(c.other("deleted")), observer.durable(c.other("well"))
	observer.publish(ill, "1")
	held := holding.get(ill)
	subscribed := func() *channel {
		ch := c.channel()
		ch.consume(ill, consuming{tag: "t"})
		return ch
	}
	const durable = true
	waits := []struct {
		name string
		on   *channel
		ask  func(*channel) error
	}{
		{"passive declare", c.channel(), func(ch *channel) error {
			_, err := ch.QueueDeclarePassive(ill, durable, false, false, false, nil)
			return err
		}},
		{"declare", c.channel(), func(ch *channel) error {
			_, err := ch.QueueDeclare(ill, durable, false, false, false, nil)
			return err
		}},
		{"purge", c.channel(), func(ch *channel) error { _, err := ch.QueuePurge(ill, false); return err }},
		{"delete", c.channel(), func(ch *channel) error { _, err := ch.QueueDelete(deleted, false, false, false); return err }},
		{"get", c.channel(), func(ch *channel) error { _, _, err := ch.Get(ill, true); return err }},
		{"consume", c.channel(), func(ch *channel) error {
			_, err := ch.Consume(ill, "", true, false, false, false, nil)
			return err
		}},
		{"cancel", subscribed(), func(ch *channel) error { return ch.Cancel("t", false) }},
		{"close of a channel that consumes", subscribed(), func(ch *channel) error { return ch.Close() }},
	}
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer, len(waits))
	c.server.Suspend(c, ill, deleted)
	resumed := false
	resume := func() {
		if !resumed {
			resumed = true
			c.server.Resume(c, ill, deleted)
		}
	}
	c.Cleanup(resume)
	for _, w := range waits {
		go func() { answers <- answer{w.name, w.ask(w.on)} }()
	}

	// This needs no answer from the queue.
	c.ok(held.Ack(false))
	holding.sync()
	holding.prefetch(1)
	holding.bind(ill, "k", "amq.topic")
	c.ok(holding.QueueUnbind(ill, "k", "amq.topic", nil))
	holding.cast("", ill, amqp.Publishing{Body: []byte("2")})
	holding.sync()
	c.ok(holding.Close())

	for range 20 { // round trips, and another queue answers
		observer.publish(well, "x")
		c.ok(observer.get(well).Ack(false))
	}
	if len(answers) > 0 {
		c.Errorf("answered: %+v", <-answers)
	}
	resume()
	var late []string
	for range waits {
		a, _ := await(c, "the answers", answers)
		if a.err != nil {
			c.Errorf("%s: %v", a.name, a.err)
		}
		late = append(late, a.name)
	}
	slices.Sort(late)
	c.Logf("answered when it was resumed: %q", late)
}
