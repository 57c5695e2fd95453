package consumer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
)

// Delivery is one message as the broker delivered it.
type Delivery = broker.Delivery

// Handler handles one delivery. A nil error acknowledges it. [Requeue], [Reject] and [RetryAfter] are
// outcomes of their own; any other error, and a panic, is dealt with as Subscription.Retry says. ctx
// lives as long as the handler may: it is cancelled when the grace period of a stop is over and after
// Subscription.HandlerTimeout, not when the connection is lost.
//
// A message can be delivered more than once: when the connection is lost before its acknowledgement
// arrived at the broker, it comes again. Handlers must be idempotent.
//
// d is the handler's to change, but for its DeliveryTag and for what Body and Headers hold, which a
// message that is tried again, delayed or parked shares: set these two to others instead.
type Handler func(ctx context.Context, d *Delivery) error

// dispatcher hands the deliveries of one subscription to its workers. They live as long as the consumer
// runs, so that a revival never makes more of them, and receive from whatever channel is in view:
//
//	broker.Consumer -> a worker -> the handler -> its outcome -> the acknowledger of that channel
//
// What no worker has received stays in amqp091-go's buffer, and goes back to the queue with its channel.
type dispatcher struct {
	shared
	spec    Subscription
	view    atomic.Pointer[view]
	workers sync.WaitGroup
	turn    chan struct{} // held while receiving
	lanes   lanes[job]
	stream  bool    // nothing can be given back
	recent  *recent // nil without Subscription.Suppress
	breaker breaker

	committing sync.Mutex   // held by Subscription.Commit
	telling    sync.RWMutex // held, shared, by Config.OnStale
	ended      atomic.Bool  // Run returns: the caller's functions are called no more

	mu      sync.Mutex // guards changes of view, and:
	running int        // workers
}

// shared is what all subscriptions of a consumer have in common.
type shared struct {
	counts  *counts
	logger  zerolog.Logger
	work    context.Context // of the handlers
	outbox  outbox
	onStale func(Stale)
	// dropped and tripped tell the supervisor.
	dropped func(Evidence)
	tripped func()
}

// outbox publishes messages again: a *republisher, or a model of one in tests. Whoever is told nil may
// acknowledge the original.
type outbox interface {
	park(ctx context.Context, d *Delivery, queue string, why failure) error
	delay(ctx context.Context, d *Delivery, after time.Duration, why failure) error
}

// view is what the workers go by; a change replaces it.
type view struct {
	acks        *acknowledger // of the channel to receive from; nil while there is none
	paused      bool          // receive nothing, give back what was not begun
	over        bool          // and end
	concurrency int
	changed     chan struct{} // closed when this is not the view any more
}

type job struct {
	*Delivery
	acks *acknowledger // the only one it can be settled through
	key  string        // with Subscription.Key
}

func newDispatcher(spec Subscription, s shared) *dispatcher {
	d := &dispatcher{shared: s, spec: spec, turn: make(chan struct{}, 1), stream: spec.isStream()}
	d.breaker.limit = int64(spec.Breaker.Failures)
	if spec.Suppress > 0 {
		d.recent = newRecent(spec.Suppress)
	}
	d.view.Store(&view{concurrency: spec.Concurrency, changed: make(chan struct{})})
	return d
}

func (d *dispatcher) start() { d.change(func(*view) {}) }

// change replaces the view, and starts the workers that it asks for.
func (d *dispatcher) change(edit func(*view)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.view.Load()
	v := *old
	v.changed = make(chan struct{})
	edit(&v)
	d.view.Store(&v)
	close(old.changed)
	for ; !v.over && d.running < v.concurrency; d.running++ {
		d.workers.Go(func() { d.run(job{}) })
	}
}

// attach puts a channel that the broker has confirmed in view, paused.
func (d *dispatcher) attach(s source, prefetch int) {
	a := newAcknowledger(s, &d.spec, prefetch)
	a.acked = func(n int) { d.counts.handled.Add(uint64(n)) }
	a.stale = d.staleOutcomes
	if d.spec.Commit != nil {
		a.commit = d.commit
	}
	if last := d.view.Load().acks; last != nil {
		last.replace()
	}
	d.change(func(v *view) { v.acks, v.paused = a, true })
}

// stop ends the workers once their handlers have returned.
func (d *dispatcher) stop() { d.change(func(v *view) { v.over = true }) }

// flush sends all acknowledgements that are waiting.
func (d *dispatcher) flush() {
	if a := d.view.Load().acks; a != nil {
		a.flush(true)
	}
}

// giveBackRest returns to the queue what the broker has sent and no worker has received, and tells how
// much that was. The consumer must have been cancelled, and the view paused or over.
func (d *dispatcher) giveBackRest(a *acknowledger) (deliveries int) {
	if d.stream { // whose rest goes with its channel, and is read again
		return 0
	}
	for _, j := range d.lanes.takeAll() { // behind others of their keys
		if d.giveBack(j.acks, j.Delivery) {
			deliveries++
		}
	}
	for {
		delivery, ok := a.receive(nil)
		if !ok {
			return deliveries
		}
		if d.giveBack(a, delivery) {
			deliveries++
		}
	}
}

// giveBack returns to its queue what no handler has begun with.
func (d *dispatcher) giveBack(a *acknowledger, delivery *Delivery) bool {
	if d.stream || a.settle(delivery, a.source.Nack) != nil {
		return false
	}
	d.counts.givenBack.Add(1)
	if d.recent != nil && !delivery.Redelivered { // or another one of its id would speak for it
		id := d.nameOf(d.spec.ID, delivery)
		d.recent.begin(id, false, nil)
		d.recent.end(id, false)
	}
	return true
}

// run is a worker. The last job is the one that ended the worker before it, if one did.
func (d *dispatcher) run(last job) {
	over := false
	defer func() {
		if !over { // the handler ended this goroutine (runtime.Goexit): another one takes its place
			d.workers.Go(func() { d.run(last) })
		}
	}()
	var v *view
	for {
		if last = d.following(last); last.acks == nil {
			if d.view.Load() != v {
				if v = d.stay(); v == nil {
					over = true
					return
				}
			}
			var ok bool
			if last, ok = d.receive(v); !ok {
				last = job{}
				<-v.changed
				continue
			}
		}
		d.handle(last)
	}
}

// stay gives a worker the current view, or nil if it is not needed any more.
func (d *dispatcher) stay() *view {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.view.Load()
	if v.over || d.running > v.concurrency {
		d.running--
		return nil
	}
	return v
}

// receive waits for a delivery that may be handled now, as long as the view lasts.
//
// One worker at a time receives. So the lanes fill in the queue's order; and nobody who has just been
// given a delivery waits for a processor behind others who go on receiving, while what they finish
// piles up behind that delivery and has to be acknowledged one by one.
func (d *dispatcher) receive(v *view) (job, bool) {
	if v.acks == nil || v.paused {
		return job{}, false
	}
	alone := v.concurrency == 1 && d.spec.Key == nil
	for {
		take := d.take
		if !alone {
			select {
			case d.turn <- struct{}{}:
			case <-v.changed:
				return job{}, false
			}
			take = d.takeInTurn
		}
		j, ok, mine := take(v)
		if !ok || mine {
			return j, ok
		}
	}
}

func (d *dispatcher) takeInTurn(v *view) (j job, ok, mine bool) {
	defer func() { <-d.turn }() // even if Key ends this goroutine
	return d.take(v)
}

// take receives a delivery; it is mine unless it waits in its lane.
func (d *dispatcher) take(v *view) (j job, ok, mine bool) {
	delivery, ok := v.acks.receive(v.changed)
	j = job{Delivery: delivery, acks: v.acks}
	if !ok || d.spec.Key == nil {
		return j, ok, ok
	}
	j.key = d.nameOf(d.spec.Key, delivery)
	return j, true, d.lanes.begin(j.key, j)
}

// following is the next job of the same key, which waited for this one.
func (d *dispatcher) following(j job) job {
	if j.acks == nil || d.spec.Key == nil {
		return job{}
	}
	next, _ := d.lanes.next(j.key)
	return next
}

// nameOf calls a function of the caller's; if it panics, the name is empty.
func (d *dispatcher) nameOf(name func(*Delivery) string, delivery *Delivery) string {
	defer func() {
		if r := recover(); r != nil {
			d.about(d.logger.Error(), delivery).Msgf("Key or ID panicked: %v", r)
		}
	}()
	return name(delivery)
}
