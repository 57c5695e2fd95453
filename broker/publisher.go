package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	// ErrUnroutable means that no queue is bound for the message (basic.return). It was not stored.
	ErrUnroutable = errors.New("broker: unroutable: no queue is bound for exchange and routing key")
	// ErrRefused means that the broker refused the message (basic.nack), e.g. because the queue is full and
	// its overflow policy is reject-publish.
	ErrRefused = errors.New("broker: the broker refused the message")
)

// Publisher publishes with publisher confirms over a connection of its own: RabbitMQ stops reading
// from publishing connections under an alarm, and a consumer's acknowledgements must not wait behind
// that. It is not revived; when its connection breaks, every message without a confirm fails, and
// the caller knows which. All methods may be called from any goroutine.
type Publisher struct {
	session *Session
	unguard context.CancelFunc
	guarded sync.WaitGroup
	channel *amqp.Channel
	window  chan struct{} // an element for each message that awaits its confirm
	returns *returns
	closed  <-chan *amqp.Error

	mu     sync.Mutex
	reason error // why the channel closed, once that is known
}

// MaxUnconfirmed is how many messages of a [Publisher] may await their confirm; beyond that Publish waits.
const MaxUnconfirmed = 256

// reasonDelay is how much later than the channel's end the reason for it may come.
const reasonDelay = time.Second

// OpenPublisher connects. The plan's subscriptions are not used. The publisher must be ended with Close.
func OpenPublisher(ctx context.Context, plan Plan) (*Publisher, error) {
	plan.Subscriptions = nil
	s, err := Open(ctx, plan, 1, 0)
	if err != nil {
		return nil, err
	}
	p := &Publisher{session: s, window: make(chan struct{}, MaxUnconfirmed), returns: newReturns()}
	err = s.guarded(ctx, func() error {
		route := newRoute(s.plan.MaxMessageSize)
		route.returned = p.returns.add
		if p.channel, err = s.link.openChannel(route); err == nil {
			p.closed = p.channel.NotifyClose(make(chan *amqp.Error, 1))
			err = p.channel.Confirm(false)
		}
		if err != nil {
			return s.newError("open publishing channel", ScopeConnection, "", err)
		}
		return nil
	})
	if err != nil {
		s.Abort()
		return nil, err
	}
	guard, cancel := context.WithCancel(context.Background())
	p.unguard = cancel
	p.guarded.Go(func() { s.guard(guard) }) // or a silent peer would be noticed by heartbeats alone
	return p, nil
}

// Confirm stands for the publisher confirm of one message. Its method may be called from any goroutine.
type Confirm struct {
	publisher *Publisher
	id        string
	deferred  *amqp.DeferredConfirmation
	sent      chan struct{} // closed when deferred is set, or the message could not be sent
	returned  bool          // guarded by returns.mu
	release   sync.Once     // of its place in the window
}

// Publish sends a message and returns without waiting for its confirm; Wait must be called on what it
// returns until it has an answer: until then the message keeps its place. Of two messages with one
// MessageID the second waits for the first's confirm. Publish waits while [MaxUnconfirmed] messages await
// their confirm, and while the broker is blocked by an alarm.
//
// The error is ctx's, or an *Error if the connection or the channel broke. With any other, which names the
// field that AMQP cannot carry, nothing was sent. When ctx ends amid the writing of a message, the connection
// is aborted, since nothing can follow half a frame.
func (p *Publisher) Publish(ctx context.Context, m Message) (*Confirm, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	if err := m.fits(p.session.link.amqp.Config.FrameSize); err != nil {
		return nil, err
	}
	select {
	case p.window <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := &Confirm{publisher: p, id: p.returns.identify(&m), sent: make(chan struct{})}
	defer close(c.sent)
	if err := p.returns.claim(ctx, c); err != nil {
		<-p.window
		return nil, err
	}

	stop := context.AfterFunc(ctx, func() { p.session.abort(context.Cause(ctx)) })
	defer stop()
	deferred, err := p.channel.PublishWithDeferredConfirm(m.Exchange, m.RoutingKey, true, false, m.publishing())
	if err != nil {
		p.returns.release(c)
		<-p.window
		return nil, p.failure(err)
	}
	c.deferred = deferred
	return c, nil
}

// Wait returns nil once the broker has taken responsibility for the message, ErrUnroutable or
// ErrRefused if it did not take it, ctx's error, or an *Error if the connection or the channel broke:
// then it is not known whether the message was stored.
func (c *Confirm) Wait(ctx context.Context) error {
	p := c.publisher
	acked, err := c.deferred.WaitContext(ctx)
	if err != nil {
		return err
	}
	c.release.Do(func() { <-p.window })
	switch {
	case p.returns.release(c):
		return ErrUnroutable
	case acked:
		return nil
	case p.channel.IsClosed():
		// amqp091-go answers every open confirm with a nack when the channel closes
		return p.failure(amqp.ErrClosed)
	}
	return ErrRefused
}

// failure explains an error by why the channel closed. amqp091-go closes it in the background after a
// failed write, so the reason may come later.
func (p *Publisher) failure(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil {
		select {
		case reply := <-p.closed:
			if reply != nil {
				err = reply
			}
			p.reason = p.session.newError("publish", ScopeChannel, "", err)
		case <-time.After(reasonDelay):
			return p.session.newError("publish", ScopeChannel, "", err)
		}
	}
	return p.reason
}

// DeclareQueue creates the queue where it is missing, and renews the lease of one that expires unused
// (x-expires). It uses a channel of its own, as a refusal closes the channel and would take unconfirmed
// messages along. But when ctx ends before the broker has answered, the connection is aborted, with all of
// them: there is no other way to end the call.
//
// The error is an *Error: of ScopeChannel and class Precondition if the queue exists with other properties,
// Exclusive if another connection holds it, Auth if the user may not or the name begins with "amq.",
// Resource beyond a limit; of ScopeConnection if the connection broke. A name or an argument that AMQP
// cannot carry is refused before anything is sent.
func (p *Publisher) DeclareQueue(ctx context.Context, name string, o QueueOptions) error {
	if err := checkDeclare(ctx, name, o); err != nil {
		return err
	}
	s := p.session
	return s.guarded(ctx, func() error {
		channel, err := s.link.openPlain()
		if err != nil {
			return s.newError("open channel", ScopeChannel, name, err)
		}
		if _, err := channel.QueueDeclare(name, o.Durable, o.AutoDelete, o.Exclusive, false, table(o.Arguments)); err != nil {
			failure := s.newError("declare queue", ScopeChannel, name, err)
			_ = channel.Close()
			return failure
		}
		_ = channel.Close() // the queue is there, whatever becomes of the channel
		return nil
	})
}

// Lost tells whether the connection or the channel is known to be gone: then nothing can be published any
// more, and the owner opens another Publisher. It is true before a message's error tells of a loss.
func (p *Publisher) Lost() bool {
	s := p.session
	// amqp091-go notices a moment after the socket broke.
	return s.Lost() || s.cause.Load() != nil || s.link.conn.firstError() != nil || p.channel.IsClosed()
}

// Blocked tells whether the broker has stopped reading because of an alarm: what is published now waits.
func (p *Publisher) Blocked() bool { return p.session.Blocked() }

// BlockedChanges tells when the broker stops and starts accepting messages because of an alarm.
func (p *Publisher) BlockedChanges() <-chan Blocked { return p.session.BlockedChanges() }

// Close waits for nothing that is still unconfirmed. It ends the connection gracefully; past ctx, and under
// an alarm, when the broker does not read that it ends, at once. The error is nil, or an *Error if it was
// not graceful; the connection is gone in any case.
func (p *Publisher) Close(ctx context.Context) error {
	p.unguard()
	p.guarded.Wait()
	p.session.Hurry()
	return p.session.Close(ctx)
}
