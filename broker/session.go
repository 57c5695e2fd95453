package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Session is one generation: a connection, a control channel for probes, and one channel for each
// subscription that is consumed. It is never revived: a new generation is a new Session, so nothing
// of an old one can act on a new one.
//
// All methods may be called from any goroutine. A Session must be ended with Close or Abort.
type Session struct {
	generation uint64
	plan       *Plan
	link       *link
	control    *amqp.Channel
	probes     probes
	names      []string // of the queues that the broker named, by subscription; "" before
	losses     chan Loss
	blocked    chan Blocked
	isBlocked  atomic.Bool
	impatient  atomic.Bool // not to be closed gracefully while it is blocked
	abandoned  atomic.Int64

	ending  atomic.Bool   // Close or Abort began: what breaks now is no loss
	ended   chan struct{} // closed with ending
	cause   atomic.Value  // error: why it was aborted
	endOnce sync.Once
	watches sync.WaitGroup

	mu   sync.Mutex
	over bool          // Abort waits for watches: none is to begin any more
	gone chan struct{} // closed with over
}

// Loss tells that something broke which had worked.
type Loss struct {
	// Generation is that of the session which reports.
	Generation uint64
	// Consumer is what was lost; nil if the whole connection was.
	Consumer *Consumer
	// Err says scope, class and cause.
	Err *Error
}

// Blocked tells that the broker stopped reading from the connection because of an alarm
// (connection.blocked), or that it reads again.
type Blocked struct {
	Generation uint64
	Active     bool
	Reason     string
}

// Open connects and opens the control channel; nothing is consumed yet. The generation is a number of the
// caller's choice, by which losses and deliveries tell where they come from. The endpoints are tried from
// first on, modulo their number. Open ends when ctx does, and needs no longer than the plan's ConnectTimeout
// plus the time to find a peer silent. Every error is an *Error, or of Validate.
func Open(ctx context.Context, plan Plan, generation uint64, first int) (*Session, error) {
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	plan = plan.withDefaults()
	l, err := plan.connect(ctx, first)
	if err != nil {
		return nil, err
	}
	s := &Session{
		generation: generation,
		plan:       &plan,
		link:       l,
		losses:     make(chan Loss),
		blocked:    make(chan Blocked, 1),
		probes:     newProbes(),
		names:      make([]string, len(plan.Subscriptions)),
		ended:      make(chan struct{}),
		gone:       make(chan struct{}),
	}
	// Registered before anything else can happen on the connection, with a buffer: amqp091-go drops a notification that
	// nobody takes.
	closed := l.amqp.NotifyClose(make(chan *amqp.Error, 1))
	s.watches.Go(func() { s.watch(closed) })
	s.watches.Go(s.watchBlocked)

	err = s.guarded(ctx, func() error {
		control, err := l.amqp.Channel()
		if err != nil {
			return s.newError("open control channel", ScopeConnection, "", err)
		}
		s.control = control
		return nil
	})
	if err != nil {
		s.Abort()
		return nil, err
	}
	s.watches.Go(s.probe)
	return s, nil
}

// Generation is the number given to Open.
func (s *Session) Generation() uint64 { return s.generation }

// Endpoint is where the session is connected.
func (s *Session) Endpoint() Endpoint { return s.link.endpoint }

// ServerVersion is the version that the broker has named, such as 4 and 3 of 4.3.6; 0 and 0 if it has not.
func (s *Session) ServerVersion() (major, minor int) {
	version, _ := s.link.amqp.Properties["version"].(string)
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return 0, 0
	}
	return major, minor
}

// Room is how many subscriptions the connection has channels for (channel_max): the session needs one itself.
func (s *Session) Room() int { return int(s.link.amqp.Config.ChannelMax) - 1 }

// Losses reports what breaks, once for each thing that breaks. It has no buffer and nothing is
// dropped: one receiver must receive until the session is ended. It is never closed.
func (s *Session) Losses() <-chan Loss { return s.losses }

// BlockedChanges reports connection.blocked and unblocked; of several that nobody received, the last.
func (s *Session) BlockedChanges() <-chan Blocked { return s.blocked }

// Lost tells whether the connection is known to be gone.
func (s *Session) Lost() bool { return s.ending.Load() || s.link.amqp.IsClosed() }

// Abandoned is how many channels wait for an answer that is overdue. A call that ends with class Overdue leaves one
// behind, until that is answered after all or the connection ends; meanwhile what it had delivered is withheld from
// other consumers. Who tries again and again on one session piles them up, and they count towards the broker's
// channel_max: past some number it is time for another session.
func (s *Session) Abandoned() int { return int(s.abandoned.Load()) }

// broken tells whether the connection is gone, or about to be: amqp091-go notices a moment after the socket broke.
func (s *Session) broken() bool {
	return s.link.amqp.IsClosed() || s.cause.Load() != nil || s.link.conn.firstError() != nil
}

// spawn runs f on a goroutine that Abort waits for. It returns false, and does not run it, once that has happened.
func (s *Session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.watches.Go(f)
	return true
}

// watch turns the end of the connection into a Loss, unless it was asked for.
func (s *Session) watch(closed <-chan *amqp.Error) {
	reply := <-closed // nil if the channel was closed without an error: a loss all the same
	var err error = amqp.ErrClosed
	if reply != nil {
		err = reply
	}
	if !s.ending.Load() {
		s.plan.blame(s.link.target)
	}
	s.report(Loss{Generation: s.generation, Err: s.newError("connection", ScopeConnection, "", err)})
}

func (s *Session) report(l Loss) {
	if s.ending.Load() {
		return
	}
	select {
	case s.losses <- l:
	case <-s.ended:
	}
}

func (s *Session) watchBlocked() {
	for {
		var latest alarm
		select {
		case latest = <-s.link.demux.alarms:
		case <-s.gone:
			return
		}
		s.isBlocked.Store(latest.active)
		s.link.conn.setPatient(latest.active)
		if latest.active && s.impatient.Load() {
			s.abort(errBlocked)
		}
		select { // this goroutine is the only sender, so there is room after this
		case <-s.blocked:
		default:
		}
		s.blocked <- Blocked{Generation: s.generation, Active: latest.active, Reason: latest.reason}
	}
}

// newError explains an error of amqp091-go by what really happened underneath: which I/O error broke
// the socket, or why we aborted it.
func (s *Session) newError(op string, scope Scope, queue string, err error) *Error {
	var reply *amqp.Error
	fromBroker := errors.As(err, &reply) && reply.Server
	broken := s.link.conn.firstError()
	cause, aborted := s.cause.Load().(error)
	switch {
	case broken != nil && !fromBroker:
		err, scope = broken, ScopeConnection
	case aborted && !fromBroker:
		err, scope = cause, ScopeConnection
	case s.link.amqp.IsClosed(): // by the broker, while something was asked of a channel
		scope = ScopeConnection
	}
	return s.link.newError(op, scope, queue, err)
}

// guarded runs calls into amqp091-go that concern the connection as a whole; see request for those about one queue.
// None takes a context or has a time limit. When ctx ends, the broker goes silent or an answer is overdue, the
// connection is aborted, and that makes them return.
func (s *Session) guarded(ctx context.Context, calls func() error) error {
	ctx, cancel := s.limited(ctx, errCallTimeout)
	stop := context.AfterFunc(ctx, func() { s.abort(context.Cause(ctx)) })
	var guard sync.WaitGroup
	guard.Go(func() { s.guard(ctx) })
	err := calls()
	stop()
	cancel()
	guard.Wait()
	return err
}

// alarmFactor is how much longer an answer may take while the broker says that it does not read.
const alarmFactor = 3

// limited is a ctx that ends with the time for a call too, and then for that cause. It must be cancelled.
func (s *Session) limited(ctx context.Context, overdue error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var clock sync.WaitGroup
	clock.Go(func() {
		for range alarmFactor {
			select {
			case <-ctx.Done():
				return
			case <-time.After(s.plan.CallTimeout):
			}
			if !s.Blocked() {
				break
			}
		}
		cancel(overdue)
	})
	return ctx, func() {
		cancel(nil)
		clock.Wait()
	}
}

// Close ends the session gracefully: the broker is told, and answers. Past ctx, and when the broker
// goes silent, it is aborted instead. Deliveries that were not acknowledged go back to their queue. While channels
// are abandoned RabbitMQ does not answer; then it is only made sure that it has read all before the connection ends.
func (s *Session) Close(ctx context.Context) error {
	if !s.end() {
		s.Abort()
		return nil
	}
	farewell := s.link.amqp.Close
	if s.Abandoned() > 0 {
		farewell = s.lastProbe
	}
	err := s.guarded(ctx, func() error {
		if err := farewell(); err != nil {
			return s.newError("close", ScopeConnection, "", err)
		}
		return nil
	})
	s.Abort()
	return err
}

// Hurry makes the close, that follows or has begun, one that waits for no alarm to end.
func (s *Session) Hurry() {
	s.impatient.Store(true)
	if s.Blocked() { // or watchBlocked sees it from now on
		s.abort(errBlocked)
	}
}

// Abort ends the session at once, without a word to the broker, and waits until nothing of it is
// left, which takes milliseconds whatever the peer does. Idempotent.
func (s *Session) Abort() {
	s.end()
	s.abort(errAborted)
	s.link.abort() // what waits for an answer returns
	s.mu.Lock()
	if !s.over {
		s.over = true
		close(s.gone)
	}
	s.mu.Unlock()
	s.watches.Wait()
}

// abort takes the socket away; whoever waits on it returns. The first cause stays.
func (s *Session) abort(cause error) {
	s.cause.CompareAndSwap(nil, fmt.Errorf("%w", cause)) // one concrete type, as atomic.Value wants
	s.link.conn.abort()
}

// end marks that what breaks from now on is no loss.
func (s *Session) end() (first bool) {
	s.endOnce.Do(func() {
		first = true
		s.ending.Store(true)
		close(s.ended)
	})
	return first
}
