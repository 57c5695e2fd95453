package rabbittest

import (
	"net"

	"github.com/everhop/everhop/broker/internal/ports"
)

// Direction is a way through the proxy.
type Direction uint8

// The ways through the proxy.
const (
	ToClient Direction = 1 << iota // what the broker sends
	ToBroker                       // what the client sends
	Both     = ToClient | ToBroker
)

// Reset ends all current connections with RST, at the client and at the broker:
// both read ECONNRESET. New connections are accepted.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset()
}

// Refuse resets all current connections and stops listening: new ones are refused. The port
// stays the proxy's: no other proxy and no node gets it before Close.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse()
}

// Accept undoes Refuse: the proxy listens on the same port again. It does nothing
// if the proxy listens, and fails if a program that asked for this very port took it
// meanwhile, or the proxy is closed.
func (p *Proxy) Accept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return net.ErrClosed
	case p.listener != nil:
		return nil
	}
	return p.listen()
}

// Freeze makes the given way silent, for current and new connections: sockets stay
// open, connections are accepted, but no byte that reaches the proxy after Freeze
// passes, nor the news that a peer has gone. What is held flows on after Thaw.
func (p *Proxy) Freeze(d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen |= d
	for l := range p.links {
		l.freeze(d)
	}
}

// FreezeCurrent makes the given way silent for current connections only, as when the network to
// one machine is cut and another machine takes its place: new connections work. As with Freeze,
// neither side learns that the other is gone.
func (p *Proxy) FreezeCurrent(d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.freeze(d)
	}
}

// DropCurrent throws away, for good, what passes the current connections in the given way, as a
// hanging load balancer does. The end of a connection passes; Thaw does not undo it.
func (p *Proxy) DropCurrent(d Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.drop(d)
	}
}

// FreezeAfterOpen freezes each new connection, both ways, as soon as the client
// got connection.open-ok: the handshake succeeds, nothing after it does. Current
// connections go on.
func (p *Proxy) FreezeAfterOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.afterOpen = true
}

// Thaw ends Freeze and FreezeAfterOpen, for current and new connections.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen, p.afterOpen = 0, false
	for l := range p.links {
		l.thaw()
	}
}

// reset ends all links. Callers hold mu.
func (p *Proxy) reset() {
	for l := range p.links {
		l.reset()
	}
}

// refuse closes the listener and ends all links. Callers hold mu.
func (p *Proxy) refuse() {
	if p.listener != nil {
		_ = ports.Leave(p.listener)
		p.listener = nil
	}
	p.reset()
}
