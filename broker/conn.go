package broker

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is the socket as the session sees it. amqp091-go hides heartbeat frames, puts no deadline on
// writes and turns I/O errors into text; here all three are in reach.
//
// Reads come from amqp091-go's one reader goroutine, writes are serialised by its lock; everything
// else may be called from anywhere.
type conn struct {
	net.Conn
	writeTimeout time.Duration
	writeSlice   time.Duration // after so long a write begins again with what is left of it
	opened       time.Time
	lastRead     atomic.Int64 // nanoseconds after opened
	within       atomic.Int64 // nanoseconds, in which the next byte must come; 0: at any time
	extended     atomic.Int64 // lastRead when the read deadline was set
	patient      atomic.Bool  // the broker said that it does not read: writes may wait
	lastTaken    atomic.Int64 // nanoseconds after opened, when the peer was last seen to take what is written
	written      atomic.Int64 // bytes
	first        atomic.Int32 // the first byte that came in, and 256; 0: none has

	abortOnce sync.Once

	mu      sync.Mutex
	arrival chan struct{} // closed by the next sign of life; nil when nobody waits
	waiting atomic.Bool   // arrival != nil, readable without the lock
	failure error         // the first I/O error
	aborted bool          // errors from here on are our own doing
}

func newConn(raw net.Conn, writeTimeout time.Duration) *conn {
	c := &conn{Conn: raw, writeTimeout: writeTimeout, writeSlice: writeTimeout / writeSlices, opened: time.Now()}
	if _, ok := raw.(supplied); ok { // not every connection survives a write that timed out; one of TLS does not
		c.writeSlice = writeTimeout
	}
	return c
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		if c.first.Load() == 0 {
			c.first.Store(int32(p[0]) + 256)
		}
		now := int64(time.Since(c.opened))
		c.lastRead.Store(now)
		if within := c.within.Load(); within > 0 && now-c.extended.Load() > within/renewals {
			c.expectBytes(time.Duration(within))
		}
		if c.waiting.Load() {
			c.announce()
		}
	}
	if err != nil {
		c.fail(err)
	}
	return n, err
}

// renewals is how often a read deadline is set anew, at most, in the time that it gives.
const renewals = 16

// expectBytes has reads fail, from now on, when nothing comes in for so long, or a sixteenth less.
func (c *conn) expectBytes(within time.Duration) {
	c.within.Store(int64(within))
	c.extended.Store(int64(time.Since(c.opened)))
	_ = c.SetReadDeadline(time.Now().Add(within)) // fails when it is closed
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	switch {
	case err == nil:
	case isCloseOK(p):
		return len(p), nil
	default:
		c.fail(err)
	}
	return n, err
}

// isCloseOK recognises connection.close-ok. amqp091-go answers connection.close with it before it tells
// why the broker closed; when a broker that is in a hurry has taken the socket away by then, the
// failed write would be told instead.
func isCloseOK(p []byte) bool { return string(p) == closeOKFrame }

// closeOKFrame is a method frame (1) on channel 0 of 4 bytes, class 10, method 51, and the frame's end.
const closeOKFrame = "\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xce"

// setPatient suspends the write deadline while the broker does not read on purpose
// (connection.blocked), and puts it back.
func (c *conn) setPatient(patient bool) {
	c.patient.Store(patient)
	if patient {
		_ = c.SetWriteDeadline(time.Time{})
	}
}

// silence is how long ago the last sign of life was: a byte that came in, or progress of what goes out.
func (c *conn) silence() time.Duration {
	return time.Since(c.opened) - time.Duration(max(c.lastRead.Load(), c.lastTaken.Load()))
}

// arrived returns a channel that the next sign of life closes.
func (c *conn) arrived() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.arrival == nil {
		c.arrival = make(chan struct{})
		c.waiting.Store(true)
	}
	return c.arrival
}

func (c *conn) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.arrival != nil {
		close(c.arrival)
		c.arrival = nil
		c.waiting.Store(false)
	}
}

func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil && !c.aborted && !errors.Is(err, net.ErrClosed) { // amqp091-go closes it for a reason of its own
		c.failure = err
	}
}

// firstError is the I/O error that broke the connection, nil if none did before it was aborted.
func (c *conn) firstError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// abort closes the socket at once, without a farewell on any layer. Every pending read and write
// returns. Idempotent.
func (c *conn) abort() {
	c.abortOnce.Do(func() {
		c.mu.Lock()
		c.aborted = true
		c.mu.Unlock()
		if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
			_ = tcp.SetLinger(0) // do not keep unsent bytes for a peer that is gone
		}
		_ = c.Close()
	})
}
