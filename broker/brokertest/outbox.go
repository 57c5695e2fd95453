package brokertest

import (
	"sync"
	"sync/atomic"

	"github.com/everhop/everhop/broker/internal/wire"
)

const (
	// deliveryRoom is how many bytes may wait for a client to read them before no more deliveries are
	// added: what it cannot take stays in the queue.
	deliveryRoom = 256 << 10
	// answerRoom is how many bytes may wait before no more is read from the client, so that one that
	// asks and does not read the answers cannot make the broker grow either.
	answerRoom = 1 << 20
)

// outbox holds what is to be written to one client. Adding never blocks.
type outbox struct {
	mu       sync.Mutex
	changed  sync.Cond
	waiting  []byte // encoded frames
	added    uint64 // bytes, ever
	size     atomic.Int64
	finished bool // nothing more is added; close when all is written
	closed   bool // the socket is gone
}

func newOutbox() *outbox {
	o := &outbox{}
	o.changed.L = &o.mu
	return o
}

// add appends what encode appends.
func (o *outbox) add(encode func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished || o.closed {
		return
	}
	before := len(o.waiting)
	o.waiting = encode(o.waiting)
	o.added += uint64(len(o.waiting) - before)
	o.size.Add(int64(len(o.waiting) - before))
	o.changed.Broadcast()
}

// heartbeat adds a heartbeat frame, unless something waits anyway.
func (o *outbox) heartbeat() {
	if o.size.Load() == 0 {
		o.add(func(b []byte) []byte { return wire.AppendFrame(b, wire.Frame{Type: wire.FrameHeartbeat}) })
	}
}

// roomForDeliveries tells whether the client keeps up with its deliveries.
func (o *outbox) roomForDeliveries() bool { return o.size.Load() < deliveryRoom }

// waitForAnswerRoom returns when more may be read from the client.
func (o *outbox) waitForAnswerRoom() {
	if o.size.Load() < answerRoom {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.size.Load() >= answerRoom && !o.closed {
		o.changed.Wait()
	}
}

// finish lets the writer end once it has written what is there.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
	o.changed.Broadcast()
}

// close drops what is there.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.waiting = nil
	o.changed.Broadcast()
}

// drain hands everything to write, batch by batch, until the outbox is finished or closed, or write fails;
// after each batch it calls written.
func (o *outbox) drain(write func([]byte) error, written func()) error {
	var spare []byte
	for {
		o.mu.Lock()
		for len(o.waiting) == 0 && !o.finished && !o.closed {
			o.changed.Wait()
		}
		batch := o.waiting
		o.waiting = spare[:0]
		o.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := write(batch); err != nil {
			return err
		}
		o.mu.Lock()
		o.size.Add(-int64(len(batch)))
		o.changed.Broadcast()
		o.mu.Unlock()
		written()
		spare = batch
		if cap(spare) > 2*answerRoom { // a large message went through; do not keep its room
			spare = nil
		}
	}
}
