package broker

import (
	"sync"
	"time"
)

// inbox holds what came in on one channel until somebody takes it: in the order in which it came, and the ends
// of consumers in their places.
//
//	consume-ok   deliveries ...   cancel-ok   consume-ok   deliveries ...   channel.close
//	open                          closed      open                          ended
//
// The connection's reader fills it, once per read from the socket, however many deliveries that brought.
// Everything may be called from any goroutine.
type inbox struct {
	wake chan struct{} // a token: somebody who sleeps is to look again, and passes it on if there is more

	mu       sync.Mutex
	waiting  []*Delivery
	taken    int // of waiting
	sleepers int
	open     bool // there is a consumer
	ended    bool // nothing will come any more
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// Receive waits for the next delivery. It returns false when the consumer is lost or closed, when stop
// is closed, and while it is not subscribed and everything that was delivered before has been received.
// What the broker had sent but nobody received is not lost: it is unacknowledged, and goes back to the
// queue when the channel ends.
func (c *Consumer) Receive(stop <-chan struct{}) (*Delivery, bool) {
	d := c.inbox.take(stop)
	if d == nil {
		return nil, false
	}
	d.Queue, d.Generation = c.queue, c.session.generation
	return d, true
}

// Waiting is how many deliveries have come in that nobody has received yet, and the tag of the first of them and
// when it came in.
func (c *Consumer) Waiting() (deliveries int, tag uint64, since time.Time) {
	in := c.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.taken == len(in.waiting) {
		return 0, 0, time.Time{}
	}
	first := in.waiting[in.taken]
	return len(in.waiting) - in.taken, first.DeliveryTag, first.ReceivedAt
}

// put appends the deliveries. They are dropped if it has ended: they cannot be acknowledged any more.
func (in *inbox) put(deliveries []*Delivery) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended {
		return
	}
	if in.taken > 0 && len(in.waiting)+len(deliveries) > cap(in.waiting) {
		rest := copy(in.waiting, in.waiting[in.taken:])
		clear(in.waiting[rest:])
		in.waiting, in.taken = in.waiting[:rest], 0
	}
	in.waiting = append(in.waiting, deliveries...)
	in.rouse()
}

// setOpen tells that there is a consumer, or that there is none any more: then those who wait for more than is
// here return.
func (in *inbox) setOpen(open bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open = open
	in.rouse()
}

// end drops what nobody has taken, and returns those who wait. Idempotent.
func (in *inbox) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended, in.waiting, in.taken = true, nil, 0
	in.rouse()
}

// take returns the next delivery, and waits for it if need be. It returns nil when stop is closed, when the
// inbox has ended, and while it is empty and there is no consumer.
func (in *inbox) take(stop <-chan struct{}) *Delivery {
	for {
		select {
		case <-stop:
			in.leave()
			return nil
		default:
		}
		in.mu.Lock()
		if d, ok := in.next(); ok {
			in.rouse()
			in.mu.Unlock()
			return d
		}
		in.sleepers++
		in.mu.Unlock()
		select {
		case <-in.wake:
		case <-stop:
		}
		in.mu.Lock()
		in.sleepers--
		in.mu.Unlock()
	}
}

// next is called with mu held. It returns ok false when there is something to wait for.
func (in *inbox) next() (d *Delivery, ok bool) {
	if in.taken == len(in.waiting) {
		return nil, in.ended || !in.open
	}
	d = in.waiting[in.taken]
	in.waiting[in.taken] = nil
	if in.taken++; in.taken == len(in.waiting) {
		in.waiting, in.taken = in.waiting[:0], 0
	}
	return d, true
}

// leave passes on a token that was taken by somebody who is not going to use it.
func (in *inbox) leave() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rouse()
}

// rouse wakes one sleeper if there is something for him; he wakes the next. It is called with mu held.
func (in *inbox) rouse() {
	if in.sleepers == 0 || in.taken == len(in.waiting) && in.open && !in.ended {
		return
	}
	select {
	case in.wake <- struct{}{}:
	default:
	}
}
