package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/revival"
	"github.com/everhop/everhop/fsm"
)

// connection is one over which subscriptions are consumed, and how it is revived. All begin on one, home, which the
// consumer's lifecycle is about. What is broken for long is set apart on another one (apart.go), so that it keeps
// nothing else from being consumed.
type connection struct {
	subscriptions []*subscription // in the order of the configuration

	session    *broker.Session // nil: to be opened
	generation uint64          // of the session, or of the one that is being opened
	since      time.Time       // the session is there
	changed    time.Time       // it came to be there, or ceased to be
	address    string          // of the session
	consumed   bool            // something was, in this session
	dropped    chan struct{}   // closed when the session is not in use any more
	first      int             // the endpoint that is tried first

	up       bool      // everything is consumed, and nothing has been lost since
	entered  time.Time // since when it is up, or is not
	schedule revival.Schedule
	opening  context.CancelFunc // nil while no session is being opened
	attempts int                // under way
	probing  bool
	failing  time.Time // since when it fails by what waiting does not heal as a rule; see healing

	overflow bool         // the broker permits no more channels on one connection: this one stays
	suspect  bool         // it was split from one that had died again and again
	deaths   int          // in a row, soon after something was consumed
	died     [2]time.Time // the last but one, and the last time

	trouble       trouble   // how it was lost, or an attempt has failed; none if it is up
	blockedSince  time.Time // the broker does not read since then; zero: it does
	blockedReason string
}

// complete tells whether every subscription has its consumer.
func (c *connection) complete() bool {
	return c.session != nil && !slices.ContainsFunc(c.subscriptions, func(sub *subscription) bool { return sub.live == nil })
}

// missing are the subscriptions without a consumer that no attempt is concerned with.
func (c *connection) missing() (missing []*subscription) {
	for _, sub := range c.subscriptions {
		if sub.live == nil && sub.attempt == nil {
			missing = append(missing, sub)
		}
	}
	return missing
}

// attemptPending tells whether an attempt is to begin.
func (c *connection) attemptPending() bool {
	switch {
	case c.up, c.opening != nil:
		return false
	case c.session == nil:
		return c.attempts == 0
	case c.session.Lost(): // its Loss is about to be told
		return false
	}
	return len(c.missing()) > 0
}

// givenUp tells whether all that it is for is only tried now and then.
func (c *connection) givenUp() bool {
	return !slices.ContainsFunc(c.subscriptions, func(sub *subscription) bool { return !sub.hopeless })
}

// watched tells whether the broker's silence is the supervisor's business: an attempt watches over the connection
// that it works on.
func (c *connection) watched() bool { return c.session != nil && !c.probing && c.attempts == 0 }

// silence is how long the broker has been silent without a reason. While it is blocked it would not
// answer a probe; only amqp091-go's heartbeat tells then that it lives.
func (c *connection) silence() time.Duration {
	if c.session.Blocked() {
		return 0
	}
	return c.session.Silence()
}

// take puts a session into its place, and has the supervisor hear of what happens to it.
func (s *supervisor) take(c *connection, session *broker.Session) {
	c.session, c.since, c.consumed, c.dropped = session, time.Now(), false, make(chan struct{})
	c.changed, c.address = c.since, session.Endpoint().String()
	c.first = slices.Index(s.plan.Endpoints, session.Endpoint())
	dropped := c.dropped
	s.background.Go(func() {
		for heard := true; heard; {
			select {
			case l := <-session.Losses():
				heard = s.post(loss{c, session, l})
			case b := <-session.BlockedChanges():
				heard = s.post(blocked{c, session, b})
			case <-dropped:
				return
			case <-s.gone:
				return
			}
		}
	})
}

// release gives up the session, and returns it; whoever works on it is to find it closed.
func (c *connection) release() *broker.Session {
	session := c.session
	c.session, c.probing, c.changed = nil, false, time.Now()
	c.blockedSince, c.blockedReason = time.Time{}, ""
	close(c.dropped)
	for _, sub := range c.subscriptions {
		sub.lose()
		sub.retired = nil
	}
	return session
}

// drop gives up the session of a connection that does not work any more.
func (s *supervisor) drop(c *connection) {
	c.first++ // another endpoint than the one that failed
	s.background.Go(c.release().Abort)
}

// endpoint is where it is connected, if it is.
func (c *connection) endpoint() string {
	if c.session == nil {
		return ""
	}
	return c.address
}

// noteOn commits a note about a connection, which is one about its subscription if that is the only one.
func (s *supervisor) noteOn(c *connection, name string, e Evidence) {
	e.Generation = or(e.Generation, c.generation)
	e.Endpoint = or(e.Endpoint, c.endpoint())
	if len(c.subscriptions) == 1 {
		e.Queue = c.subscriptions[0].spec.Queue
	}
	s.record(fsm.KindNote, name, e)
}

// blocked says that the broker has stopped reading from a connection, or reads again.
type blocked struct {
	on      *connection
	session *broker.Session
	change  broker.Blocked
}

func (b blocked) apply(s *supervisor) error {
	if b.on.session != b.session {
		return nil
	}
	name, note := NoteUnblocked, "the broker reads again (connection.unblocked)"
	b.on.blockedSince, b.on.blockedReason = time.Time{}, ""
	if b.change.Active {
		b.on.blockedSince, b.on.blockedReason = time.Now(), b.change.Reason
		name, note = NoteBlocked, "the broker stopped reading (connection.blocked: "+b.change.Reason+"); only heartbeats tell that it lives"
	}
	s.record(fsm.KindNote, name, Evidence{Generation: b.change.Generation, Endpoint: b.on.endpoint(), Note: note})
	return nil
}
