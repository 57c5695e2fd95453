package fsm

// queue is a bounded first-in first-out queue. It allocates once, in newQueue.
type queue struct {
	slots []Event
	head  int // of the oldest event
	size  int
}

func newQueue(capacity int) queue {
	if capacity <= 0 {
		capacity = defaultCapacity
	}
	return queue{slots: make([]Event, capacity)}
}

// defaultCapacity is the number of events a Ring or a Feed holds when nothing is
// asked for. An event takes about 270 bytes, and its texts.
const defaultCapacity = 1024

func (q *queue) full() bool { return q.size == len(q.slots) }

// at returns the i-th oldest event.
func (q *queue) at(i int) *Event { return &q.slots[(q.head+i)%len(q.slots)] }

// push adds an event; the queue must not be full.
func (q *queue) push(e *Event) {
	q.size++
	*q.at(q.size - 1) = *e
}

// drop removes the n newest events.
func (q *queue) drop(n int) {
	for range n {
		q.size--
		*q.at(q.size) = Event{}
	}
}

// pop removes the oldest event; the queue must not be empty. The slot is zeroed
// so that the queue keeps no string alive.
func (q *queue) pop() Event {
	slot := q.at(0)
	e := *slot
	*slot = Event{}
	q.head = (q.head + 1) % len(q.slots)
	q.size--
	return e
}
