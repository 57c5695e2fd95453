package consumer

import (
	"errors"
	"sync"
	"time"
)

const (
	// mostPerAck bounds how many deliveries share an acknowledgement, if nobody is in the way. More
	// gain nothing that can be measured, and come again if the connection is lost.
	mostPerAck = 64
	// An acknowledgement waits until nothing has come in for idleAfter; while deliveries keep
	// coming, it waits for busyAfter more at most. A timer that fires every millisecond would cost
	// more than what it is to save.
	idleAfter = time.Millisecond
	busyAfter = 4 * time.Millisecond
)

// source is a channel that is consumed: a *broker.Consumer, or a model of one in tests.
type source interface {
	Receive(stop <-chan struct{}) (*Delivery, bool)
	Lost() <-chan struct{}
	Ack(deliveryTag uint64) error
	AckUpTo(deliveryTag uint64) error
	Nack(deliveryTag uint64) error
	Reject(deliveryTag uint64, requeue bool) error
}

// acknowledger settles the deliveries of one channel, and no others: whoever holds a delivery holds
// the acknowledger that it must be settled through, and once the channel is gone nothing is sent any
// more, because the tags of the next one start at 1 again.
//
// Acknowledgements are gathered. They are sent
//   - when a run of mostPerAck, or a quarter of the prefetch, is finished,
//   - when half of the prefetch is finished, but behind a slow one: then each by a frame of its own,
//   - when nothing has come in for a millisecond, and after five in any case, or nine for what was
//     finished behind one that was slow,
//   - when the consumer stops or pauses.
//
// Other outcomes are sent at once, and alone.
type acknowledger struct {
	source source
	each   bool         // Subscription.AckEach
	commit func() error // Subscription.Commit, or nil
	pause  time.Duration
	batch  int                                     // how long a run waits
	strays int                                     // how many strays wait
	acked  func(deliveries int)                    // they were acknowledged
	stale  func(deliveries []*Delivery, why error) // their outcome could not be sent

	// sending is held while acknowledgements are decided and sent, so that they leave in order:
	// after "up to 9" RabbitMQ takes "up to 6" for a mistake, and closes the channel. Taken before mu.
	sending sync.Mutex
	single  []*Delivery // reused; guarded by sending

	mu        sync.Mutex
	tracker   tracker
	timer     *time.Timer
	armed     bool
	busy      bool   // deliveries came in before the last tick
	seen      uint64 // tracker.next when the timer was armed
	postponed bool   // commit failed; the timer tries again
	replaced  bool   // by another channel, since this one is lost
	gone      error  // why nothing can be sent any more
	first     *int64 // StreamOffset of the first delivery; nil: nothing came yet
}

func newAcknowledger(s source, spec *Subscription, prefetch int) *acknowledger {
	a := &acknowledger{
		source:  s,
		each:    spec.AckEach,
		pause:   spec.RequeuePause,
		tracker: newTracker(),
	}
	a.fit(prefetch)
	a.timer = time.AfterFunc(time.Hour, a.tick)
	a.timer.Stop()
	return a
}

// fit sets how much is gathered to what may be outstanding.
func (a *acknowledger) fit(prefetch int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.batch, a.strays = max(1, min(mostPerAck, prefetch/4)), max(1, prefetch/2)
	if a.each {
		a.batch, a.strays = 1, 1
	}
}

// receive waits for the next delivery and takes charge of it.
func (a *acknowledger) receive(stop <-chan struct{}) (*Delivery, bool) {
	d, ok := a.source.Receive(stop)
	if ok {
		a.mu.Lock()
		if d.DeliveryTag == 1 {
			first := d.StreamOffset // the delivery is the handler's
			a.first = &first
		}
		a.tracker.receive(d)
		a.mu.Unlock()
	}
	return d, ok
}

// lost tells whether nothing more will come. What is with a handler may still be settled.
func (a *acknowledger) lost() bool {
	select {
	case <-a.source.Lost():
		return true
	default:
		return false
	}
}

// finish acknowledges a delivery: now, or soon, together with others.
func (a *acknowledger) finish(d *Delivery) {
	a.mu.Lock()
	if err := a.gone; err != nil {
		a.tracker.settle(d.DeliveryTag)
		a.mu.Unlock()
		a.stale([]*Delivery{d}, err)
		return
	}
	a.tracker.finish(d.DeliveryTag)
	full := a.full()
	if !full {
		a.arm()
	}
	a.mu.Unlock()
	if full && a.sending.TryLock() { // whoever is sending looks again when it is done
		a.send(false)
	}
}

// full is called with mu held.
func (a *acknowledger) full() bool {
	t := &a.tracker
	return (t.ready >= a.batch || t.finished-t.ready >= a.strays) && !a.postponed
}

// arm sees to it that what is finished does not wait for ever. It is called with mu held.
func (a *acknowledger) arm() {
	if a.armed || a.tracker.finished == 0 {
		return
	}
	a.armed = true
	a.seen = a.tracker.next
	if a.busy {
		a.timer.Reset(busyAfter)
	} else {
		a.timer.Reset(idleAfter)
	}
}

// tick sends what has waited for long enough.
func (a *acknowledger) tick() {
	a.mu.Lock()
	a.armed = false
	was := a.busy
	a.busy = a.tracker.next != a.seen
	if a.busy && !was && !a.postponed {
		a.arm()
		a.mu.Unlock()
		return
	}
	strays := !a.busy || a.tracker.run < a.seen // whoever is in the way was there when the timer was armed
	a.postponed = false
	a.mu.Unlock()
	a.flush(strays)
}

// flush sends what is finished, the strays only if it is told to.
func (a *acknowledger) flush(strays bool) {
	a.sending.Lock()
	a.send(strays)
}

// send is called with sending held, and releases it.
func (a *acknowledger) send(strays bool) {
	for again := true; again; strays = false {
		dropped, err := a.acknowledgeAndUnlock(strays)
		if len(dropped) > 0 {
			a.stale(dropped, err)
		}
		a.mu.Lock()
		again = a.full()
		a.arm()
		a.mu.Unlock()
		again = again && a.sending.TryLock()
	}
}

func (a *acknowledger) acknowledgeAndUnlock(strays bool) (dropped []*Delivery, err error) {
	defer a.sending.Unlock() // even if Commit ends this goroutine
	return a.acknowledge(strays)
}

// acknowledge sends what gather finds, once it is committed. What it could not send is dropped.
func (a *acknowledger) acknowledge(strays bool) (dropped []*Delivery, err error) {
	upTo, n := a.gather(strays)
	defer clear(a.single)
	if n+len(a.single) == 0 {
		return nil, nil
	}
	if a.commit != nil {
		if err := a.commit(); err != nil {
			return a.uncommitted(err)
		}
	}
	if err = a.transmit(upTo, n); err == nil {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = err
	return a.tracker.abandon(), err
}

// gather finds what to acknowledge: n deliveries of the run by one frame, and single ones by a frame of
// their own: the strays if it is told to, or if the prefetch would fill up with them behind a slow handler.
func (a *acknowledger) gather(strays bool) (upTo uint64, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	upTo, n = a.tracker.upTo()
	a.single = a.single[:0]
	switch {
	case a.each:
		n = 0
		a.single = a.tracker.finishedFrom(a.tracker.base, a.single)
	case strays, a.tracker.finished-n >= a.strays:
		a.single = a.tracker.finishedFrom(a.tracker.run, a.single)
	}
	return upTo, n
}

// uncommitted is called when Commit failed: nothing may be acknowledged yet; and never, once nobody
// commits any more, or another channel is in the place of this one.
func (a *acknowledger) uncommitted(why error) (dropped []*Delivery, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case errors.Is(why, errEnded):
		a.gone = why
		a.tracker.abandon()
		return nil, nil
	case a.replaced:
		a.gone = why
		return a.tracker.abandon(), why
	}
	a.postponed, a.armed = true, true
	a.timer.Reset(a.pause) // and not when it was to fire for what was finished before
	return nil, nil
}

// replace says that there is another channel now.
func (a *acknowledger) replace() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.replaced = true
}

// transmit sends the frames, until one cannot be sent.
func (a *acknowledger) transmit(upTo uint64, n int) error {
	if n > 0 {
		if err := a.source.AckUpTo(upTo); err != nil {
			return err
		}
		a.sent(n, a.tracker.settleUpTo, upTo)
	}
	for _, d := range a.single {
		if err := a.source.Ack(d.DeliveryTag); err != nil {
			return err
		}
		a.sent(1, a.tracker.settle, d.DeliveryTag)
	}
	return nil
}

// sent takes note of a frame.
func (a *acknowledger) sent(deliveries int, settle func(tag uint64), tag uint64) {
	a.acked(deliveries)
	a.mu.Lock()
	settle(tag)
	a.mu.Unlock()
}

// alone settles a delivery at once, by a method of its source, and counts it as stale if that could not
// be sent.
func (a *acknowledger) alone(d *Delivery, settle func(deliveryTag uint64) error) error {
	err := a.settle(d, settle)
	if err != nil {
		a.stale([]*Delivery{d}, err)
	}
	return err
}

func (a *acknowledger) settle(d *Delivery, settle func(deliveryTag uint64) error) error {
	err := settle(d.DeliveryTag)
	a.mu.Lock() // it counts as settled only now, so that no acknowledgement has gone past it before
	a.tracker.settle(d.DeliveryTag)
	a.mu.Unlock()
	return err
}

// oldest is the delivery that has been outstanding for longest, nil if none is.
func (a *acknowledger) oldest() *Delivery {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tracker.oldest()
}

// outstanding is how many deliveries were received and are not settled.
func (a *acknowledger) outstanding() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tracker.held + a.tracker.finished
}
