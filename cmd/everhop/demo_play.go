package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
)

// play publishes, and meanwhile lets happen one fault after another.
func (d *demonstration) play(ctx, hard context.Context) error {
	if err := d.ledger.await(ctx, (*history).consuming); err != nil { // the queue is there now
		return err
	}
	endpoint, err := broker.ParseEndpoint(d.server.URL())
	if err != nil {
		return err
	}
	publisher := &demoPublisher{
		plan:   broker.Plan{Endpoints: []broker.Endpoint{endpoint}, Name: demoName + "-publisher"},
		queue:  demoQueue,
		ledger: d.ledger,
	}
	publishing, stop := context.WithCancel(ctx)
	var published sync.WaitGroup
	published.Go(func() { publisher.run(publishing, hard) })
	defer published.Wait()
	defer stop()
	for i, f := range d.faults {
		if err := d.rest(ctx); err != nil {
			return err
		}
		d.screen.say(announcement(i+1, len(d.faults), f, d.screen.ink)...)
		if err := d.meet(ctx, f); err != nil {
			return err
		}
	}
	return d.rest(ctx)
}

// rest lets the consumer consume for a while.
func (d *demonstration) rest(ctx context.Context) error {
	select {
	case <-time.After(d.pause):
		return d.ledger.await(ctx, (*history).consuming)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// meet plays a fault and returns when its consequences are over: messages are handled again, the broker has
// forgotten what connections the consumer had before, and what that gave back has been handled too.
func (d *demonstration) meet(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.patience, fmt.Errorf("%s: not overcome within %v", f.name, d.patience))
	defer cancel()
	i, err := d.strike(ctx, f)
	if err != nil {
		return err
	}
	if err := d.ledger.await(ctx, func(h *history) bool { return h.outcome(i, forever).handled != absent }); err != nil {
		return err
	}
	if err := d.server.Await(ctx, func() bool { return connections(d.server, demoName) == 1 }); err != nil {
		return context.Cause(ctx)
	}
	first := 0
	d.ledger.look(func(h *history) { first = len(h.messages) })
	if err := d.ledger.await(ctx, func(h *history) bool { return h.caughtUp(first) }); err != nil {
		return err
	}
	now := d.ledger.now()
	var o outcome
	if err := d.ledger.await(ctx, func(h *history) bool {
		o = h.outcome(i, forever)
		return h.allShown() // the sentence comes below what it follows from
	}); err != nil {
		return err
	}
	d.screen.say(o.sentence(now, d.screen.ink))
	return nil
}

// strike plays a fault until it has ended, or ctx.
func (d *demonstration) strike(ctx context.Context, f fault) (incident, error) {
	d.incidents = append(d.incidents, incident{fault: f.name, began: d.ledger.now(), ended: absent})
	i := &d.incidents[len(d.incidents)-1]
	f.strike(d.server)
	if f.mend == nil {
		return *i, nil
	}
	select {
	case <-time.After(f.outage):
		i.ended = d.ledger.now()
		d.screen.say(clock(i.ended) + "  " + d.screen.ink.paint(f.back, bold))
	case <-ctx.Done():
	}
	return *i, f.mend(d.server)
}

func connections(server *brokertest.Server, name string) (n int) {
	for _, c := range server.Connections() {
		if c.ClientProperties["connection_name"] == name {
			n++
		}
	}
	return n
}
