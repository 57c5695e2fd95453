package consumer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/dedup"
	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/consumer/internal/lanes"
	"github.com/everhop/everhop/consumer/internal/measure"
	"github.com/everhop/everhop/fsm"
)

// Delivery is one message as the broker delivered it.
type Delivery = broker.Delivery

// Handler handles one delivery. A nil error acknowledges it. [Requeue], [Reject] and [RetryAfter] are
// outcomes of their own; any other error, and a panic, is dealt with as Subscription.Retry says, a
// [Permanent] one without another call. ctx lives as long as the handler may: it is cancelled when
// the grace period of a stop is over and after Subscription.HandlerTimeout, not when the connection
// is lost.
//
// A message can be delivered more than once: when the connection is lost before its acknowledgement
// arrived at the broker, it comes again. Handlers must be idempotent.
//
// d is the handler's, to change and to keep, but for what Body and Headers hold, which a message that is
// tried again, delayed or parked shares: set these two to others instead.
type Handler func(ctx context.Context, d *Delivery) error

// dispatcher hands the deliveries of one subscription to its workers. They live as long as the consumer
// runs, so that a revival never makes more of them, and receive from whatever channel is in view:
//
//	broker.Consumer -> a worker -> the handler -> its outcome -> the acknowledger of that channel
//
// What no worker has received stays in the inbox of its broker.Consumer, and goes back to the queue with its
// channel.
//
// What the supervisor does with it is in this file and in giveback.go. Its methods may be called from any goroutine, as may
// those of its parts, each of which is in a file of its own.
type dispatcher struct {
	spec Subscription
	env  environment

	crew   crew          // works, and goes by the view
	turn   chan struct{} // held while receiving
	lanes  lanes.Lanes[job]
	kept   waitingRoom
	recent *dedup.Window // nil without Dedup
	window *window       // how much is asked for
	kind   queueKind     // of a stream nothing can be given back

	judge    judge // what becomes of a message
	breaker  breaker
	absence  absence
	rescues  rescues
	overruns overruns
	calls    callbacks // but of handlers

	elsewhere atomic.Int64 // how many are being published, or held back, and with no worker
	repeats   repeats      // what could not be published again
}

// environment is what all subscriptions of a consumer have in common.
type environment struct {
	counts  *counts
	logger  zerolog.Logger
	inside  *inside.Marks
	work    context.Context // of the handlers
	outbox  outbox
	onStale func(Stale)
	keepFor time.Duration // how long a delivery may wait in memory for its next turn
	// tell has an event committed about something rare. tripped and resize tell the supervisor.
	tell    func(fsm.Kind, string, Evidence)
	tripped func()
	resize  chan<- struct{}
}

// outbox publishes messages again: a *republisher, or a model of one in tests. Whoever is told nil may
// acknowledge the original.
type outbox interface {
	park(ctx context.Context, d *Delivery, queue string, why failure) error
	delay(ctx context.Context, d *Delivery, after time.Duration, why failure) error
	postpone(ctx context.Context, d *Delivery, why failure) error
	save(ctx context.Context, d *Delivery) error
	// ready waits until messages can be published, or cannot.
	ready(ctx context.Context)
}

func newDispatcher(spec Subscription, env environment) *dispatcher {
	d := &dispatcher{spec: spec, env: env, turn: make(chan struct{}, 1)}
	d.kind.declared = spec.declaredType()
	d.kind.v.Store(spec.kind())
	d.judge = judge{spec: &d.spec, kind: &d.kind, breaker: &d.breaker, keepFor: env.keepFor, work: env.work}
	d.crew.hire = func(number int) *worker { return &worker{dispatcher: d, number: number} }
	d.crew.measures = measure.New()
	d.crew.current.Store(&view{concurrency: spec.Concurrency, changed: make(chan struct{})})
	d.calls = callbacks{spec: &d.spec, env: &d.env, committing: make(chan struct{}, 1)}
	d.window = newWindow(spec, &d.kind, env.resize)
	d.breaker.limit = int64(spec.Breaker.Failures)
	d.kept.crew, d.kept.lanes = &d.crew, &d.lanes
	d.absence.crew = &d.crew
	d.overruns.crew, d.overruns.kind = &d.crew, &d.kind
	d.rescues.dispatcher = d
	if spec.Dedup.Window > 0 {
		d.recent = dedup.New(spec.Dedup.Window)
	}
	return d
}

// start begins with the workers.
func (d *dispatcher) start() { d.crew.rouse() }

// attach puts a channel that the broker has confirmed in the place of the last one, paused.
func (d *dispatcher) attach(s source, prefetch int) {
	last := d.channel()
	from := last.offset()
	if last != nil {
		last.forgotten.Store(d.spec.OrderingKey != nil) // else what comes of it still may be handled, and acknowledged
		last.acks.Replace()
	}
	c := d.newChannel(s, prefetch, from)
	d.crew.change(func(v *view) { v.channel, v.paused, v.returning, v.silent = c, true, false, make(chan struct{}) })
	d.forget(func(of *channel) bool { return of != c })
}

// detach says that the channel in view is lost. What waits in its lane is forgotten: it comes again. What is
// with a handler may still be settled, if the channel itself is open.
//
// The channel may not know yet that it is lost, and have more to receive. That is not begun either: it would pass
// what has waited before it in its lane.
func (d *dispatcher) detach() {
	c := d.channel()
	if c == nil {
		return
	}
	c.forgotten.Store(true)
	d.forget(func(of *channel) bool { return of == c })
}

// forget drops what waits in its lane, or is kept, and is of such a channel. It would be dropped anyway, but only
// in its turn, and whatever comes again until then would wait beside it.
func (d *dispatcher) forget(gone func(*channel) bool) {
	isGone := func(j job) bool { return gone(j.channel) }
	d.lanes.Remove(isGone)
	d.kept.remove(isGone)
}

// pause has nothing more received or begun. What has come stays, unless giveBack is called.
func (d *dispatcher) pause() { d.crew.rest(func(v *view) { v.paused = true }) }

// resume goes on after attach or pause.
func (d *dispatcher) resume() { d.crew.change(func(v *view) { v.paused, v.returning = false, false }) }

// resize changes the number of workers. Of those that are too many, each ends when it has finished what it
// is at.
func (d *dispatcher) resize(concurrency int) {
	d.crew.change(func(v *view) { v.concurrency = concurrency })
}

// isIdle tells whether nothing is received or begun.
func (d *dispatcher) isIdle() bool { return d.crew.view().idle() }

// channel is the one in view; nil before the first one.
func (d *dispatcher) channel() *channel { return d.crew.view().channel }

// unstarted is how many deliveries of it no handler has begun with, as far as is known.
func (d *dispatcher) unstarted() int {
	c := d.channel()
	if c == nil {
		return 0
	}
	unreceived, _, _ := c.source.Waiting()
	_, inLanes := d.lanes.Size()
	return unreceived + inLanes
}

// heal has the breaker count anew.
func (d *dispatcher) heal() {
	d.breaker.row.Store(0)
	d.absence.tryOne()
}

// stop ends the workers once their handlers have returned.
func (d *dispatcher) stop() { d.crew.rest(func(v *view) { v.over = true }) }

// wait returns when the workers have ended.
func (d *dispatcher) wait() { d.crew.begun.Wait() }

// staysWithChannel tells whether what is not acknowledged goes back with its channel, and not one by one: to a
// stream, which keeps it anyway; and when it stops, to a queue with a single active consumer. There, the next consumer
// would get what is behind the prefetch before it got that.
func (d *dispatcher) staysWithChannel() bool {
	return d.kind.isStream() || d.spec.isSingleActive() && d.crew.view().over
}
