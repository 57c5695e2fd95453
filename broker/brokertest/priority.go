package brokertest

import (
	"container/list"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
)

// A queue with priorities delivers those of a higher one first, and has nothing else that is different: its head is
// the first of the highest priority, and that is what expires or makes room, as with RabbitMQ. Quorum queues have
// priorities in some versions, whatever they are declared with.

// ranks is how far apart the positions of two priorities are: further than the messages that a queue ever has.
const ranks = 1 << 48

// usualPriority is that of messages without one, in a quorum queue.
const usualPriority = 4

// highestPriority that the queue tells apart; 0 if it tells none apart.
func (q *queue) highestPriority() int {
	switch s := q.host.server; {
	case q.own.kind == classic:
		return q.own.maxPriority
	case q.own.kind == quorum && s.has(versions.QuorumPriorities):
		return 31
	case q.own.kind == quorum && s.has(versions.QuorumShares):
		return 1
	}
	return 0
}

// rank is what the priority adds to an entry's position.
func (q *queue) rank(priority int) uint64 { return uint64(len(q.ends)-1-priority) * ranks }

// ranked is the priority that an entry has by its position. What has returned to the head of a quorum queue is there
// before, and counts as, the highest.
func (q *queue) ranked(e *entry) int { return len(q.ends) - 1 - int(e.position/ranks) }

func (q *queue) priority(m *message) int {
	wanted := int(m.properties.Priority)
	switch {
	case q.kind == classic:
		return min(wanted, len(q.ends)-1)
	case q.shares && wanted > usualPriority:
		return 1
	case q.shares:
		return 0
	case wanted == 0: // none is given
		return usualPriority
	}
	return min(wanted, len(q.ends)-1)
}

// pushByPriority puts an entry behind those of its priority and of higher ones.
func (q *queue) pushByPriority(e *entry) {
	priority := q.priority(e.message)
	e.position += q.rank(priority)
	q.bytes += len(e.body)
	for _, end := range q.ends[priority:] {
		if end != nil {
			q.ends[priority] = q.ready.InsertAfter(e, end)
			return
		}
	}
	q.ends[priority] = q.ready.PushFront(e)
}

// ended notes an element that is new, and may be the last of its priority.
func (q *queue) ended(element *list.Element) {
	if q.ends == nil {
		return
	}
	e := element.Value.(*entry)
	end := &q.ends[q.ranked(e)]
	if *end == nil || (*end).Value.(*entry).position < e.position {
		*end = element
	}
}

// left notes that the first element of its priority is about to go.
func (q *queue) left(first *list.Element) {
	if end := &q.ends[q.ranked(first.Value.(*entry))]; *end == first {
		*end = nil
	}
}

// head is the next to be delivered. Of a queue that shares itself out, two are of the higher priority, as long as there
// are such, and then one is the oldest of either.
func (q *queue) head() *list.Element {
	front := q.ready.Front()
	if front == nil || !q.shares || q.turn < 2 || q.returned(front) || q.ends[1] == nil {
		return front
	}
	lower := q.ends[1].Next()
	if lower == nil || front.Value.(*entry).position < lower.Value.(*entry).position-ranks {
		return front
	}
	return lower
}

// returned tells whether an element came back to the head of a quorum queue.
func (q *queue) returned(element *list.Element) bool {
	return element.Value.(*entry).position < firstPosition
}

// served counts the turns of a queue that shares itself out.
func (q *queue) served(element *list.Element) {
	if q.shares && !q.returned(element) {
		q.turn = (q.turn + 1) % 3
	}
}

// expireEach drops entries from the head of each priority.
func (q *queue) expireEach(tooOld func(*entry) bool) {
	for priority, at := len(q.ends)-1, q.ready.Front(); at != nil && priority >= 0; priority-- {
		end := q.ends[priority]
		if end == nil {
			continue
		}
		after := end.Next()
		for at != after && tooOld(at.Value.(*entry)) {
			next := at.Next()
			q.deadLetter(q.takeOut(at), "expired")
			at = next
		}
		at = after
	}
}

// earliest is when the first head of a priority expires; zero for never.
func (q *queue) earliest() (first time.Time) {
	for priority, at := len(q.ends)-1, q.ready.Front(); at != nil && priority >= 0; priority-- {
		if end := q.ends[priority]; end != nil {
			if expires := at.Value.(*entry).expires; !expires.IsZero() && (first.IsZero() || expires.Before(first)) {
				first = expires
			}
			at = end.Next()
		}
	}
	return first
}
