package brokertest

import "container/list"

// A queue with priorities delivers those of a higher one first, and has nothing else that is different: its head is
// the first of the highest priority, and that is what expires or makes room, as with RabbitMQ.

// ranks is how far apart the positions of two priorities are: further than the messages that a queue ever has.
const ranks = 1 << 48

// rank is what the priority adds to an entry's position.
func (q *queue) rank(priority int) uint64 { return uint64(q.maxPriority-priority) * ranks }

func (q *queue) priority(m *message) int { return min(int(m.properties.Priority), q.own.maxPriority) }

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
	end := &q.ends[q.priority(e.message)]
	if *end == nil || (*end).Value.(*entry).position < e.position {
		*end = element
	}
}

// left notes that the element at the head is about to go.
func (q *queue) left(head *list.Element) {
	if end := &q.ends[q.priority(head.Value.(*entry).message)]; *end == head {
		*end = nil
	}
}
