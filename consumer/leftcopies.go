package consumer

import (
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/everhop/everhop/consumer/publish"
)

// leftCopies are copies of messages which were sent and not confirmed yet when their delivery could not wait any longer: it
// has gone back, or its channel was lost. When the message comes again and is to be published again meanwhile, the copy is
// on its way already. So a queue that withholds its confirms does not get another one each time. A copy that was confirmed
// is forgotten: whoever has the message now may have published it again.
//
// Messages that are the same in all that is published are not told apart, nor need they be: each copy stands for one of
// them, and only once.
type leftCopies struct {
	seed maphash.Seed
	mu   sync.Mutex
	by   map[uint64][]*publish.Confirmation
	size int // how many there are
	next int // the size at which those that are settled are looked for
}

const fewLeft = 64

func newLeftCopies() *leftCopies {
	return &leftCopies{seed: maphash.MakeSeed(), by: map[uint64][]*publish.Confirmation{}, next: fewLeft}
}

// keyOf is the same for the same message on its way into the same queue.
func (l *leftCopies) keyOf(d *Delivery, queue string) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.Write(d.Body)
	_, _ = fmt.Fprintf(&h, "\x00%q %q %q %q %q %q %q %q %q %q %q %d %v %v", queue, d.Exchange, d.RoutingKey, d.MessageID, d.CorrelationID,
		d.ContentType, d.ContentEncoding, d.ReplyTo, d.Expiration, d.Type, d.UserID+"\x00"+d.AppID, d.Priority, d.Timestamp, carried(d))
	return h.Sum64()
}

func (l *leftCopies) put(of uint64, sent *publish.Confirmation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[of] = append(l.by[of], sent)
	if l.size++; l.size >= l.next {
		l.forget()
		l.next = max(fewLeft, 2*l.size)
	}
}

// forget forgets those that are settled.
func (l *leftCopies) forget() {
	l.size = 0
	for of, copies := range l.by {
		left := copies[:0]
		for _, c := range copies {
			if !isSettled(c) {
				left = append(left, c)
			}
		}
		clear(copies[len(left):])
		if l.by[of] = left; len(left) == 0 {
			delete(l.by, of)
		}
		l.size += len(left)
	}
}

// take returns a copy of which it is not known yet what becomes of it, and nil if there is none.
func (l *leftCopies) take(of uint64) *publish.Confirmation {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.by[of]) > 0 {
		c := l.by[of][0]
		l.by[of] = l.by[of][1:]
		l.size--
		if !isSettled(c) {
			return c
		}
	}
	delete(l.by, of)
	return nil
}

func isSettled(c *publish.Confirmation) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}
