package consumer_test

import (
	"fmt"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	amqp "github.com/rabbitmq/amqp091-go"
)

// remake replaces the queue by one of another type: classic, quorum or stream.
func (r *rig) remake(kind string, arguments map[string]any) {
	r.Helper()
	rabbittest.NeedsControl(r)
	r.deleteQueue(r.queue)
	all := map[string]any{"x-queue-type": kind}
	for name, value := range arguments {
		all[name] = value
	}
	r.session(broker.Subscription{
		Queue: r.queue, Prefetch: 1, Declare: &broker.QueueOptions{Durable: true, Arguments: all},
	})
}

// load publishes messages past the proxy, many at a time; their ids are their bodies.
func (r *rig) load(n int) {
	r.Helper()
	const together = 200 // fewer than a Publisher's window
	r.withPublisher(func(p *broker.Publisher) {
		var confirms []*broker.Confirm
		for i := range n {
			r.mu.Lock()
			r.published++
			id := fmt.Sprintf("message %d", r.published)
			r.mu.Unlock()
			confirm, err := p.Publish(r.Context(), broker.Message{RoutingKey: r.queue, MessageID: id, Body: []byte(id)})
			r.must(err)
			confirms = append(confirms, confirm)
			if len(confirms) == together || i == n-1 {
				for _, c := range confirms {
					r.must(c.Wait(r.Context()))
				}
				confirms = nil
			}
		}
	})
}

// awaitDepth waits until the broker counts so many messages.
func (r *rig) awaitDepth(queue string, ready, unacked int) {
	r.Helper()
	r.await(fmt.Sprintf("%d messages ready in %s, and %d unacknowledged", ready, queue, unacked), func() bool {
		n, m, err := r.node.Depth(r.Context(), queue)
		return err == nil && n == ready && m == unacked
	})
}

// declare makes a durable queue, through a session that declares and never consumes.
func (r *rig) declare(queue string) {
	r.Helper()
	r.session(broker.Subscription{Queue: queue, Declare: &broker.QueueOptions{Durable: true}, Prefetch: 1})
}

func (r *rig) session(subscriptions ...broker.Subscription) {
	r.Helper()
	s, err := broker.Open(r.Context(), broker.Plan{Endpoints: r.direct(), Subscriptions: subscriptions}, 1, 0)
	if err != nil {
		r.Fatal(err)
	}
	defer s.Abort()
	for i := range subscriptions {
		c, err := s.Consume(r.Context(), i, broker.Intake{})
		if err != nil {
			r.Fatal(err)
		}
		if err := c.Close(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}

func (r *rig) deleteQueue(queue string) {
	r.Helper()
	r.onChannel(func(c *amqp.Channel) error {
		_, err := c.QueueDelete(queue, false, false, false)
		return err
	})
}

// consumers is how many the broker counts on the queue.
func (r *rig) consumers() (n int) {
	r.Helper()
	r.onChannel(func(c *amqp.Channel) error {
		q, err := c.QueueDeclarePassive(r.queue, true, false, false, false, nil)
		n = q.Consumers
		return err
	})
	return n
}

func (r *rig) onChannel(f func(*amqp.Channel) error) {
	r.Helper()
	connection, err := amqp.Dial(r.node.URL())
	if err != nil {
		r.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err == nil {
		err = f(channel)
	}
	if err != nil {
		r.Fatal(err)
	}
}
