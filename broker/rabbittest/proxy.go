package rabbittest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
)

// Proxy passes TCP connections on to a target and plays faults on the way. Its
// methods are safe for concurrent use; none blocks on a peer.
//
// Faults and Connections know a connection from the moment it reached the target, before any byte
// came back. If the target cannot be reached, the client's connection is reset.
type Proxy struct {
	target string
	port   port

	dialing context.Context // ended by Close
	stop    context.CancelFunc
	tasks   sync.WaitGroup

	mu        sync.Mutex
	listener  net.Listener // nil while refusing, and after Close
	closed    bool
	links     map[*link]struct{}
	frozen    Direction // of new links
	afterOpen bool      // new links freeze after connection.open-ok

	rateToClient, rateToBroker int // bytes a second; 0: no limit
}

// NewProxy starts a proxy for target, a host:port, on a free port of 127.0.0.1.
// The caller calls Close.
func NewProxy(target string) (*Proxy, error) {
	own, err := claimPort()
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, port: own, links: make(map[*link]struct{})}
	p.dialing, p.stop = context.WithCancel(context.Background())
	if err := p.Accept(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Addr is where the proxy listens, 127.0.0.1:PORT, the same for its whole life.
func (p *Proxy) Addr() string { return p.port.addr }

// URL is nodeURL with the proxy's address in place of the node's. What is not a
// URL is returned as it is, for the client to complain about.
func (p *Proxy) URL(nodeURL string) string {
	parsed, err := url.Parse(nodeURL)
	if err != nil {
		return nodeURL
	}
	parsed.Host = p.Addr()
	return parsed.String()
}

// Connections is the number of connections open now, frozen ones included.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close resets all connections, stops listening and waits until all goroutines of
// the proxy have ended. Close is idempotent.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.refuse()
	p.port.release()
	p.mu.Unlock()
	p.stop()
	p.tasks.Wait()
}

// serve accepts until the listener is closed, or fails for want of descriptors:
// clients are then refused, not left hanging.
func (p *Proxy) serve(listener net.Listener) {
	defer listener.Close()
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		p.tasks.Go(func() { p.connect(listener, client.(*net.TCPConn)) })
	}
}

// connect carries one connection from the target's answer to its end.
func (p *Proxy) connect(listener net.Listener, client *net.TCPConn) {
	broker, err := new(net.Dialer).DialContext(p.dialing, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := &link{client: client, broker: broker.(*net.TCPConn), done: make(chan struct{})}
	if !p.admit(listener, l) {
		l.reset()
		return
	}
	l.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// admit gives a link the faults that are on. It reports false if the listener
// that accepted it has been closed meanwhile: the link came too late to be among
// those that Refuse or Close reset.
func (p *Proxy) admit(listener net.Listener, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != listener {
		return false
	}
	l.freeze(p.frozen)
	l.armed = p.afterOpen
	l.limit(p.rateToClient, p.rateToBroker)
	p.links[l] = struct{}{}
	return true
}

// listen opens the proxy's port. Callers hold mu.
func (p *Proxy) listen() error {
	listener, err := net.Listen("tcp", p.port.addr)
	if err != nil {
		return fmt.Errorf("rabbittest: proxy: %w", err)
	}
	p.listener = listener
	p.tasks.Go(func() { p.serve(listener) })
	return nil
}
