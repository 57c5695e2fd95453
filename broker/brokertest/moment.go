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
	client string      // "" for any
	queue  string      // "" for any
	only   *connection // nil for any
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
var Now Moment

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

// OnQueue narrows a moment, and the fault, to what has to do with a queue of the first virtual host: to methods that
// name it, to channels that consume from it, hold messages of it, or declared it last, and to connections with such a
// channel. CloseChannel, CancelConsumers and ConsumerTimeout then leave the consumers of other queues alone. Nothing
// of it can be known when a channel is opened.
func (m Moment) OnQueue(name string) Moment {
	m.queue = name
	return m
}

// concerns tells whether the moment may come on a connection.
func (m Moment) concerns(c *connection) bool {
	return (m.client == "" || c.client["connection_name"] == m.client) && (m.only == nil || m.only == c)
}

// concernsAny tells whether the moment may come on a connection as a whole.
func (m Moment) concernsAny(c *connection) bool {
	return m.concerns(c) && (m.queue == "" || slices.ContainsFunc(c.channelsInOrder(), func(ch *channel) bool { return ch.isAbout(m.queue) }))
}

// injections are the faults that wait for their moments. They are guarded by the server's mu.
type injections struct {
	waiting []*injection
	inBytes atomic.Int32 // how many of them wait for bytes
}

type injection struct {
	Moment
	fault  Fault
	played chan struct{}
}

// Inject plays a fault at a moment, once. The channel it returns is closed when that is done; if the moment
// does not come before the server is closed, it never is.
func (s *Server) Inject(when Moment, what Fault) <-chan struct{} {
	s.mu.Lock()
	defer s.unlock()
	i := &injection{Moment: when, fault: what, played: make(chan struct{})}
	if when.on != immediately {
		s.injections.add(i)
		s.injections.overdue(s.connectionsInOrder(), i)
		return i.played
	}
	if what.broker != nil {
		what.broker(s)
	} else {
		for _, c := range s.connectionsInOrder() {
			if when.concernsAny(c) {
				what.play(c, aim{queue: when.queue})
			}
		}
	}
	close(i.played)
	return i.played
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
	is.waiting = slices.DeleteFunc(is.waiting, func(other *injection) bool { return other == i })
	if i.on == received || i.on == sent {
		is.inBytes.Add(-1)
	}
	defer close(i.played)
	return i.fault.play(c, aim{channel, i.queue})
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
		return i.on == frame && (i.queue == "" || c.channels[channel].isAbout(i.queue))
	})
}

func (is *injections) method(c *connection, channel uint16, m wire.Method) (instead bool) {
	if len(is.waiting) == 0 {
		return false
	}
	name := wire.Name(m)
	return is.count(c, channel, func(i *injection) bool {
		return i.on == method && i.method == name && (i.queue == "" || queueOf(m) == i.queue || c.channels[channel].isAbout(i.queue))
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
