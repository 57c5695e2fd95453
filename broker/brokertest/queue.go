package brokertest

import (
	"cmp"
	"container/list"
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// message is what was published. It does not change after that.
type message struct {
	exchange, key string
	cc, bcc       []string // further keys that it is routed with
	properties    wire.Properties
	body          []byte
	ttl           time.Duration // its own; noTTL if it has none
	deaths        []any         // the x-death that the broker has made of it; nil as long as it has not died
}

func (m *message) persistent() bool { return m.properties.DeliveryMode == persistent }

// entry is a message in one queue.
type entry struct {
	*message
	position    uint64    // its place, to which it returns; those of a higher priority come before others
	expires     time.Time // zero for never
	redelivered bool
	failed      bool // here or where it died before: by basic.reject, or in a way that the delivery limit counts
	acquired    int  // how often it came back
	returns     int  // how often in a way that the delivery limit counts
}

// queue keeps entries in order until consumers have room for them.
type queue struct {
	host *virtualHost
	name string
	declaration
	limits        // those in effect
	own    limits // without the policy

	ready       *list.List      // of *entry, by position; a stream's are never taken out
	bytes       int             // of the bodies in it
	ends        []*list.Element // the last ready one of each priority, if there are priorities
	shares      bool            // those of a lower priority get their share
	expiresEach bool            // not only the head expires, but that of each priority
	turn        int             // of three, then
	log         []logged        // a stream's, by offset
	returning   []*entry        // to be put among the ready ones
	last        uint64          // position of the newest
	returns     uint64          // position of the last that returned to the head
	unacked     int
	consumers   []*consumer // in the order of their turns
	active      *consumer   // the single active one
	used        bool        // had a consumer: an auto-delete queue goes with the last one
	deleted     bool
	suspended   bool    // it answers nothing
	withholding bool    // it confirms nothing
	fatal       *string // the body of the message at which connections end
	touched     bool
	now         time.Time   // when it was touched
	expiry      *time.Timer // for the entry at the head
	end         *time.Timer // of the lease

	acknowledged, rejected int // since it was declared
}

// firstPosition leaves room for those that return to the head of a quorum queue.
const firstPosition = 1 << 32

func newQueue(h *virtualHost, name string, d declaration, l limits) *queue {
	q := &queue{host: h, name: name, declaration: d, own: l, last: firstPosition}
	if highest := q.highestPriority(); highest > 0 {
		q.ends = make([]*list.Element, highest+1)
		q.shares, q.expiresEach = l.kind == quorum && highest == 1, l.kind == quorum && highest > 1
	}
	q.clear()
	h.queues[name] = q
	q.obey()
	q.renew()
	return q
}

// renew begins the lease anew: the queue was declared, asked for a message, or lost a consumer. Nothing else
// counts as use, publishing neither.
func (q *queue) renew() {
	if q.end != nil {
		q.end.Stop()
	}
	if q.lease == 0 || q.deleted {
		return
	}
	server := q.host.server
	var end *time.Timer
	end = time.AfterFunc(q.lease, func() {
		server.mu.Lock()
		defer server.unlock()
		if q.end == end && len(q.consumers) == 0 {
			q.delete()
		}
	})
	q.end = end
}

// touch has the queue look for what it can deliver, once everything else is done.
func (q *queue) touch() {
	if !q.touched && !q.deleted {
		q.touched, q.now = true, time.Now()
		q.host.server.touched = append(q.host.server.touched, q)
	}
}

// publish takes a message in, unless the queue is full and refuses more. A dead letter may have failed before.
func (q *queue) publish(m *message, failed bool) (accepted bool) {
	if q.kind == stream {
		q.append(m)
		return true
	}
	if q.rejectPublish && q.isOver(q.ready.Len()+1, q.bytes+len(m.body)) {
		if q.deadRejects {
			q.deadLetter(&entry{message: m}, "maxlen")
		}
		return false
	}
	q.touch()
	q.last++
	e := &entry{message: m, position: q.last, redelivered: failed, failed: failed}
	if ttl := q.timeToLive(m); ttl != noTTL {
		e.expires = q.now.Add(ttl)
	}
	if q.ends == nil {
		q.pushBack(e)
	} else {
		q.pushByPriority(e)
	}
	return true
}

// isOver tells whether this is more than the queue may hold.
func (q *queue) isOver(length, bytes int) bool {
	return q.maxLength != unlimited && length > q.maxLength || q.maxBytes != unlimited && bytes > q.maxBytes
}

func (q *queue) pushBack(e *entry) {
	q.bytes += len(e.body)
	q.ready.PushBack(e)
}

// clear loses what is ready.
func (q *queue) clear() {
	q.ready, q.bytes, q.turn = list.New(), 0, 0
	clear(q.ends)
}

func (q *queue) timeToLive(m *message) time.Duration {
	switch {
	case m.ttl == noTTL:
		return q.ttl
	case q.ttl == noTTL:
		return m.ttl
	}
	return min(m.ttl, q.ttl)
}

// putBack returns an entry: a classic queue to its old place; a quorum queue behind all others or, if what
// was published is to come after it, behind what returned before.
func (q *queue) putBack(e *entry, behind bool) {
	switch {
	case q.kind != quorum:
	case behind:
		q.last++
		e.position = q.last
		if q.ends != nil {
			// It counts as one of the lower of two priorities, whatever it came with. A queue with 32 puts nothing behind:
			// the versions that have such queues put first what comes back.
			e.position += q.rank(0)
		}
	default:
		q.returns++
		e.position = q.returns
	}
	q.returning = append(q.returning, e)
	q.touch()
}

// merge puts what returns among the ready.
func (q *queue) merge() {
	if len(q.returning) == 0 {
		return
	}
	slices.SortFunc(q.returning, func(a, b *entry) int { return cmp.Compare(a.position, b.position) })
	at := q.ready.Front()
	for _, e := range q.returning {
		for at != nil && at.Value.(*entry).position < e.position {
			at = at.Next()
		}
		if at == nil {
			q.pushBack(e)
			q.ended(q.ready.Back())
		} else {
			q.bytes += len(e.body)
			q.ended(q.ready.InsertBefore(e, at))
		}
	}
	q.returning = nil
}

func (q *queue) take() *entry {
	head := q.head()
	q.served(head)
	return q.takeOut(head)
}

// takeOut takes the first element of its priority.
func (q *queue) takeOut(first *list.Element) *entry {
	e := first.Value.(*entry)
	if q.ends != nil {
		q.left(first)
	}
	q.bytes -= len(e.body)
	q.ready.Remove(first)
	return e
}

// dispatch delivers what the consumers have room for, in turn, and drops what is too old or too much.
func (q *queue) dispatch() {
	if q.deleted || q.suspended {
		return
	}
	if q.kind == stream {
		q.read()
		return
	}
	for {
		q.merge()                                                       // a fault that met a delivery may have put it back
		q.expire(func(e *entry) bool { return q.now.After(e.expires) }) // with no time to live, this is its chance
		if q.ready.Len() == 0 {
			break
		}
		c := q.next()
		if c == nil {
			break
		}
		c.deliver(q.take())
	}
	q.expire(func(e *entry) bool { return !q.now.Before(e.expires) })
	for !q.rejectPublish && q.isOver(q.ready.Len(), q.bytes) {
		q.deadLetter(q.take(), "maxlen")
	}
	q.schedule()
}

// expire drops entries from the head, which is where RabbitMQ looks too: one that is too old behind
// one that is not stays.
func (q *queue) expire(tooOld func(*entry) bool) {
	if q.expiresEach {
		q.expireEach(func(e *entry) bool { return !e.expires.IsZero() && tooOld(e) })
		return
	}
	for q.ready.Len() > 0 {
		e := q.head().Value.(*entry)
		if e.expires.IsZero() || !tooOld(e) {
			return
		}
		q.deadLetter(q.take(), "expired")
	}
}

// schedule wakes the queue when its head expires.
func (q *queue) schedule() {
	if q.expiry != nil {
		q.expiry.Stop()
		q.expiry = nil
	}
	if q.ready.Len() == 0 {
		return
	}
	at := q.head().Value.(*entry).expires
	if q.expiresEach {
		at = q.earliest()
	}
	if !at.IsZero() {
		server := q.host.server
		q.expiry = time.AfterFunc(time.Until(at), func() {
			server.mu.Lock()
			defer server.unlock()
			q.touch()
		})
	}
}

// next is the consumer whose turn it is: of those with room, one of the highest priority, and among
// these the one that has waited longest. A queue with a single active consumer stays with that.
func (q *queue) next() *consumer {
	if q.singleActive {
		if q.active == nil && len(q.consumers) > 0 {
			q.active = q.best(func(c *consumer) bool { return true })
		}
		if q.active == nil || !q.active.hasRoom() {
			return nil
		}
		return q.active
	}
	c := q.best((*consumer).hasRoom)
	if c != nil { // its next turn comes after everybody else's
		at := slices.Index(q.consumers, c)
		q.consumers = append(slices.Delete(q.consumers, at, at+1), c)
	}
	return c
}

func (q *queue) best(fit func(*consumer) bool) (best *consumer) {
	for _, c := range q.consumers {
		if (best == nil || c.priority > best.priority && !(q.kind == quorum && q.singleActive)) && fit(c) {
			best = c
		}
	}
	return best
}

// remove takes a consumer away.
func (q *queue) remove(c *consumer) {
	q.consumers = slices.DeleteFunc(q.consumers, func(other *consumer) bool { return other == c })
	if q.active == c {
		q.active = nil
	}
	q.renew()
	q.touch()
	if q.autoDelete && q.used && len(q.consumers) == 0 {
		q.delete()
	}
}

// delete ends the queue: its messages are lost, and its consumers told.
func (q *queue) delete() {
	if q.deleted {
		return
	}
	withheld := q.withholds()
	q.deleted = true
	if withheld { // what was for it is confirmed
		q.host.server.confirmReleased()
	}
	if q.suspended {
		for c := range q.host.server.connections {
			c.flowAgain()
		}
	}
	q.clear()
	q.returning, q.log = nil, nil
	q.schedule()
	if q.end != nil {
		q.end.Stop()
	}
	delete(q.host.queues, q.name)
	for _, c := range slices.Clone(q.consumers) {
		c.cancelled()
	}
	for _, x := range q.host.exchanges {
		x.unbind(func(b *binding) bool { return b.queue == q })
	}
}
