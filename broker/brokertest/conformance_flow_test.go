package brokertest_test

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func flowClassic(c *client) { flow(c, "classic", 150, 420) }
func flowQuorum(c *client)  { flow(c, "quorum", 20, 60) }

// flow has a queue take nothing. After few messages to it, whoever publishes to others goes on; after many, a connection is
// read no more once it has published as many as its credit to others.
func flow(c *client, kind string, few, many int) {
	observer := c.channel()
	declare := func(suffix, kind string) string {
		name := c.other(suffix)
		_, err := observer.QueueDeclare(name, true, false, false, false, amqp.Table{"x-queue-type": kind})
		c.ok(err)
		c.Cleanup(func() { _, _ = c.dial(amqp.Config{}).channel().QueueDelete(name, false, false, false) })
		return name
	}
	stuck, well := declare("stuck", kind), declare("well", "classic")
	observer.publish(stuck, "before") // a quorum queue answers the first one in another way
	c.server.Suspend(c, stuck)
	resumed := false
	resume := func() {
		if !resumed {
			resumed = true
			c.server.Resume(c, stuck)
		}
	}
	c.Cleanup(resume)

	const credit = 400
	publishing := func(n int) (conn *connection) {
		conn = c.dial(amqp.Config{})
		ch := conn.channel()
		c.server.Resume(c, stuck)
		ch.cast("", stuck, amqp.Publishing{Body: []byte("first")})
		ch.sync()
		c.server.Suspend(c, stuck)
		for range n {
			ch.cast("", stuck, amqp.Publishing{Body: []byte("x")})
		}
		for range credit {
			ch.cast("", well, amqp.Publishing{Body: []byte("x")})
		}
		return conn
	}
	answers := func(conn *connection, within time.Duration) bool {
		answered := make(chan error, 1)
		go func() {
			ch, err := conn.Channel()
			if err == nil {
				_, err = ch.QueueDeclarePassive(well, true, false, false, false, nil)
			}
			answered <- err
		}()
		select {
		case err := <-answered:
			c.ok(err)
			return true
		case <-time.After(within):
			return false
		}
	}
	if !answers(publishing(few), moment) {
		c.Errorf("%d messages to the queue hold up the connection", few)
	}
	held := publishing(many)
	if answers(held, time.Second) {
		c.Errorf("%d messages to the queue do not hold up the connection", many)
	}
	resume()
	if !answers(held, moment) {
		c.Error("the connection is still held up")
	}
}
