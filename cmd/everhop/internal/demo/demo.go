// Package demo shows what Everhop does when something breaks: a broker, a publisher and a consumer in this
// process, and the faults between them.
//
//	                repair: retry
//	                 ▼         ▲ parked
//	publisher ──► brokertest.Server ──► consumer ──► handle
//	    │ confirms        ▲ faults          │ events     │
//	    └─────────────────┼──► ledger ◄─────┴────────────┘
//	                      │       │
//	                    play ◄────┴──► region, summary
//
// All times and numbers that it shows are measured, and come from the ledger.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

const (
	// Rate is how many messages are published each second.
	Rate = 80
	// Handlers is how many messages are handled at once.
	Handlers = 8
	// Work is how long each takes: so it is likely that some are in a handler's hands whenever a fault comes,
	// and there is room to catch up.
	Work = 20 * time.Millisecond
	// Heartbeat is shorter than the default, so that the broker too notices within the demo that the network
	// is silent. It must not be shorter than this: amqp091-go gives up a connection that was silent for one
	// and a half of it, and that shall be later than the probe does.
	Heartbeat = 3 * time.Second

	queue = "demo"
	name  = "everhop-demo" // the consumer's at the broker, so that faults hit it and not the publisher
)

// Options are how to show a demo.
type Options struct {
	Graph   *os.File    // gets the graph of the states with what happened; nil for none
	Journal fsm.Journal // the consumer's; nil for one in memory
}

// Run shows the demo. When soft ends it comes to an end in order, when hard ends at once; neither is an
// error. Lost messages are, and so is what keeps the demo from going on; an error of out is returned as it is.
func Run(soft, hard context.Context, out *term.Output, options Options) error {
	s := newScreen(out)
	d := newDemonstration(s)
	d.ledger.journal = options.Journal
	r, err := d.run(soft, hard)
	s.say(summary(r.outcomes, r.tally, r.interrupted, s.ink)...)
	counts := "everhop demo --dot run.dot"
	if options.Graph != nil {
		counts = "dot -Tsvg " + options.Graph.Name() + " > run.svg"
		var happened fsm.Summary
		for _, e := range r.events {
			happened.Apply(e)
		}
		_, failure := options.Graph.WriteString(consumer.Lifecycle().DOTSummary(&happened, consumer.Failures()...))
		err = errors.Join(err, failure)
	}
	if err == nil {
		s.say(whereToGo(counts, s.ink)...)
	}
	return errors.Join(s.failure(), err)
}

// demonstration is one demo.
type demonstration struct {
	screen   *screen
	faults   []fault
	pause    time.Duration // of calm before each fault, and after the last one
	patience time.Duration // how long a fault may have consequences
	hurry    time.Duration // how long messages may still be handled once the user wants to stop

	ledger   *ledger
	server   *brokertest.Server
	outcomes []outcome
	broken   *fault // has been played, and could be mended
	unknown  atomic.Pointer[articles]
}

func newDemonstration(s *screen) *demonstration {
	return &demonstration{
		screen:   s,
		faults:   []fault{connectionReset, networkSilent, brokerRestart, consumerCancel},
		pause:    1500 * time.Millisecond,
		patience: 20 * time.Second,
		hurry:    time.Second,
		ledger:   newLedger(func(e fsm.Event) { s.say(describe(e, s.ink)...) }),
	}
}

// result is what a demonstration came to.
type result struct {
	outcomes    []outcome
	tally       tally
	events      []fsm.Event
	interrupted bool
}

var errConsumerEnded = errors.New("the consumer has ended by itself")

func (d *demonstration) run(soft, hard context.Context) (r result, err error) {
	if d.server, err = brokertest.Start(brokertest.Config{}); err != nil {
		return r, err
	}
	defer d.server.Close()
	c, err := consumer.New(d.config())
	if err != nil {
		return r, err
	}
	ctx, end := context.WithCancelCause(soft)
	defer end(nil)
	d.screen.broken = end
	d.screen.say("A broker, a publisher and a consumer, all in this process;",
		term.Plain(fmt.Sprintf("%d messages a second; %d faults. Ctrl-C ends it.", Rate, len(d.faults))), "")
	defer d.screen.animate(d.region)()

	consumed := make(chan error, 1)
	go func() {
		err := c.Run(context.WithoutCancel(soft))
		end(errConsumerEnded)
		consumed <- err
	}()
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	var publisher sync.WaitGroup
	publisher.Go(func() { d.publish(publishing, hard) })

	if err = d.play(ctx); err == nil {
		err = d.repair(ctx)
	}
	r.interrupted = soft.Err() != nil || d.screen.failure() != nil
	patience := d.patience
	switch {
	case r.interrupted:
		d.screen.say("", term.Plain(fmt.Sprintf("%v: ending; a second signal ends at once", context.Cause(soft))))
		err, patience = nil, d.hurry
	case err == nil:
		d.screen.say("", "The end: the publisher stops, and then the consumer.")
	}
	err = errors.Join(err, d.mend()) // or the end would have to wait for what is broken
	stop()
	publisher.Wait()
	ending, cancel := context.WithTimeout(hard, patience)
	defer cancel()
	_ = d.ledger.await(ending, func(h *history) bool { return h.handledUntil(forever) != absent })
	_ = c.Stop(hard)
	if failure := <-consumed; failure != nil {
		err = failure
	}
	d.ledger.look(func(h *history) {
		for _, e := range h.events {
			r.events = append(r.events, e.Event)
		}
		for _, o := range d.outcomes {
			r.outcomes = append(r.outcomes, h.measure(o))
		}
	})
	r.tally = d.ledger.tally(d.held)
	return r, errors.Join(err, r.tally.judge(r.interrupted))
}

func (d *demonstration) config() consumer.Config {
	return consumer.Config{
		URLs:       []string{d.server.URL()},
		Name:       name,
		Heartbeat:  Heartbeat,
		HealWithin: -1, // what the demo does not mend is to end it
		Journal:    d.ledger,
		Subscriptions: []consumer.Subscription{{
			Queue:       queue,
			Declare:     &broker.QueueOptions{Durable: true},
			Concurrency: Handlers,
			Handler:     d.handle,
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
	if d.isUnknown(number) {
		d.ledger.failed(number)
		return consumer.Permanent(fmt.Errorf("no such article: %d", number))
	}
	select {
	case <-time.After(Work):
		handled()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publish publishes numbered messages at a steady rate, from when the queue is there until soft ends. One that is under
// way while the broker is away is waited for.
func (d *demonstration) publish(soft, hard context.Context) {
	p, err := publish.New(publish.Config{URLs: []string{d.server.URL()}, Name: name + "-publisher", GiveUpOn: []broker.Class{}})
	if err != nil || d.ledger.await(soft, (*history).consuming) != nil {
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(context.Background()) })
	defer running.Wait()
	defer func() { _ = p.Stop(hard) }()
	tick := time.NewTicker(time.Second / Rate)
	defer tick.Stop()
	for number := 0; soft.Err() == nil; number++ {
		<-tick.C
		id := strconv.Itoa(number)
		if p.Publish(hard, &broker.Message{RoutingKey: queue, MessageID: id, Body: []byte("message " + id)}) != nil {
			return
		}
		d.ledger.confirmed(number)
	}
}

// play lets happen one fault after another.
func (d *demonstration) play(ctx context.Context) error {
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
	if err := sleep(ctx, d.pause); err != nil {
		return err
	}
	return d.ledger.await(ctx, (*history).consuming)
}

// meet plays a fault and returns when its consequences are over.
func (d *demonstration) meet(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.patience, fmt.Errorf("%s: not overcome within %v", f.name, d.patience))
	defer cancel()
	now := d.ledger.now()
	if n := len(d.outcomes); n > 0 {
		d.outcomes[n-1].until = now
	}
	d.outcomes = append(d.outcomes, outcome{fault: f.name, began: now, returned: absent, until: forever})
	o := &d.outcomes[len(d.outcomes)-1]
	f.strike(d.server)
	if f.mend != nil {
		d.broken = &f
	}
	if err := d.overcome(ctx, f, o); err != nil {
		o.until = d.ledger.now()
		return err
	}
	o.overcome, d.broken = true, nil
	return nil
}

// overcome waits until messages are handled again, the broker has forgotten what connections the consumer
// had before, and what that gave back has been handled too.
func (d *demonstration) overcome(ctx context.Context, f fault, o *outcome) error {
	if f.outage > 0 {
		if err := sleep(ctx, f.outage); err != nil {
			return err
		}
		o.returned = d.ledger.now()
		if err := d.mend(); err != nil {
			return err
		}
	}
	if err := d.ledger.await(ctx, func(h *history) bool { return h.measure(*o).handled != absent }); err != nil {
		return err
	}
	forgotten := func() bool { return len(d.server.Connections()) <= 2 } // the consumer's and the publisher's
	if err := d.server.Await(ctx, forgotten); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	now, measured := d.ledger.now(), outcome{}
	err := d.ledger.await(ctx, func(h *history) bool {
		measured = h.measure(*o)
		return h.handledUntil(now) != absent
	})
	if err == nil {
		said := fmt.Sprintf("Caught up after %s; %d redelivered.", span(measured.caughtUp), measured.redelivered)
		d.screen.say(clock(d.ledger.now()) + "  " + d.screen.ink.Paint(said, term.Green))
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// mend ends a fault that lasts.
func (d *demonstration) mend() error {
	f := d.broken
	if f == nil {
		return nil
	}
	d.broken = nil
	d.tell(f.back)
	return f.mend(d.server)
}

// held is how many messages the broker has. One that moves while they are counted is in at least one of the two queues,
// and is not missed: the first is counted before the other one, and after it.
func (d *demonstration) held() held {
	count := func(queue string) int {
		q, _ := d.server.Queue(queue)
		return q.Ready + q.Unacknowledged
	}
	before, parked := count(queue), count(parkingQueue)
	return held{queued: max(before, count(queue)), parked: parked}
}

// region is what the screen shows below the lines.
func (d *demonstration) region() (lines []term.Text) {
	t := d.ledger.tally(d.held)
	d.ledger.look(func(h *history) {
		state, since := h.state()
		lines = region(state, d.ledger.now()-since, t, d.screen.ink)
	})
	return lines
}
