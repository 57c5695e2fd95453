package ack

import "time"

// Item is what is kept of a delivery until it is settled.
type Item struct {
	Tag        uint64
	Generation uint64 // of the connection
	Queue      string
	MessageID  string
	ReceivedAt time.Time
	Offset     int64 // in a stream
}

// tracker knows which deliveries of one channel are settled and which may be settled next. RabbitMQ
// numbers a channel's deliveries from 1 without gaps; handlers finish them in any order:
//
//	tag    1  2  3 | 4  5  6 | 7  8  9 10
//	       settled |  run    | ?  F  ?  F     F finished, ? with its handler
//	               base      run            next
//
// Everything in the run can be acknowledged with one frame, up to 6. What was settled alone (rejected,
// given back, published again) is passed over. 8 and 10 are strays: finished, but behind a slower one.
//
// Slots are a ring that grows to what is outstanding at once, so that nothing is allocated per
// message, and nothing for a queue that stays empty. A tracker is guarded by its owner's lock.
type tracker struct {
	slots []slot // its length is a power of two, or 0
	base  uint64 // the lowest tag that is not settled
	run   uint64 // the lowest from base on that is neither finished nor settled
	next  uint64 // above the highest tag received
	// finished of these are waiting to be settled, ready of them in the run, up to the tag readyTo;
	// held are with their handlers.
	finished, ready, held int
	readyTo               uint64
	last                  int64 // the Offset of the one before run, if there was one: everything up to it was finished
}

type slot struct {
	state slotState
	item  Item
}

type slotState uint8

const (
	absent   slotState = iota // received beside another one, and not recorded yet
	received                  // with its handler
	finished                  // its acknowledgement may be sent
	settled                   // its outcome was sent
)

func newTracker() tracker { return tracker{base: 1, run: 1, next: 1} }

func (t *tracker) at(tag uint64) *slot { return &t.slots[tag&uint64(len(t.slots)-1)] }

// receive records a delivery. Several may receive at once, so tags may come out of order, and a slot below
// next may be absent.
func (t *tracker) receive(i Item) {
	tag := i.Tag
	for tag-t.base >= uint64(len(t.slots)) {
		t.grow()
	}
	*t.at(tag) = slot{received, i}
	t.next = max(t.next, tag+1)
	t.held++
}

func (t *tracker) grow() {
	const few = 16
	larger := tracker{slots: make([]slot, max(few, 2*len(t.slots)))}
	for tag := t.base; tag < t.next; tag++ {
		*larger.at(tag) = *t.at(tag)
	}
	t.slots = larger.slots
}

// finish marks that the delivery may be acknowledged.
func (t *tracker) finish(tag uint64) {
	t.at(tag).state = finished
	t.held--
	t.finished++
	t.advance()
}

// settle marks that the delivery was settled alone, and returns what was kept of it.
func (t *tracker) settle(tag uint64) Item {
	s := t.at(tag)
	item := s.item
	if s.state == finished {
		t.forget(tag)
	} else {
		t.held--
	}
	s.state = settled
	t.advance()
	return item
}

// forget takes a finished delivery out of the counts.
func (t *tracker) forget(tag uint64) {
	t.finished--
	if tag < t.run {
		t.ready--
	}
}

// advance moves run over what is done, and base over what is settled.
func (t *tracker) advance() {
	for ; t.run < t.next && t.at(t.run).state >= finished; t.run++ {
		t.last = t.at(t.run).item.Offset
		if t.at(t.run).state == finished {
			t.ready++
			t.readyTo = t.run
		}
	}
	for ; t.base < t.run && t.at(t.base).state == settled; t.base++ {
		*t.at(t.base) = slot{}
	}
}

// upTo is the tag that one acknowledgement can go up to, and how many deliveries it stands for; none
// if that is 0. The tag is one that the broker still waits for: for any other one RabbitMQ would close
// the channel.
func (t *tracker) upTo() (tag uint64, deliveries int) {
	if t.ready == 0 {
		return 0, 0
	}
	// A stray can have been settled alone while the run reached it, and its tag is none to go up to.
	for t.at(t.readyTo).state != finished {
		t.readyTo--
	}
	return t.readyTo, t.ready
}

// settleUpTo marks that what upTo said was acknowledged.
func (t *tracker) settleUpTo(tag uint64) {
	for i := t.base; i <= tag; i++ {
		if s := t.at(i); s.state == finished {
			t.forget(i)
			s.state = settled
		}
	}
	t.advance()
}

// finishedUpTo is what settleUpTo is about to settle.
func (t *tracker) finishedUpTo(tag uint64) []Item {
	items := make([]Item, 0, t.ready)
	for i := t.base; i <= tag; i++ {
		if s := t.at(i); s.state == finished {
			items = append(items, s.item)
		}
	}
	return items
}

// finishedFrom appends the finished deliveries from a tag on: from run, the strays.
func (t *tracker) finishedFrom(tag uint64, to []Item) []Item {
	for ; tag < t.next; tag++ {
		if s := t.at(tag); s.state == finished {
			to = append(to, s.item)
		}
	}
	return to
}

// heldFrom is how many deliveries from a tag on are with their handlers.
func (t *tracker) heldFrom(tag uint64) (n int) {
	for tag = max(tag, t.base); tag < t.next; tag++ {
		if t.at(tag).state == received {
			n++
		}
	}
	return n
}

// abandon forgets the finished deliveries, since their channel is gone, and returns them.
func (t *tracker) abandon() []Item {
	dropped := t.finishedFrom(t.base, nil)
	t.settleUpTo(t.next - 1)
	return dropped
}

// oldest is the delivery that has been outstanding for longest, if any is.
func (t *tracker) oldest() (i Item, ok bool) {
	for tag := t.base; tag < t.next; tag++ {
		if s := t.at(tag); s.state == received || s.state == finished {
			return s.item, true
		}
	}
	return Item{}, false
}
