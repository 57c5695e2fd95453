package main

import (
	"context"
	"strconv"
	"time"

	"github.com/everhop/everhop/broker"
)

// demoRate is how many messages are published each second.
const demoRate = 80

// demoPublisher publishes numbered messages at a steady rate. A broker.Publisher is not revived; so this
// one opens another when the connection breaks, and publishes again what was not confirmed by then.
type demoPublisher struct {
	plan   broker.Plan
	queue  string
	ledger *ledger

	next  int
	again []int // was sent, and may or may not be at the broker
}

// run publishes until soft ends, and then waits for the confirms of what it has sent, or for hard.
func (p *demoPublisher) run(soft, hard context.Context) {
	const pause = 100 * time.Millisecond
	for soft.Err() == nil {
		publisher, err := broker.OpenPublisher(soft, p.plan)
		if err != nil {
			select {
			case <-soft.Done():
			case <-time.After(pause):
			}
			continue
		}
		p.publish(soft, hard, publisher)
		closePublisher(hard, publisher)
	}
}

// numbered is a message on its way to the broker.
type numbered struct {
	number  int
	confirm *broker.Confirm
}

// publish goes on until the connection breaks.
func (p *demoPublisher) publish(soft, hard context.Context, publisher *broker.Publisher) {
	sent := make(chan numbered, 256) // as many as Publish lets through before it waits
	unconfirmed := make(chan []int)
	go func() { unconfirmed <- p.confirm(hard, sent) }()

	tick := time.NewTicker(time.Second / demoRate)
	defer tick.Stop()
	for soft.Err() == nil {
		select {
		case <-soft.Done():
			continue
		case <-tick.C:
		}
		number := p.take()
		id := strconv.Itoa(number)
		confirm, err := publisher.Publish(hard, broker.Message{RoutingKey: p.queue, MessageID: id, Body: []byte("message " + id)})
		if err != nil {
			p.again = append(p.again, number)
			break
		}
		sent <- numbered{number, confirm}
	}
	close(sent)
	p.again = append(<-unconfirmed, p.again...)
}

// take is the number to publish now.
func (p *demoPublisher) take() int {
	if len(p.again) > 0 {
		number := p.again[0]
		p.again = p.again[1:]
		return number
	}
	p.next++
	return p.next - 1
}

// confirm waits for the confirms, and returns the numbers of those that did not come.
func (p *demoPublisher) confirm(hard context.Context, sent <-chan numbered) (unconfirmed []int) {
	for m := range sent {
		if m.confirm.Wait(hard) != nil {
			unconfirmed = append(unconfirmed, m.number)
			continue
		}
		p.ledger.confirmed(m.number)
	}
	return unconfirmed
}
