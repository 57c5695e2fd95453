package consumer

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// A quorum queue counts how often a message came back, whatever the reason: it was put back, or its channel or
// its connection ended while it was unacknowledged, even if nobody had begun with it. One that came back more often
// than the delivery limit is dead-lettered, or dropped (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
// From RabbitMQ 4.0 on each quorum queue has a limit.
//
// A delivery that has few lives left is saved as soon as it comes in, whether a handler is free or not: a copy goes to
// the end of its queue, where it counts from 0, and then the delivery is acknowledged. If its channel is lost before,
// nobody knows whether it comes again: if it does not, it is saved all the same.

const (
	// DefaultDeliveryLimit is RabbitMQ's own from 4.0 on, and the default of Subscription.DeliveryLimit there.
	DefaultDeliveryLimit = 20
	// NoDeliveryLimit is the Subscription.DeliveryLimit of a queue that has none.
	NoDeliveryLimit = -1
)

// HeaderSaved is how often a message was published again because it had come back nearly as often as its queue
// allows (int64), since its handler failed it last.
const HeaderSaved = "x-everhop-saved"

const (
	deliveryCount = "x-delivery-count" // how often a message came back to its quorum queue
	deliveryLimit = "x-delivery-limit" // the argument of the queue
	// oftenSaved is how often a message may be saved before somebody should look.
	oftenSaved = 3
)

// deliveryLimit is the limit that was set, else that which the queue is declared with, else that of a RabbitMQ of
// this version.
func (s Subscription) deliveryLimit(major int) int {
	if s.DeliveryLimit != 0 {
		return s.DeliveryLimit
	}
	if s.Declare != nil {
		if declared, ok := s.Declare.Arguments[deliveryLimit]; ok {
			if n, ok := integer(declared); ok {
				return n
			}
		}
	}
	if major < 4 {
		return NoDeliveryLimit
	}
	return DefaultDeliveryLimit
}

// lastLives is from which delivery count on a message is saved: when a quarter of its limit is left, so that
// its connection, or the process, may be lost a few times meanwhile. 0 means never.
func lastLives(limit int) int {
	const few = 2
	if limit < 1 {
		return 0
	}
	return max(1, limit-max(few, limit/4))
}

// integer is a whole number of whatever type, within an int32; false for anything else.
func integer(v any) (n int, ok bool) {
	switch v := reflect.ValueOf(v); {
	case v.CanInt():
		return int(min(max(v.Int(), math.MinInt32), math.MaxInt32)), true
	case v.CanUint():
		return int(min(v.Uint(), math.MaxInt32)), true
	}
	return 0, false
}

// rescues are the deliveries that are being saved, by what is in them: a message that comes again is known by nothing
// else.
type rescues struct {
	dispatcher *dispatcher
	// last is the delivery count from which on a message is saved; 0: never.
	last atomic.Int64

	mu sync.Mutex
	by map[uint64][]*rescue
}

// expect says which limit the queue has on the broker that it is consumed from next.
func (r *rescues) expect(limit int) { r.last.Store(int64(lastLives(limit))) }

// loseLives tells whether what is lost with a channel loses a life: the queue is a quorum queue, as far as is known, with a limit.
func (r *rescues) loseLives() bool { return r.dispatcher.kind.name() == "quorum" && r.last.Load() > 0 }

// rescue is one of them, on a goroutine of its own.
type rescue struct {
	dispatcher *dispatcher
	source     source
	channel    *channel  // nil: it was lost before it was in view
	delivery   *Delivery // as it came
	count      int       // how often it had come back
	key        uint64
	again      chan struct{} // closed: its channel is lost, and the message has come again
}

// begin notes a delivery. If it is another one of a message whose channel is lost, it takes that one's place. One that
// has not come back more often is another message, of the same content.
func (r *rescues) begin(s source, came *Delivery) *rescue {
	n := &rescue{dispatcher: r.dispatcher, source: s, delivery: came, key: contentKey(came), again: make(chan struct{})}
	n.count, _ = integer(came.Headers[deliveryCount])
	r.mu.Lock()
	defer r.mu.Unlock()
	same := r.by[n.key]
	if i := slices.IndexFunc(same, func(o *rescue) bool { return isLost(o.source) && o.count < n.count }); i >= 0 {
		close(same[i].again)
		same = slices.Delete(same, i, i+1)
	}
	if r.by == nil {
		r.by = map[uint64][]*rescue{}
	}
	r.by[n.key] = append(same, n)
	return n
}

func (r *rescues) end(n *rescue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := slices.DeleteFunc(r.by[n.key], func(o *rescue) bool { return o == n })
	if r.by[n.key] = same; len(same) == 0 {
		delete(r.by, n.key)
	}
}

// none tells whether nothing is being saved.
func (r *rescues) none() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.by) == 0
}

var contentSeed = maphash.MakeSeed()

// contentKey is the same for the same message.
func contentKey(d *Delivery) uint64 {
	return maphash.Bytes(contentSeed, d.Body) ^ maphash.String(contentSeed, d.MessageID+"\x00"+d.CorrelationID)
}

// take takes charge of a delivery that has few lives left. It is called by the connection's reader.
func (r *rescues) take(s source, delivery *Delivery) bool {
	return r.isWorn(delivery) && r.dispatcher.crew.beside(func() { r.save(s, delivery) })
}

// isWorn tells whether a delivery has few lives left. What could not be read may not say how many: it needs no handler,
// and so none of them.
func (r *rescues) isWorn(delivery *Delivery) bool {
	least := int(r.last.Load())
	if delivery.Unreadable != nil {
		return least > 0 && delivery.Redelivered
	}
	count, _ := integer(delivery.Headers[deliveryCount])
	return least > 0 && count >= least
}

// save sees to it that the message outlives its delivery.
func (r *rescues) save(s source, delivery *Delivery) {
	d, came := r.dispatcher, *delivery
	d.elsewhere.Add(1)
	defer d.elsewhere.Add(-1)
	defer d.window.handled()
	if came.Unreadable != nil {
		r.settleUnreadable(s, delivery, &came)
		return
	}
	restore(&came)
	n := r.begin(s, &came)
	defer r.end(n)
	if n.channel = d.crew.awaitChannel(s); n.channel != nil {
		n.channel.track(delivery)
	}
	n.run(delivery)
}

// run publishes the message again. If that cannot be, the best that can be done is to handle it at once.
func (r *rescue) run(delivery *Delivery) {
	d, c, came := r.dispatcher, r.channel, r.delivery
	if attempts := Attempts(came); c != nil && attempts > 0 && d.spec.Retry.Poison != PutBack {
		r.giveUp(attempts)
		return
	}
	published, err := r.publishAgain()
	switch {
	case published:
		r.saved()
	case err == nil: // it comes again, or has
	case c == nil || c.lost():
		about(d.env.logger.Error(), came).Err(err).
			Msg("the message has come back nearly as often as its queue allows, and could not be published again; its channel is lost: unless the broker delivers it again, it has dropped it")
	default:
		if times, tell := d.repeats.count("saved" + err.Error()); tell {
			about(d.env.logger.Error(), came).Err(err).Int("times", times).
				Msg("the message has come back nearly as often as its queue allows, and could not be published again; it is handled next")
		}
		if j := (job{delivery: delivery, channel: c}); !d.kept.keep(keptJob{job: j}) {
			d.returnUnseen(j)
		}
	}
}

// saved acknowledges the delivery of a message that is in the queue anew. Without its channel it may be there twice.
func (r *rescue) saved() {
	d, c, came := r.dispatcher, r.channel, r.delivery
	if c != nil && !c.lost() {
		_ = c.acks.Ack(came.DeliveryTag)
	}
	d.env.counts.saved.Add(1)
	d.env.tellMessage(NoteSaved, came, failure{attempts: Attempts(came)}, "it had come back nearly as often as the queue allows (x-delivery-limit), and was published again, to its end")
	if n := timesSaved(came) + 1; n >= oftenSaved {
		about(d.env.logger.Error(), came).Int(FieldSaved, n).
			Msg("the message is saved from its queue's delivery limit again and again, and nothing becomes of it: its handler puts it back, or something takes its connection away each time, perhaps the message itself")
	}
}

// publishAgain waits for the confirm as long as the broker waits for the delivery's; if its channel is lost, for as long as
// it takes, unless the message comes again.
func (r *rescue) publishAgain() (published bool, err error) {
	const few = 3
	work := r.dispatcher.env.work
	for failures := 1; ; failures++ {
		if isLost(r.source) && !r.isOrphan() {
			return false, work.Err() // nil: it has come again
		}
		lost := isLost(r.source)
		err = r.saveOnce(lost)
		if err == nil {
			return true, nil
		}
		class, _ := broker.Classify(err)
		hopeless := errors.Is(err, broker.ErrHeaderTooLarge) || errors.Is(err, broker.ErrUnroutable) || isRefusal(err) || !class.Retryable()
		if hopeless || failures >= few && !isLost(r.source) || work.Err() != nil {
			return false, err
		}
		select {
		case <-time.After(savePause):
		case <-work.Done():
			return false, err
		}
	}
}

// prepare waits, before a queue is consumed again, until what comes with few lives can be saved at once: a connection that
// is cut again in a moment would cost it one more. It does not wait for long.
func (r *rescues) prepare(ctx context.Context) {
	if r.none() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	r.dispatcher.env.outbox.ready(ctx)
}

// saveOnce ends when it has become another question whether the message is to be saved: its channel is lost, or it has come
// again. It goes on for a moment when handlers are told to end: it takes no longer, and may be the last one.
func (r *rescue) saveOnce(lost bool) error {
	d := r.dispatcher
	over, limit := r.source.Lost(), d.judge.mayKeep(r.delivery)
	if lost {
		over, limit = r.again, math.MaxInt64
	}
	ctx, end := context.WithTimeout(context.WithoutCancel(d.env.work), limit)
	defer end()
	defer context.AfterFunc(d.env.work, func() { time.AfterFunc(cutGrace/2, end) })()
	d.crew.begun.Go(func() { endWith(ctx, over, end) })
	return d.env.outbox.save(ctx, r.delivery)
}

// endWith ends a context with a channel.
func endWith(ctx context.Context, over <-chan struct{}, end context.CancelFunc) {
	select {
	case <-over:
		end()
	case <-ctx.Done():
	}
}

const (
	// readyPatience is how long a queue is not consumed because what it may deliver could not be saved.
	readyPatience = 2 * time.Second
	// savePause is how long it takes until it is tried again to save a message.
	savePause = 100 * time.Millisecond
	// orphanPause is how long a subscription must be consumed again until a message that has not come counts as
	// dropped.
	orphanPause = 2 * time.Second
)

// isOrphan waits whether a message whose channel is lost comes again. It returns true if it does not.
func (r *rescue) isOrphan() bool {
	d := r.dispatcher
	var watched *channel
	var passed <-chan time.Time
	for {
		v := d.crew.view()
		switch c := v.channel; {
		case v.over:
			return true
		case c != nil && c != watched && c.source != r.source && !c.lost(): // other changes of the view do not begin it anew
			watched, passed = c, time.After(orphanPause)
		}
		select {
		case <-r.again:
			return false
		case <-v.changed:
		case <-passed:
			if !watched.lost() {
				return true
			}
			passed = nil
		case <-d.env.work.Done():
			return false
		}
	}
}

// giveUp treats as poison what has come back often and has failed before.
func (r *rescue) giveUp(attempts int) {
	d, came := r.dispatcher, r.delivery
	w := worker{dispatcher: d, job: job{delivery: came, channel: r.channel}, tag: came.DeliveryTag, came: came}
	reason, _ := came.Headers[HeaderError].(string)
	o := outcome{verdict: d.spec.Retry.Poison.verdict(), failure: failure{
		delivery: came, attempts: attempts, first: came.ReceivedAt, last: came.ReceivedAt,
		reason: "it came back nearly as often as its queue allows; before that: " + reason,
	}}
	about(d.env.logger.Warn(), came).Str(fsm.FieldError, o.failure.reason).Int(FieldAttempt, attempts).
		Msg("the message has failed before; " + d.judge.inWords(o))
	w.conclude(o)
}

// settleUnreadable does with a delivery what a worker would. It is not published again: its copy could be read, and
// would be another message. Without its channel it comes again.
func (r *rescues) settleUnreadable(s source, delivery, came *Delivery) {
	d := r.dispatcher
	c := d.crew.awaitChannel(s)
	if c == nil {
		return
	}
	c.track(delivery)
	w := worker{dispatcher: d, job: job{delivery: delivery, channel: c}, tag: came.DeliveryTag, came: came}
	o := d.judge.unreadable(came)
	w.report(o)
	w.conclude(o)
}

// timesSaved is how often the message was saved before.
func timesSaved(d *Delivery) int {
	n, _ := integer(d.Headers[HeaderSaved])
	return n
}

// save publishes the message to the end of its queue; when it returns nil, the broker has confirmed it.
func (r *republisher) save(ctx context.Context, d *Delivery) error {
	m := copyOf(d, carried(d))
	tellOrigin(m.Headers, d)
	m.Headers[HeaderSaved] = int64(timesSaved(d) + 1)
	m.Expiration = d.Expiration
	m.RoutingKey = d.Queue
	return r.send(ctx, d, &m)
}

// restore gives a saved message the exchange and the routing key that it was published with.
func restore(d *Delivery) {
	if _, saved := d.Headers[HeaderSaved]; !saved {
		return
	}
	if exchange, ok := d.Headers[HeaderExchange].(string); ok {
		d.Exchange = exchange
	}
	if key, ok := d.Headers[HeaderRoutingKey].(string); ok {
		d.RoutingKey = key
	}
}
