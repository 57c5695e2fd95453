package broker

import (
	"errors"
	"os"
	"time"
)

// A peer that takes what we send lives, though it may be too busy with that to send anything: a large message
// over a slow network takes minutes, and the answer to a probe comes after it. But what the kernel has room for
// proves nothing. What proves something is that a write had to wait, and then went on, and that the kernel's send
// queue shrinks.

const (
	// writeSlices is in how many slices the time of a write is spent. When one has passed it is seen how far the
	// write has come.
	writeSlices = 8
	// largeWrite is from which size on a write that waited for waitedWrite and then came to its end is a sign of
	// life. A smaller one may just have been kept from running, and then fit into the send queue, which a few
	// larger ones fill.
	largeWrite  = 8 << 10
	waitedWrite = 5 * time.Millisecond
)

// write ends with a timeout when the peer has taken nothing for writeTimeout, however long all of it takes.
func (c *conn) write(p []byte) (n int, err error) {
	stalled := time.Duration(0) // for how long it has taken nothing
	full := false               // so that there is room only after the peer has taken something
	for {
		slice := min(c.writeSlice, c.writeTimeout-stalled)
		began := time.Now()
		if !c.patient.Load() {
			if err := c.SetWriteDeadline(began.Add(slice)); err != nil {
				return n, err
			}
			if c.patient.Load() { // set between the two: this deadline came after its removal
				_ = c.SetWriteDeadline(time.Time{})
			}
		}
		taken, err := c.Conn.Write(p[n:])
		n += taken
		c.written.Add(int64(taken))
		if taken > 0 && (full || err == nil && taken >= largeWrite && time.Since(began) >= waitedWrite) {
			c.progress()
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		full = true
		if stalled += slice; taken > 0 || c.patient.Load() {
			stalled = 0
		}
		if stalled >= c.writeTimeout {
			return n, err
		}
	}
}

// progress notes that the peer takes what is sent.
func (c *conn) progress() {
	c.lastTaken.Store(int64(time.Since(c.opened)))
	if c.waiting.Load() {
		c.announce()
	}
}

// backlog is what was written before a moment, and has not left the send queue yet.
type backlog struct {
	conn  *conn
	taken int64 // by the peer, in bytes
}

func (c *conn) backlog() *backlog {
	b := &backlog{conn: c}
	b.shrinks()
	return b
}

// shrinks tells whether the peer has taken something since it was asked the last time, and has not taken all. It
// is always false where nobody knows how long the send queue is.
func (b *backlog) shrinks() bool {
	written := b.conn.written.Load() // first, or what is written meanwhile would seem taken
	queued, ok := sendQueue(b.conn.Conn)
	if !ok {
		return false
	}
	before := b.taken
	b.taken = max(before, written-queued)
	return queued > 0 && b.taken > before
}
