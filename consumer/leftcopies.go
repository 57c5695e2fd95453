package consumer

import (
	"container/list"
	"hash/maphash"
	"sync"

	"github.com/everhop/everhop/consumer/publish"
)

// leftCopies are copies of messages which were sent, and for whose confirm their delivery could not wait any longer: it
// has gone back, or its channel was lost. When the message comes again and is to be published again, the copy is there
// already, or on its way. So a queue that withholds its confirms does not get another one each time.
//
// Messages of the same content are not told apart, nor need they be: each copy stands for one of them, and only once.
type leftCopies struct {
	seed maphash.Seed
	mu   sync.Mutex
	by   map[uint64][]*list.Element
	all  list.List // of leftCopy, the oldest in front
}

type leftCopy struct {
	of   uint64
	sent *publish.Confirmation
}

// mostLeft is how many are remembered. One that is forgotten may be there twice.
const mostLeft = 4096

func newLeftCopies() *leftCopies {
	return &leftCopies{seed: maphash.MakeSeed(), by: map[uint64][]*list.Element{}}
}

// keyOf is the same for the same message on its way into the same queue.
func (l *leftCopies) keyOf(d *Delivery, queue string) uint64 {
	return maphash.Bytes(l.seed, d.Body) ^ maphash.String(l.seed, d.MessageID+"\x00"+d.CorrelationID+"\x00"+queue)
}

func (l *leftCopies) put(of uint64, sent *publish.Confirmation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[of] = append(l.by[of], l.all.PushBack(leftCopy{of, sent}))
	if l.all.Len() > mostLeft {
		l.remove(l.all.Front())
	}
}

// take returns a copy that may still come to be, or is there, and nil if there is none.
func (l *leftCopies) take(of uint64) *publish.Confirmation {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.by[of]) > 0 {
		e := l.by[of][0]
		l.remove(e)
		if c := e.Value.(leftCopy); c.sent.Err() == nil {
			return c.sent
		}
	}
	return nil
}

func (l *leftCopies) remove(e *list.Element) {
	of := e.Value.(leftCopy).of
	for i, other := range l.by[of] {
		if other == e {
			l.by[of] = append(l.by[of][:i:i], l.by[of][i+1:]...)
			break
		}
	}
	if len(l.by[of]) == 0 {
		delete(l.by, of)
	}
	l.all.Remove(e)
}
