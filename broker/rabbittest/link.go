package rabbittest

import (
	"errors"
	"io"
	"net"
	"sync"
)

// link is one connection through the proxy: two sockets, and a pump each way.
//
//	client ──► gate toBroker ──► broker
//	       ◄── gate toClient ◄──
type link struct {
	client, broker     *net.TCPConn
	toClient, toBroker gate
	watch              openWatch // used by the pump to the client only

	mu    sync.Mutex
	armed bool // freezes after connection.open-ok

	once sync.Once
	done chan struct{} // closed by reset
}

// run pumps until both ways have ended.
func (l *link) run() {
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(l.broker, l.client, &l.toBroker, l.broker.Write) })
	pumps.Go(func() { l.pump(l.client, l.broker, &l.toClient, l.writeClient) })
	pumps.Wait()
	l.client.Close()
	l.broker.Close()
}

const pumpBuffer = 32 << 10

// pump copies one way until it ends. The end of a stream passes the gate like its
// bytes do: behind a frozen gate nobody learns that the other side is gone.
func (l *link) pump(to, from *net.TCPConn, g *gate, write func([]byte) (int, error)) {
	buffer := make([]byte, pumpBuffer)
	for {
		count, readErr := from.Read(g.portion(buffer))
		if !g.pass(l.done) || !g.pace(count, l.done) {
			return
		}
		if count > 0 && !g.dropping.Load() {
			if _, err := write(buffer[:count]); err != nil {
				l.reset()
				return
			}
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF):
			to.CloseWrite()
			return
		default:
			l.reset()
			return
		}
	}
}

// writeClient writes to the client. An armed link freezes before the last byte of
// connection.open-ok is written, so that nothing a client sends in answer passes.
func (l *link) writeClient(chunk []byte) (int, error) {
	end, found := l.watch.end(chunk)
	if !found || !l.trip() {
		return l.client.Write(chunk)
	}
	if count, err := l.client.Write(chunk[:end]); err != nil {
		return count, err
	}
	if !l.toClient.pass(l.done) {
		return end, net.ErrClosed
	}
	count, err := l.client.Write(chunk[end:])
	return end + count, err
}

// trip freezes an armed link and reports whether it was one.
func (l *link) trip() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.armed {
		l.freeze(Both)
	}
	return l.armed
}

func (l *link) drop(d Direction) {
	if d&ToClient != 0 {
		l.toClient.dropping.Store(true)
	}
	if d&ToBroker != 0 {
		l.toBroker.dropping.Store(true)
	}
}

func (l *link) freeze(d Direction) {
	if d&ToClient != 0 {
		l.toClient.freeze()
	}
	if d&ToBroker != 0 {
		l.toBroker.freeze()
	}
}

// thaw also disarms, in one step: a link that trips meanwhile is thawed too.
func (l *link) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.toClient.thaw()
	l.toBroker.thaw()
}

// reset closes both sockets with RST and ends the pumps.
func (l *link) reset() {
	l.once.Do(func() {
		close(l.done)
		reset(l.client)
		reset(l.broker)
	})
}

// reset closes a socket with RST: with no time to linger, what was not sent is
// thrown away.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}
