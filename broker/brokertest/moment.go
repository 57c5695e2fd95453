package brokertest

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Moment is when a fault is played.
type Moment struct {
	on     occasion
	method string
	n      uint64
	client string // "" for any
	queue  string // "" for any
	host   string // "" for any, and for the first one where a queue is looked for
	only   int    // the ID of a connection; 0 for any
	peer   string // the client's address; "" for any
	again  bool   // each time, and not once
}

type occasion int

const (
	immediately occasion = iota
	connecting
	frame
	method
	received
	sent
)

// Now is at once; a fault of connections is played on every one that is open.
func Now() Moment { return Moment{} }

// OnConnect is when the nth connection from now on is accepted, before anything was read from it. Over TCP
// the client may still be connecting then, so that Reset makes its dial fail.
func OnConnect(nth int) Moment { return Moment{on: connecting, n: uint64(max(nth, 1))} }

// OnFrame is when the nth frame from now on came in, on whatever connection, before it is handled.
// Heartbeats count.
func OnFrame(nth int) Moment { return Moment{on: frame, n: uint64(max(nth, 1))} }

// OnMethod is when the nth method of that name from now on came in, before it is handled, or is to be
// sent, on whatever connection. The names are those of the specification, such as "basic.ack" or
// "queue.declare-ok"; it panics at any other name, since that would never come.
func OnMethod(name string, nth int) Moment {
	if !slices.Contains(wire.Names(), name) {
		panic(fmt.Sprintf("brokertest: AMQP 0-9-1 has no method %q", name))
	}
	return Moment{on: method, method: name, n: uint64(max(nth, 1))}
}

// AfterReceived is when the broker has read n bytes of a connection since it was opened, and handled the
// frames that these complete. If that is so already, it is at once.
func AfterReceived(n int) Moment { return Moment{on: received, n: uint64(max(n, 1))} }

// AfterSent is when the broker has sent n bytes to a connection since it was opened; if that is so already,
// it is at once.
func AfterSent(n int) Moment { return Moment{on: sent, n: uint64(max(n, 1))} }

// Of narrows a moment to the connections of a client, by the connection_name among its client properties.
// It is known once connection.start-ok was handled: OnConnect never comes for a connection of a name.
func (m Moment) Of(connectionName string) Moment {
	m.client = connectionName
	return m
}

// OnQueue narrows a moment, and the fault, to what has to do with a queue: to methods that
// name it, to channels that consume from it, hold messages of it, or declared it last, and to connections with such a
// channel. CloseChannel, CancelConsumers and ConsumerTimeout then leave the consumers of other queues alone. Nothing
// of it can be known when a channel is opened.
func (m Moment) OnQueue(name string) Moment {
	m.queue = name
	return m
}

// In narrows a moment, and the fault, to a virtual host: to connections that are in it, and to queues and exchanges of
// it. Without it a queue is one of the first virtual host. What a connection is in is known once connection.open was
// handled: OnConnect never comes in a virtual host.
func (m Moment) In(virtualHost string) Moment {
	m.host = virtualHost
	return m
}

// On narrows a moment to one connection, by its ID in Connections: they count from 1 over the server's life, and so one
// that is still to come has an ID, too.
func (m Moment) On(connection int) Moment {
	m.only = connection
	return m
}

// From narrows a moment to connections from an address, which is the client's own, such as 127.0.0.1:40312. Clients in
// memory have none.
func (m Moment) From(peer string) Moment {
	m.peer = peer
	return m
}

// Again has the fault played each time that the moment comes: OnMethod("basic.ack", 3).Again() is at every third
// acknowledgement. Moments of bytes come once.
func (m Moment) Again() Moment {
	m.again = true
	return m
}

func (m Moment) aim(channel uint16) aim { return aim{channel, m.queue, m.host} }

// concerns tells whether the moment may come on a connection.
func (m Moment) concerns(c *connection) bool {
	return (m.client == "" || c.client["connection_name"] == m.client) && (m.only == 0 || m.only == c.id) && (m.peer == "" || m.peer == c.peer()) &&
		(m.host == "" || c.host != nil && c.host.name == m.host)
}

// concernsAny tells whether the moment may come on a connection as a whole.
func (m Moment) concernsAny(c *connection) bool {
	return m.concerns(c) && (m.queue == "" || slices.ContainsFunc(c.channelsInOrder(), func(ch *channel) bool { return ch.isAbout(m.aim(0)) }))
}

// injections are the faults that wait for their moments. They are guarded by the server's mu.
type injections struct {
	waiting []*injection
	inBytes atomic.Int32 // how many of them wait for bytes
}

type injection struct {
	Moment
	fault    Fault
	played   chan struct{}
	every    uint64 // what n begins with
	repeated bool   // and so played already
}

// Injection is a fault that was injected.
type Injection struct {
	// Played is closed when it was played, the first time if its moment repeats; if the moment does not come before
	// the server is closed, it never is.
	Played <-chan struct{}
	// Err says why this can never happen. Where it could not on any server, such as Drop at once, the test that has
	// started the server fails, too; where it cannot as things are, such as that there is no such connection now, that is
	// left to the caller. When the server is closed, it is ErrClosed.
	Err error
}

// Inject plays a fault at a moment, once.
func (s *Server) Inject(when Moment, what Fault) Injection {
	s.mu.Lock()
	defer s.unlock()
	i := &injection{Moment: when, every: when.n, fault: what, played: make(chan struct{})}
	if s.closed {
		return Injection{i.played, ErrClosed}
	}
	if err := mistaken(when, what); err != nil {
		if s.fail != nil {
			s.fail("%v", err)
		}
		return Injection{i.played, err}
	}
	if err := s.absent(when, what); err != nil {
		return Injection{i.played, err}
	}
	if when.on != immediately {
		s.injections.add(i)
		s.injections.overdue(s.connectionsInOrder(), i)
		return Injection{i.played, nil}
	}
	if what.connection == nil {
		what.befall(s, when.host)
	} else {
		for _, c := range s.connectionsInOrder() {
			if when.concernsAny(c) {
				what.play(c, when.aim(0))
			}
		}
	}
	close(i.played)
	return Injection{i.played, nil}
}

func (s *Server) connectionsInOrder() []*connection {
	connections := make([]*connection, 0, len(s.connections))
	for c := range s.connections {
		connections = append(connections, c)
	}
	slices.SortFunc(connections, func(a, b *connection) int { return cmp.Compare(a.id, b.id) })
	return connections
}

func (is *injections) add(i *injection) {
	is.waiting = append(is.waiting, i)
	if i.on == received || i.on == sent {
		is.inBytes.Add(1)
	}
}

// overdue plays i on the first connection on which its byte has passed already, if there is one.
func (is *injections) overdue(connections []*connection, i *injection) {
	for _, c := range connections {
		passed := i.on == received && c.socket.received.Load() >= i.n || i.on == sent && c.socket.sent.Load() >= i.n
		if passed && i.concernsAny(c) && c.stage != ended {
			is.play(i, c, 0)
			return
		}
	}
}

// play plays i on a connection. It returns true if what the fault met is not to be handled any more.
func (is *injections) play(i *injection, c *connection, channel uint16) (instead bool) {
	if i.again {
		if i.n = i.every; !i.repeated {
			i.repeated = true
			defer close(i.played)
		}
		return i.fault.play(c, i.aim(channel))
	}
	is.waiting = slices.DeleteFunc(is.waiting, func(other *injection) bool { return other == i })
	if i.on == received || i.on == sent {
		is.inBytes.Add(-1)
	}
	defer close(i.played)
	return i.fault.play(c, i.aim(channel))
}

// count plays what waits for the nth of something that has just happened.
func (is *injections) count(c *connection, channel uint16, matches func(*injection) bool) (instead bool) {
	for _, i := range slices.Clone(is.waiting) {
		if !i.concerns(c) || !matches(i) {
			continue
		}
		if i.n--; i.n == 0 {
			instead = is.play(i, c, channel) || instead
		}
	}
	return instead
}

func (is *injections) connected(c *connection) {
	is.count(c, 0, func(i *injection) bool { return i.on == connecting && i.queue == "" })
}

func (is *injections) frame(c *connection, channel uint16) (instead bool) {
	return is.count(c, channel, func(i *injection) bool {
		return i.on == frame && (i.queue == "" || c.channels[channel].isAbout(i.aim(0)))
	})
}

func (is *injections) method(c *connection, channel uint16, m wire.Method) (instead bool) {
	if len(is.waiting) == 0 {
		return false
	}
	name := wire.Name(m)
	return is.count(c, channel, func(i *injection) bool {
		return i.on == method && i.method == name && (i.queue == "" || c.names(m, i.aim(0)) || c.channels[channel].isAbout(i.aim(0)))
	})
}

// bytes plays what is due once total bytes have passed, and tells after how many the next one is; 0 if
// none waits. Callers do not hold mu.
func (is *injections) bytes(c *connection, on occasion, total uint64) (until uint64) {
	if is.inBytes.Load() == 0 {
		return 0
	}
	c.server.mu.Lock()
	defer c.server.unlock()
	for _, i := range slices.Clone(is.waiting) {
		switch {
		case i.on != on || !i.concernsAny(c):
		case i.n <= total:
			is.play(i, c, 0)
		case until == 0 || i.n < until:
			until = i.n
		}
	}
	return until
}

// Methods are the names that OnMethod takes.
func Methods() []string { return wire.Names() }
