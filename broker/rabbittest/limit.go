package rabbittest

import (
	"net"
	"time"
)

// limitedBuffer is about how much a slow network holds in each way, in bytes: with the kernel's usual buffers
// a limited link would take megabytes at once.
const limitedBuffer = 16 << 10

// Limit lets no more than so many bytes a second pass in the given way, on each connection, current or new; 0
// lifts it. A current connection has been given larger buffers than a new one.
func (p *Proxy) Limit(d Direction, bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d&ToClient != 0 {
		p.rateToClient = bytesPerSecond
	}
	if d&ToBroker != 0 {
		p.rateToBroker = bytesPerSecond
	}
	for l := range p.links {
		l.limit(p.rateToClient, p.rateToBroker)
	}
}

func (l *link) limit(toClient, toBroker int) {
	l.toClient.limit(toClient, l.broker)
	l.toBroker.limit(toBroker, l.client)
}

func (g *gate) limit(rate int, from *net.TCPConn) {
	g.rate.Store(int64(rate))
	if rate > 0 {
		from.SetReadBuffer(limitedBuffer)
	}
}

// portion is how much may be read at once, of a buffer.
func (g *gate) portion(buffer []byte) []byte {
	const perSecond = 50
	if rate := g.rate.Load(); rate > 0 {
		return buffer[:max(1, min(len(buffer), int(rate)/perSecond))]
	}
	return buffer
}

// pace waits as long as so many bytes take, and reports false when done came first.
func (g *gate) pace(bytes int, done <-chan struct{}) bool {
	rate := g.rate.Load()
	if rate == 0 || bytes == 0 {
		return true
	}
	timer := time.NewTimer(time.Duration(bytes) * time.Second / time.Duration(rate))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}
