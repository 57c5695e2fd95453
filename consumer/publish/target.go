package publish

import (
	"container/list"
	"time"

	"github.com/everhop/everhop/broker"
)

// target is where messages go. Those for one that withholds confirms, such as a queue without a majority of its nodes,
// must not take the window from all others: see room.
type target struct {
	exchange, key string

	used    int   // of the window, in messages
	bytes   int64 // of the window
	waiting queue // for room in the window
	line    *list.List
	place   *list.Element // in line

	plain  int       // messages that go out on the main lane
	moved  time.Time // when one of those was confirmed
	doubts int       // those that do not: doubtful, on a side lane, or on one that is aside
	side   *lane     // on which some of those are; nil: none is on any
	onSide int       // how many that are
	held   queue     // has room, and is behind those, so that the order stays
}

// leave is for one of the target that is on a side lane no more.
func (t *target) leave() {
	if t.side == nil {
		return
	}
	if t.onSide--; t.onSide == 0 {
		t.side = nil
	}
}

// join is for one that is written to a side lane, or is on one that becomes that.
func (t *target) join(on *lane) {
	t.side = on
	t.onSide++
}

type targetName struct{ exchange, key string }

// suspicion is what a message that the broker does not like casts a doubt on: all that goes to its exchange, or to
// its queue where that is addressed itself.
func (t *target) suspicion() targetName {
	if t.exchange == "" {
		return targetName{"", t.key}
	}
	return targetName{t.exchange, ""}
}

// lines are where targets stand for room in the window, in turn. A target is in one of them while messages of it wait.
type lines struct {
	unserved list.List // which have nothing in the window
	served   list.List
}

// place has a target stand where it belongs.
func (l *lines) place(t *target) {
	var line *list.List
	switch {
	case t.waiting.len() == 0:
	case t.used == 0:
		line = &l.unserved
	default:
		line = &l.served
	}
	if line == t.line {
		return
	}
	if t.line != nil {
		t.line.Remove(t.place)
	}
	if t.line = line; line != nil {
		t.place = line.PushBack(t)
	}
}

// empty is the first target that has nothing in the window; nil if there is none.
func (l *lines) empty() *target {
	first := l.unserved.Front()
	if first == nil {
		return nil
	}
	return first.Value.(*target)
}

// next is the target whose turn it is among those that have something there.
func (l *lines) next() *target {
	first := l.served.Front()
	l.served.MoveToBack(first)
	return first.Value.(*target)
}

// queue holds messages in their order.
type queue struct {
	list []*Confirmation
	head int
}

func (q *queue) len() int { return len(q.list) - q.head }

func (q *queue) push(c *Confirmation) {
	if q.head > len(q.list)/2 && q.head > 64 { // what was taken makes room
		q.list = append(q.list[:0], q.list[q.head:]...)
		clear(q.list[len(q.list):cap(q.list)])
		q.head = 0
	}
	q.list = append(q.list, c)
}

func (q *queue) first() *Confirmation { return q.list[q.head] }

func (q *queue) pop() *Confirmation {
	c := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	return c
}

func (q *queue) all() []*Confirmation { return q.list[q.head:] }

// take empties it.
func (q *queue) take() []*Confirmation {
	all := q.all()
	*q = queue{}
	return all
}

// before puts messages in front.
func (q *queue) before(list []*Confirmation) { *q = queue{list: append(list, q.take()...)} }

// remove takes one message out, wherever it is.
func (q *queue) remove(c *Confirmation) {
	for i := q.head; i < len(q.list); i++ {
		switch {
		case q.list[i] != c:
		case i == q.head:
			q.pop()
			return
		default:
			copy(q.list[i:], q.list[i+1:])
			q.list[len(q.list)-1] = nil
			q.list = q.list[:len(q.list)-1]
			return
		}
	}
}

// sizeOf is about what a message takes in memory.
func sizeOf(m *broker.Message) int64 {
	const around = 256 // what else there is of it
	return int64(around + len(m.Body) + len(m.Exchange) + len(m.RoutingKey) + sizeOfTable(m.Headers))
}

func sizeOfTable(table map[string]any) (size int) {
	for name, v := range table {
		size += len(name) + sizeOfValue(v)
	}
	return size
}

func sizeOfValue(v any) int {
	size := 32 // more or less
	switch v := v.(type) {
	case string:
		size += len(v)
	case []byte:
		size += len(v)
	case []any:
		for _, v := range v {
			size += sizeOfValue(v)
		}
	case map[string]any:
		size += sizeOfTable(v)
	}
	return size
}
