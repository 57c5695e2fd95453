package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

const (
	demoQueue = "demo"
	// demoHandlers and demoWork make it likely that some message is in a handler's hands whenever a fault
	// comes, and leave room to catch up.
	demoHandlers = 8
	demoWork     = 20 * time.Millisecond
)

// demonstration is a broker, a publisher and a consumer in this process, and the faults between them.
//
//	demoPublisher ──► brokertest.Server ──► consumer ──► handle
//	      │ confirms         ▲ faults          │ events     │
//	      └──────────────────┼──► ledger ◄─────┴────────────┘
//	                         │       │
//	                      play ◄─────┴──► region, summary
type demonstration struct {
	screen   *screen
	drawing  string // of the machine
	faults   []fault
	pause    time.Duration // of calm before each fault, and after the last one
	patience time.Duration // how long a fault may have consequences
	hurry    time.Duration // how long messages may still be handled once the user wants to stop

	ledger    *ledger
	server    *brokertest.Server
	incidents []incident
}

func newDemonstration(screen *screen) *demonstration {
	return &demonstration{
		screen:   screen,
		drawing:  machineHere(),
		faults:   demoFaults(),
		pause:    1500 * time.Millisecond,
		patience: 20 * time.Second,
		hurry:    time.Second,
		ledger:   newLedger(),
	}
}

// result is what a demonstration came to.
type result struct {
	outcomes []outcome
	tally    tally
	events   []fsm.Event
}

// run plays the faults. When soft ends it comes to an end in order, when hard ends at once; neither is an
// error.
func (d *demonstration) run(soft, hard context.Context) (r result, err error) {
	if d.server, err = brokertest.Start(brokertest.Config{}); err != nil {
		return r, err
	}
	defer d.server.Close()
	c, err := consumer.New(d.config())
	if err != nil {
		return r, err
	}
	d.screen.say(introduction(len(d.faults))...)
	defer d.screen.animate(d.region)()

	ctx, end := context.WithCancelCause(soft)
	defer end(nil)
	consumed := make(chan error, 1)
	go func() {
		err := c.Run(context.WithoutCancel(soft))
		end(errConsumerEnded)
		consumed <- err
	}()
	err = d.play(ctx, hard)
	interrupted := soft.Err() != nil
	switch {
	case interrupted:
		err = nil
	case err == nil:
		d.screen.say("", "The end: the publisher stops, and once all is handled the consumer too.")
	}
	d.finish(hard, interrupted, c)
	if failure := <-consumed; failure != nil {
		err = failure
	}
	r = d.result()
	return r, errors.Join(err, r.tally.judge(interrupted))
}

var errConsumerEnded = errors.New("the consumer has ended by itself")

func (d *demonstration) config() consumer.Config {
	return consumer.Config{
		URLs:      []string{d.server.URL()},
		Name:      demoName,
		Heartbeat: demoHeartbeat,
		Journal:   d.ledger,
		Subscriptions: []consumer.Subscription{{
			Queue:       demoQueue,
			Declare:     &broker.QueueOptions{Durable: true},
			Concurrency: demoHandlers,
			Handler:     d.handle,
		}},
		Observers: []func(fsm.Event){func(e fsm.Event) {
			d.screen.say(describe(e, d.screen.ink)...)
			d.ledger.shown(e)
		}},
	}
}

// handle works for a while.
func (d *demonstration) handle(ctx context.Context, m *consumer.Delivery) error {
	number, err := strconv.Atoi(m.MessageID)
	if err != nil {
		return err
	}
	handled := d.ledger.handling(number, m.Redelivered)
	select {
	case <-time.After(demoWork):
		handled()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish lets what was published be handled, and stops the consumer.
func (d *demonstration) finish(hard context.Context, interrupted bool, c *consumer.Consumer) {
	patience := d.patience
	if interrupted {
		patience = d.hurry
	}
	ctx, cancel := context.WithTimeout(hard, patience)
	defer cancel()
	heal(d.server) // or the end would have to wait for what was broken
	_ = d.ledger.await(ctx, func(h *history) bool { return h.caughtUp(len(h.messages)) })
	_ = c.Stop(hard)
}

func (d *demonstration) result() (r result) {
	r.tally = d.ledger.tally(d.held)
	d.ledger.look(func(h *history) {
		for _, e := range h.events {
			r.events = append(r.events, e.Event)
		}
		r.outcomes = h.outcomes(d.incidents)
	})
	return r
}

// held is how many messages the broker has.
func (d *demonstration) held() int {
	q, _ := d.server.Queue(demoQueue)
	return q.Ready + q.Unacknowledged
}

// region is what the screen shows below the lines.
func (d *demonstration) region(columns int) []string {
	s := situation{tally: d.ledger.tally(d.held), now: d.ledger.now()}
	d.ledger.look(func(h *history) {
		s.state, s.since = h.state()
		s.handled = h.latest
	})
	return s.lines(columns, d.drawing, d.screen.ink)
}
