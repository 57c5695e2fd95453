package publish

import (
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// Status is what a publisher does at one moment.
type Status struct {
	Name string `json:"name"`
	// Time is when it was looked at.
	Time time.Time `json:"time"`
	// State is where the publisher is in its Lifecycle, and Since when it came there.
	State fsm.State `json:"state"`
	Since time.Time `json:"since"`
	// Endpoint is host:port; empty while there is no connection. Generation counts the connections of a run.
	Endpoint   string `json:"endpoint,omitempty"`
	Generation uint64 `json:"generation"`
	// Silence is for how long nothing has come in; 0 if there is no connection.
	Silence time.Duration `json:"silence_ns"`
	// BlockedReason are the broker's words with connection.blocked.
	BlockedReason string `json:"blocked_reason,omitempty"`
	// Attempt counts the attempts since the connection was lost, and NextAttempt is when the next one begins; zero while
	// one is under way. Error is how the last one failed, or why it was lost.
	Attempt     int       `json:"attempt,omitempty"`
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	Error       string    `json:"error,omitempty"`
	Class       string    `json:"class,omitempty"`
	// OldestUnconfirmed is when the oldest message that awaits its confirm, or room in the window, was given to it; zero if
	// there is none.
	OldestUnconfirmed time.Time `json:"oldest_unconfirmed,omitzero"`
	Stats             Stats     `json:"stats"`
}

// Status never blocks for long: nobody who waits for the broker, or for a journal, holds what it needs.
func (p *Publisher) Status() Status {
	entered := p.entered.Load() // before the state, which it is not to be ahead of
	last, is := p.machine.Last(), p.shown.Load()
	s := Status{
		Name: p.config.Name, Time: time.Now(), State: last.To, Since: entered.follow(&last).since,
		Endpoint: is.endpoint, Generation: is.generation, BlockedReason: is.blockedReason,
		Attempt: is.attempt, NextAttempt: is.next, Error: is.trouble, Class: is.class,
	}
	s.Stats, s.OldestUnconfirmed = p.ledger.look()
	if is.session != nil {
		s.Silence = is.session.Silence()
	}
	return s
}

// entered is when a state was entered.
type entered struct {
	seq   uint64 // of the transition; 0: there was none in this run
	since time.Time
}

// follow tells when the state was entered that an event has led to: one more failed attempt is not another one.
func (n *entered) follow(e *fsm.Event) *entered {
	switch {
	case e.Kind != fsm.KindTransition || e.Seq <= n.seq:
		return n
	case e.From == e.To:
		return &entered{e.Seq, n.since}
	}
	return &entered{e.Seq, e.Time}
}

// facts are what the supervisor shows after each of its turns.
type facts struct {
	session        *broker.Session
	endpoint       string
	generation     uint64
	blockedReason  string
	attempt        int
	next           time.Time
	trouble, class string
}

// show shows what has changed since it was called last.
func (s *supervisor) show() {
	f := facts{session: s.session, generation: s.generation}
	if s.session != nil {
		f.endpoint, f.blockedReason = s.address, s.blockedReason
	}
	if s.lane == nil {
		f.trouble, f.class = s.trouble, s.class
		if f.attempt = s.schedule.Attempt; s.opening == nil && !s.schedule.Due() {
			f.next = s.schedule.At()
		}
	}
	if f != *s.shown.Load() {
		s.shown.Store(&f)
	}
}

// look is the statistics, and when the oldest message that is not settled was accepted.
func (l *ledger) look() (s Stats, oldest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first *Confirmation
	see := func(c *Confirmation) {
		if first == nil || c.number < first.number {
			first = c
		}
	}
	front := func(q *queue) {
		if q.len() > 0 {
			see(q.first())
		}
	}
	for _, t := range l.targets {
		front(&t.waiting)
		front(&t.held)
	}
	front(&l.outgoing)
	front(&l.doubtful)
	for _, on := range l.sides {
		for _, c := range on.open {
			see(c)
		}
	}
	if l.main != nil {
		for _, c := range l.main.open {
			see(c)
		}
	}
	if first != nil {
		oldest = first.accepted
	}
	return l.summed(), oldest
}
