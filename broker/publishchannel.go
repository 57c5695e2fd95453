package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// PublishChannel is a channel of a [Session] on which messages are published that the broker confirms. It knows nothing
// of the messages: it counts them, from 1, and tells what the broker says of each number. All methods may be called
// from any goroutine, but Publish by one at a time.
type PublishChannel struct {
	session *Session
	channel *amqp.Channel
	closes  <-chan *amqp.Error

	once sync.Once
	lost chan struct{} // closed when err is set
	err  *Error
}

// Receipts are told what becomes of what is published on a channel, in the broker's order. They are called by the
// connection's reader, and must not wait for anything.
type Receipts struct {
	// Settled says that the broker has taken responsibility for message n, or refuses it (basic.ack and basic.nack); with
	// multiple for all up to n that were not settled before.
	Settled func(n uint64, multiple, taken bool)
	// Returned says that no queue is bound for a message (basic.return). It comes before that message is settled.
	Returned func(Returned)
}

// Returned is a message that came back. The broker tells no number: what was published is all that there is to know it by.
type Returned struct {
	Exchange   string
	RoutingKey string
	// ID is the message's MessageID, or its HeaderPublishID if it has none.
	ID string
}

// OpenPublishChannel opens a channel and has the broker confirm what is published on it. The error is an *Error, of
// ScopeChannel if the connection is still there.
func (s *Session) OpenPublishChannel(ctx context.Context, to Receipts) (*PublishChannel, error) {
	c := &PublishChannel{session: s, lost: make(chan struct{})}
	r := &request{op: "open publishing channel"}
	r.abandon = c.end
	r.calls = func() (err error) {
		route := newRoute(s.plan.MaxMessageSize)
		route.receipts = &to
		if c.channel, err = s.link.openChannel(route); err != nil {
			return s.newError(r.op, ScopeChannel, "", err)
		}
		c.closes = c.channel.NotifyClose(make(chan *amqp.Error, 1))
		s.watches.Go(c.watch)
		return nil
	}
	r.after = func() {
		select {
		case <-c.lost:
			if c.channel != nil {
				_ = c.channel.Close() // nobody waited for it
			}
		default:
		}
	}
	if err := s.ask(ctx, r); err != nil {
		return nil, err
	}
	return c, nil
}

// watch notes why the channel ended.
func (c *PublishChannel) watch() {
	var err error = amqp.ErrClosed
	if reply := <-c.closes; reply != nil {
		err = reply
	}
	c.end(c.session.newError("publish", ScopeChannel, "", err))
}

func (c *PublishChannel) end(why *Error) {
	c.once.Do(func() {
		c.err = why
		close(c.lost)
	})
}

// Fits returns an ErrHeaderTooLarge if the message's properties and headers do not fit into a frame of the connection.
func (c *PublishChannel) Fits(m *Message) error { return m.fits(c.session.link.amqp.Config.FrameSize) }

// Publish writes a message, and waits for no answer. It must be one that [Message.Check] and Fits have no objection to.
// It returns when all is written, which takes as long as the broker takes to read; the end of the connection ends it.
// Whatever the error, it is not known whether the broker has the message.
func (c *PublishChannel) Publish(m *Message) error {
	// amqp091-go knows nothing of the confirms: see confirmSelect
	if _, err := c.channel.PublishWithDeferredConfirm(m.Exchange, m.RoutingKey, true, false, m.publishing()); err != nil {
		return c.failure(err)
	}
	return nil
}

// Accepted returns nil when the broker has accepted all that was published before, though it may not have confirmed it
// yet: a message that it does not like ends the channel instead, and the error is the broker's. It waits until the broker
// answers, which it does not under an alarm, until the channel or the connection ends, or until ctx does: then the error is
// ctx's, the question still stands, and another one must not be asked: the answers could not be told apart. It may be called by
// one goroutine at a time.
//
// RabbitMQ deals with what comes in on a channel one after the other, and so with a basic.qos after all of them.
func (c *PublishChannel) Accepted(ctx context.Context) error {
	answered := make(chan error, 1)
	if !c.session.spawn(func() { answered <- c.channel.Qos(1, 0, false) }) {
		return c.failure(errAborted)
	}
	select {
	case err := <-answered:
		if err != nil {
			return c.failure(err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failure explains an error by why the channel ended. amqp091-go ends it in the background after a failed write, so the
// reason may come later.
func (c *PublishChannel) failure(err error) *Error {
	select {
	case <-c.lost:
		return c.err
	case <-time.After(reasonDelay):
		return c.session.newError("publish", ScopeChannel, "", err)
	}
}

// Lost is closed when the channel, or its connection, has ended; Err says why.
func (c *PublishChannel) Lost() <-chan struct{} { return c.lost }

// Err is why the channel ended, and nil before Lost is closed.
func (c *PublishChannel) Err() *Error {
	select {
	case <-c.lost:
		return c.err
	default:
		return nil
	}
}

// Close closes the channel. What has not been confirmed by then may or may not have been taken.
func (c *PublishChannel) Close(ctx context.Context) error {
	r := &request{op: "close channel", abandon: c.end}
	r.calls = func() error {
		if err := c.channel.Close(); err != nil {
			return c.session.newError(r.op, ScopeChannel, "", err)
		}
		return nil
	}
	return c.session.ask(ctx, r)
}

// Watch probes the broker whenever it is silent, as long as the session lasts, and ends the connection when there is no
// sign of life; that is a Loss of class Heartbeat.
func (s *Session) Watch() {
	ctx, cancel := context.WithCancel(context.Background())
	s.spawn(func() {
		defer cancel()
		<-s.ended
	})
	s.spawn(func() { s.guard(ctx) })
}

// DeclareQueue creates the queue where it is missing, and renews the lease of one that expires unused (x-expires).
//
// The error is an *Error: of ScopeChannel and class Precondition if the queue exists with other properties, Exclusive if
// another connection holds it, Auth if the user may not or the name begins with "amq.", Resource beyond a limit, Overdue if
// there is no answer within CallTimeout; of ScopeConnection if the connection broke. A name or an argument that AMQP
// cannot carry is refused before anything is sent.
func (s *Session) DeclareQueue(ctx context.Context, name string, o QueueOptions) error {
	if err := checkDeclare(ctx, name, o); err != nil {
		return err
	}
	r := &request{queue: name, op: "open channel"}
	r.calls = func() error {
		channel, err := s.link.openPlain()
		if err != nil {
			return s.newError(r.op, ScopeChannel, name, err)
		}
		if err := r.step("declare queue"); err != nil {
			_ = channel.Close()
			return err
		}
		if _, err := channel.QueueDeclare(name, o.Durable, o.AutoDelete, o.Exclusive, false, table(o.Arguments)); err != nil {
			failure := s.newError(r.op, ScopeChannel, name, err)
			_ = channel.Close()
			return failure
		}
		_ = channel.Close() // the queue is there, whatever becomes of the channel
		return nil
	}
	return s.ask(ctx, r)
}

// checkDeclare is what can be said of a declaration before it is sent.
func checkDeclare(ctx context.Context, name string, o QueueOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if name == "" {
		return errors.New("broker: declare queue: a name is needed")
	}
	if err := CheckName(name); err != nil {
		return fmt.Errorf("broker: declare queue %.40q: name: %w", name, err)
	}
	if problems := o.problems(); problems != nil {
		return fmt.Errorf("broker: declare queue %q: %s", name, strings.Join(problems, ", "))
	}
	return nil
}

// confirmSelect is the frame that makes the broker confirm what is published on a channel, without an answer. It is
// written behind channel.open rather than by amqp091-go, which then keeps no account of confirms: that of a message which
// is never confirmed would grow with all that come after it.
func confirmSelect(channel uint16) []byte {
	frame := []byte{wire.FrameMethod, 0, 0, 0, 0, 0, 5, 0, 85, 0, 10, 1, wire.FrameEnd}
	binary.BigEndian.PutUint16(frame[1:], channel)
	return frame
}
