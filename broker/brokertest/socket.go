package brokertest

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// receiveBuffer is how many bytes of a client are taken in before somebody asks for them, as a kernel
	// does: a client that the broker does not listen to can write on for a while.
	receiveBuffer = 64 << 10
	// lingerTimeout is how long a client may go on sending after the broker has hung up. A kernel answers
	// what comes after the end with RST, and that overtakes what the client has yet to read.
	lingerTimeout = 3 * time.Second
	// stallTimeout is how long a client may take nothing of what is sent to it: RabbitMQ's send_timeout. A write that
	// comes to nothing is looked at after stallStep, or two of them: its deadline is not set anew each time.
	stallTimeout = 30 * time.Second
	stallStep    = 5 * time.Second
	// memoryRoom is how much may wait for a client in memory before it counts as one that takes nothing: as much as the
	// kernel would have taken over TCP.
	memoryRoom = 64 << 10
	// freezeTimeout is how long the end of a frozen connection is held: about as long as a kernel goes on
	// sending what nobody acknowledges.
	freezeTimeout = 15 * time.Minute
)

// socket is the broker's end of a connection, and the network faults on it. One goroutine takes in,
// one reads, one writes and leaves; everything else may be called from anywhere.
type socket struct {
	conn           net.Conn
	raw            net.Conn                          // below TLS, or the same
	received, sent atomic.Uint64                     // bytes, as the broker sees them
	onReceive      func(total uint64) (until uint64) // plays what is due after so many bytes; tells when more is
	onSend         func(total uint64) (until uint64)
	waiting        func() int64  // bytes that are to be sent
	done           chan struct{} // closed by Close

	mu      sync.Mutex
	changed sync.Cond
	frozen  Direction
	inbound []byte // taken in and not read yet
	ended   error  // nothing more will be taken in
	delay   time.Duration
	down    pace // to the client
	up      pace // from it
	// splitting: each frame is sent in two parts. cuts counts them, for the one goroutine that writes.
	splitting bool
	cuts      int
	closed    bool // the broker is done with it
	// writeUntil is when a write ends that comes to nothing.
	writeUntil time.Time
	late       bool        // closed while the client could not see it: what was sent before is still sent
	giveUp     *time.Timer // on the thaw that late waits for
	abort      bool        // ends with RST
}

func newSocket(conn net.Conn) *socket {
	s := &socket{conn: conn, raw: conn, done: make(chan struct{})}
	if secured, ok := conn.(*tls.Conn); ok {
		s.raw = secured.NetConn()
	}
	s.changed.L = &s.mu
	return s
}

// takeIn runs until the connection has ended. What comes after Close is thrown away.
func (s *socket) takeIn() {
	chunk := make([]byte, receiveBuffer/2)
	for {
		n, err := s.conn.Read(chunk)
		s.mu.Lock()
		if s.closed {
			n, s.inbound = 0, nil
		}
		s.inbound = append(s.inbound, chunk[:n]...)
		s.ended = err
		s.changed.Broadcast()
		for len(s.inbound) >= receiveBuffer/2 && !s.closed {
			s.changed.Wait()
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Read gives what the client sent, unless that way is frozen, and no byte more than a fault waits for.
func (s *socket) Read(p []byte) (int, error) {
	s.onReceive(s.received.Load())
	for {
		if err := s.awaitInbound(); err != nil {
			return 0, err
		}
		room := s.clip(len(p), s.received.Load(), s.onReceive) // a fault may have been injected meanwhile
		if n, takes := s.takeOut(p[:room]); n > 0 {
			s.wait(takes)
			return n, nil
		}
	}
}

// awaitInbound returns nil when there is something to read.
func (s *socket) awaitInbound() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for (s.frozen&FromClient != 0 || len(s.inbound) == 0 && s.ended == nil) && !s.closed {
		s.changed.Wait()
	}
	switch {
	case s.closed:
		return net.ErrClosed
	case len(s.inbound) == 0:
		return s.ended
	}
	return nil
}

// takeOut also tells how long the way of these bytes takes.
func (s *socket) takeOut(p []byte) (n int, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen&FromClient != 0 || s.closed {
		return 0, 0
	}
	n = copy(p[:s.up.clip(len(p))], s.inbound)
	s.inbound = s.inbound[n:]
	if len(s.inbound) == 0 {
		s.inbound = nil // or it would grow at its end for ever
	}
	s.changed.Broadcast()
	s.received.Add(uint64(n))
	return n, s.up.takes(n)
}

// clip shortens n so that it ends where a fault wants to be told. until is 0 if none does.
func (s *socket) clip(n int, total uint64, ask func(uint64) uint64) int {
	if until := ask(total); until > total {
		n = int(min(uint64(n), until-total))
	}
	return n
}

// Write sends to the client: late, little by little, or not before the thaw, as the faults want it.
func (s *socket) Write(p []byte) (int, error) {
	written := 0
	var stalled time.Duration // since the client took something
	for written < len(p) {
		most, err := s.waitForTurn(len(p) - written)
		if err != nil {
			return written, err
		}
		part := p[written : written+most]
		part = part[:s.clip(len(part), s.sent.Load(), s.onSend)]
		if s.isFrozen(ToClient) {
			continue // since just now
		}
		now := time.Now()
		s.expectProgress(now)
		n, err := s.conn.Write(part)
		written += n
		s.onSend(s.sent.Add(uint64(n)))
		switch {
		case err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || s.isClosed()):
			return written, err
		case err == nil || !s.secured() && (n > 0 || s.fits()):
			stalled = 0
		default:
			if stalled += time.Since(now); stalled >= stallTimeout || s.secured() { // TLS breaks at a deadline
				s.reset() // without a word, as RabbitMQ does
				return written, net.ErrClosed
			}
		}
	}
	return written, nil
}

// expectProgress has a write end in time, whatever it has come to, unless the socket is closed and so has little time
// anyway.
func (s *socket) expectProgress(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	step := stallStep
	if s.secured() {
		step = stallTimeout // the first deadline is the last
	}
	if !s.closed && s.writeUntil.Sub(now) < step {
		s.writeUntil = now.Add(step + stallStep)
		_ = s.conn.SetWriteDeadline(s.writeUntil)
	}
}

// secured tells whether there is TLS.
func (s *socket) secured() bool { return s.raw != s.conn }

// fits tells whether a kernel would have taken all that waits.
func (s *socket) fits() bool {
	_, inMemory := s.raw.(*memoryConn)
	return inMemory && s.waiting() <= memoryRoom
}

// waitForTurn waits until the way to the client is open, and as long as the faults want, and returns how many of n
// bytes may be sent then.
func (s *socket) waitForTurn(n int) (most int, err error) {
	most, delay, err := s.pass(n)
	if err != nil || delay == 0 {
		return most, err
	}
	s.wait(delay)
	_, _, err = s.pass(n) // frozen meanwhile?
	return most, err
}

// wait does so until the socket is closed.
func (s *socket) wait(d time.Duration) {
	if d == 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
	}
}

// pass waits until the way to the client is open.
func (s *socket) pass(n int) (most int, delay time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.frozen&ToClient != 0 && !s.over() {
		s.changed.Wait()
	}
	if s.over() {
		return 0, 0, net.ErrClosed
	}
	most = s.down.clip(n)
	return most, s.delay + s.down.takes(most), nil
}

// over tells that nothing more is to be sent. Callers hold mu.
func (s *socket) over() bool { return s.closed && (!s.late || s.abort || s.ended != nil) }

// waitUntilThawed returns when the client is heard, or there is nobody left to hear it.
func (s *socket) waitUntilThawed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.frozen&FromClient != 0 && !s.closed {
		s.changed.Wait()
	}
}

func (s *socket) isFrozen(d Direction) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frozen&d != 0
}

func (s *socket) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *socket) freeze(d Direction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen |= d
}

func (s *socket) thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = 0
	if s.closed && s.late {
		_ = s.conn.SetWriteDeadline(time.Now().Add(lingerTimeout))
	}
	s.changed.Broadcast()
}

// slow makes each write late by delay, has bytes go at a pace, and with split half a frame at a time.
func (s *socket) slow(delay time.Duration, down, up pace, split bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.down, s.up, s.splitting = delay, down, up, split
}

// Close ends reading and writing, unless the way to the client is frozen: then what was sent before is
// still sent, after the thaw. The client learns of the end from leave.
func (s *socket) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.late = true, s.frozen&ToClient != 0
	close(s.done)
	s.changed.Broadcast()
	if s.late {
		s.giveUp = time.AfterFunc(freezeTimeout, s.reveal)
	} else {
		_ = s.conn.SetWriteDeadline(time.Unix(1, 0)) // a client that does not read holds nobody up
	}
}

// leave hangs up, as soon as the client can see it: it reads what was written, and then the end.
func (s *socket) leave() {
	s.Close()
	s.mu.Lock()
	for s.frozen&ToClient != 0 && s.late && s.ended == nil {
		s.changed.Wait()
	}
	if s.giveUp != nil {
		s.giveUp.Stop()
	}
	abort := s.abort
	s.mu.Unlock()
	if secured, ok := s.conn.(*tls.Conn); ok && !abort {
		_ = secured.CloseWrite() // says that this is the end, and no more than that
	}
	tcp, ok := s.raw.(*net.TCPConn)
	if abort || !ok || tcp.CloseWrite() != nil {
		s.drop(abort)
		return
	}
	_ = tcp.SetReadDeadline(time.Now().Add(lingerTimeout)) // takeIn waits for the client's end
}

// reset hangs up with RST, as soon as the client can see it: it reads ECONNRESET. Nothing more is sent.
func (s *socket) reset() {
	s.mu.Lock()
	s.abort = true
	s.mu.Unlock()
	s.Close()
	if !s.isFrozen(ToClient) {
		s.drop(true)
	}
}

// reveal gives up on a thaw.
func (s *socket) reveal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late, s.abort = false, true
	s.changed.Broadcast()
}

// cut ends everything now, frozen or not.
func (s *socket) cut() {
	s.Close()
	s.mu.Lock()
	s.late = false
	s.changed.Broadcast()
	s.mu.Unlock()
	s.drop(false)
}

func (s *socket) drop(reset bool) {
	if reset {
		switch conn := s.raw.(type) {
		case *net.TCPConn:
			_ = conn.SetLinger(0)
		case *memoryConn:
			conn.broken.Store(true)
		}
	}
	_ = s.raw.Close() // TLS would wait for its last word
}
