package brokertest

import (
	"fmt"
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
)

// Fault is something that goes wrong on a connection, or with the broker. Make it with one of the
// functions of this package, and have it played with Server.Inject. In the zero Fault nothing goes wrong:
// it only tells that its moment has come.
type Fault struct {
	name string
	// connection is called with the server's mu held. It returns true if what was under way then is not to be
	// done any more.
	connection func(c *connection, at aim) (instead bool)
	// broker is there instead if no one connection is meant, and host if a virtual host is.
	broker func(*Server)
	host   func(*virtualHost)
	// fits tells what moment it needs, if this one will not do; nil if any will.
	fits func(Moment) (needs string)
}

// aim is what of a connection a fault is to hit.
type aim struct {
	channel uint16 // whose method or frame was the moment; else 0
	queue   string // whose consumers are meant; "" for all
	host    string // the queue's; "" for the first one
}

func (f Fault) play(c *connection, at aim) (instead bool) {
	if f.connection == nil {
		f.befall(c.server, at.host)
		return false
	}
	return f.connection(c, at)
}

// befall plays what is about no connection. A virtual host that is not there is passed over.
func (f Fault) befall(s *Server, host string) {
	switch h := s.host(host); {
	case f.broker != nil:
		f.broker(s)
	case f.host != nil && h != nil:
		f.host(h)
	}
}

// String is the fault's name, for logs and the names of tests.
func (f Fault) String() string { return f.name }

// Direction is a way on a connection.
type Direction uint8

// The ways on a connection.
const (
	ToClient Direction = 1 << iota
	FromClient
	Both = ToClient | FromClient
)

func (d Direction) String() string {
	return map[Direction]string{ToClient: "ToClient", FromClient: "FromClient", Both: "Both"}[d]
}

// Reset ends the connection with RST, as a network or a killed process does: the client reads
// ECONNRESET. What was under way is not done.
func Reset() Fault {
	return Fault{name: "Reset", connection: func(c *connection, _ aim) bool {
		c.reset()
		return true
	}}
}

// HangUp ends the connection with FIN and without a word, as a load balancer does: the client reads
// the end of the stream. What was under way is not done.
func HangUp() Fault {
	return Fault{name: "HangUp", connection: func(c *connection, _ aim) bool {
		c.hangUp()
		return true
	}}
}

// CloseConnection sends connection.close, such as 320 when an operator wants it so or 501 when the
// broker takes offence. The name of the code is put before the text, as in
// "CONNECTION_FORCED - text". What was under way is not done.
func CloseConnection(code uint16, text string) Fault {
	return Fault{name: fmt.Sprintf("CloseConnection(%d)", code), connection: func(c *connection, _ aim) bool {
		c.close(refuse(code, "%s", text), 0, 0)
		return true
	}}
}

// CloseChannel sends channel.close on the channel of the method or frame that was its moment, which is not
// handled; at another moment on all channels with a consumer. A 404 answers a passive declare of a queue
// that went away, a 406 a declare that differs.
func CloseChannel(code uint16, text string) Fault {
	return Fault{name: fmt.Sprintf("CloseChannel(%d)", code), connection: func(c *connection, at aim) bool {
		for _, ch := range c.affected(at) {
			ch.close(refuse(code, "%s", text), 0, 0)
		}
		return true
	}}
}

// ConsumerTimeout closes, with 406, the channels that hold deliveries, in the words that RabbitMQ has for
// one that was not acknowledged in time. What was under way goes on, unless it was on such a channel. From
// RabbitMQ 4.3 on, consumers of quorum queues that hold deliveries end with a basic.cancel instead, and lose
// them to the queue; on other queues there is no timeout.
func ConsumerTimeout() Fault {
	return Fault{name: "ConsumerTimeout", connection: func(c *connection, at aim) (instead bool) {
		if !c.server.has(versions.TimesOutChannels) {
			c.cancelOverdue(at)
			return false
		}
		for _, ch := range c.channelsInOrder() {
			if ch.holds(at) {
				ch.close(tooLate(ch.id, 30*time.Minute), 0, 0)
				instead = instead || ch.id == at.channel
			}
		}
		return instead
	}}
}

// CancelConsumers ends all consumers of the connection with a basic.cancel from the broker, as when their
// queue's node went away. Connection and channels stay. A client that did not announce
// consumer_cancel_notify is not told.
func CancelConsumers() Fault {
	return Fault{name: "CancelConsumers", connection: func(c *connection, at aim) bool {
		for _, ch := range c.channelsInOrder() {
			for _, consumer := range ch.consumersInOrder() {
				if consumer.queue.is(at) {
					consumer.cancelled()
				}
			}
		}
		return false
	}}
}

// Freeze holds back, until Thaw, what goes one way or both, the end of the connection included: as when a
// cable is cut. A client that the broker does not hear is silent to it, and dropped after its time; where
// the way to the client is frozen too, the client learns of it with Thaw, or with ECONNRESET after 15
// minutes.
func Freeze(d Direction) Fault {
	return Fault{name: fmt.Sprintf("Freeze(%s)", d), connection: func(c *connection, _ aim) bool {
		c.socket.freeze(d)
		return false
	}}
}

// Thaw ends Freeze: what was held back arrives.
func Thaw() Fault {
	return Fault{name: "Thaw", connection: func(c *connection, _ aim) bool {
		c.socket.thaw()
		return false
	}}
}

// StopHeartbeats sends no more heartbeats. Everything else goes on.
func StopHeartbeats() Fault {
	return Fault{name: "StopHeartbeats", connection: func(c *connection, _ aim) bool {
		c.mute = true
		return false
	}}
}

// Send sends the bytes as they are, between two frames: garbage, or a frame that no broker should send.
func Send(raw []byte) Fault {
	return Fault{name: fmt.Sprintf("Send(%d bytes)", len(raw)), connection: func(c *connection, _ aim) bool {
		c.out.add(func(b []byte) []byte { return append(b, raw...) })
		return false
	}}
}

// Block sends connection.blocked and stops reading from the client until Unblock, whether or not it has
// ever published. Server.Alarm does it as RabbitMQ does.
func Block(reason string) Fault {
	return Fault{name: "Block", connection: func(c *connection, _ aim) bool {
		c.block(reason)
		return false
	}}
}

// Unblock ends Block with connection.unblocked.
func Unblock() Fault {
	return Fault{name: "Unblock", connection: func(c *connection, _ aim) bool {
		c.unblock()
		return false
	}}
}

// Drop loses the frame, or the method with the content that goes with it. It needs OnFrame or OnMethod. The
// frame of a basic.publish does not take its content along: the broker finds that unexpected.
func Drop() Fault {
	return Fault{
		name: "Drop", connection: func(*connection, aim) bool { return true },
		fits: func(m Moment) string {
			if m.on == frame || m.on == method {
				return ""
			}
			return "OnFrame or OnMethod"
		},
	}
}

// affected are the channels that a fault is about: that of its moment, which may be just about to be opened, or else
// all that have a consumer of what is meant.
func (c *connection) affected(at aim) []*channel {
	if at.channel == 0 {
		return slices.DeleteFunc(c.channelsInOrder(), func(ch *channel) bool { return !ch.consumes(at) })
	}
	if c.channels[at.channel] == nil {
		c.channels[at.channel] = newChannel(c, at.channel)
	}
	return []*channel{c.channels[at.channel]}
}
