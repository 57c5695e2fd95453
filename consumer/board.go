package consumer

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// board is where a consumer shows what it does. The supervisor writes to it after each of its turns, and before it
// commits a transition; whoever looks waits for nobody.
//
//	facts, when they have changed --> shown, subscriptions[i].shown --> Status
//	a transition ------------------> entered ------------------------/
//	the workers' stamps and counts --------------------------------/
type board struct {
	epoch         time.Time // of all stamps
	subscriptions []*subscriptionStatus
	shown         atomic.Pointer[shown]
	entered       atomic.Pointer[entered]
	stalls        atomic.Pointer[Stalls]
	started       atomic.Bool
	stopping      instant // since somebody wants it to end; its stamp is 0 before
	pulse         pulse
	result        atomic.Pointer[result] // nil as long as Run has not returned
}

// result is how Run has ended.
type result struct {
	err error
	at  time.Time
}

func newBoard(c Config, counts []counts) *board {
	b := &board{epoch: time.Now()}
	b.pulse.epoch = b.epoch
	for i := range c.Subscriptions {
		b.subscriptions = append(b.subscriptions, &subscriptionStatus{
			board: b, spec: &c.Subscriptions[i], counts: &counts[i],
		})
	}
	b.shown.Store(&shown{})
	b.entered.Store(&entered{since: b.epoch})
	return b
}

func (b *board) begin() {
	b.pulse.begin()
	b.started.Store(true)
}

// stop notes that it is to end; only the first time counts.
func (b *board) stop() {
	if b.stopping.stamp.Load() == 0 {
		b.pulse.note(&b.stopping)
	}
}

func (b *board) isStopping() bool { return b.stopping.stamp.Load() != 0 }

func (b *board) end(err error) {
	b.pulse.end()
	b.result.Store(&result{err, time.Now()})
}

// stalled notes that the process stood still until now; not if that took no time.
func (b *board) stalled(now time.Time, took time.Duration) {
	if took <= 0 {
		return
	}
	next := Stalls{Count: 1, Last: now, Took: took}
	if before := b.stalls.Load(); before != nil {
		next.Count += before.Count
	}
	b.stalls.Store(&next)
}

// entered is when a state was entered.
type entered struct {
	seq   uint64 // of the transition; 0: there was none in this run
	since time.Time
}

// follow tells when the state was entered that an event has led to: an idle check, or one more failed attempt, is not
// another one.
func (n *entered) follow(e *fsm.Event) *entered {
	if e.Kind != fsm.KindTransition || e.Seq <= n.seq {
		return n
	}
	if e.From == e.To || e.Trigger == DrainTimeout || e.Trigger == HeartbeatOK {
		return &entered{e.Seq, n.since}
	}
	return &entered{e.Seq, e.Time}
}

// shown is what the supervisor has shown last. It is never changed.
type shown struct {
	connections []connectionFacts
	groups      groups
}

type connectionFacts struct {
	session       *broker.Session
	home          bool
	endpoint      string
	generation    uint64
	since         time.Time
	blockedSince  time.Time
	blockedReason string
	attempt       int
	next          time.Time
	trouble       trouble
	subscriptions int
}

// trouble is how something has failed last.
type trouble struct{ text, class string }

func troubleOf(e Evidence) trouble { return trouble{e.Error, e.Class} }

type subscriptionFacts struct {
	doing       Doing
	why         string
	until       time.Time
	class       string
	apart       string
	named       string
	generation  uint64
	prefetch    int
	maxPrefetch int
}

type shownSubscription struct {
	subscriptionFacts
	since time.Time
}

// groups are the subscriptions that do not consume, by the reason.
type groups struct{ missing, paused, breaker, apart, givenUp group }

type group struct {
	queues int
	queue  string // the first one's, as the next two
	why    string
	since  time.Time
}

func (g *group) add(queue string, s *shownSubscription, why string) {
	if g.queues++; g.queues == 1 {
		g.queue, g.why, g.since = queue, why, s.since
	}
}

// show shows what has changed since it was called last.
func (s *supervisor) show() {
	var now time.Time // once something has
	var g groups
	for _, sub := range s.subscriptions {
		place := s.board.subscriptions[sub.index]
		was := place.shown.Load()
		facts := s.factsOf(sub, was)
		if was == nil || facts != was.subscriptionFacts {
			if now.IsZero() {
				now = time.Now()
			}
			is := &shownSubscription{facts, now}
			if was != nil && was.doing == is.doing {
				is.since = was.since
			}
			place.shown.Store(is)
			was = is
		}
		if was.doing != DoingConsume {
			g.put(sub, was)
		}
	}
	s.showing = s.showing[:0]
	for _, c := range s.connections {
		s.showing = append(s.showing, s.factsOfConnection(c))
	}
	last := s.board.shown.Load()
	if g != last.groups || !slices.Equal(s.showing, last.connections) {
		s.board.shown.Store(&shown{slices.Clone(s.showing), g})
	}
}

func (g *groups) put(sub *subscription, s *shownSubscription) {
	queue := or(sub.spec.Queue, s.named)
	switch {
	case s.doing == DoingTry:
		g.givenUp.add(queue, s, s.why)
	case s.doing == DoingPause:
		g.paused.add(queue, s, s.why)
	case s.doing == DoingBreak:
		g.breaker.add(queue, s, s.why)
	case s.apart != "":
		g.apart.add(queue, s, joined(s.apart, s.why))
	default:
		g.missing.add(queue, s, s.why)
	}
}

// factsOf is what a subscription is to show; was is what it has shown, or nil.
func (s *supervisor) factsOf(sub *subscription, was *shownSubscription) subscriptionFacts {
	f := subscriptionFacts{generation: sub.on.generation, named: sub.named, maxPrefetch: sub.prefetch}
	if sub.on != s.home {
		f.apart = or(sub.apart, "apart from the others")
	}
	switch {
	case sub.live == nil:
		f.doing = DoingRevive
		if sub.hopeless {
			f.doing = DoingTry
		}
		why := sub.trouble
		if why.text == "" {
			why = sub.on.trouble
		}
		f.why, f.class = why.text, why.class
	case sub.paused:
		f.doing, f.why = DoingPause, "paused by the caller (Pause), until Resume"
	case sub.tripped:
		f.doing, f.why, f.until = DoingBreak, sub.tripWhy, sub.rests
	case sub.applied.Paused && was != nil: // the broker has not yet confirmed that it is resumed
		f.doing, f.why = was.doing, was.why
	default:
		f.doing = DoingConsume
		if !sub.window.isHeld() {
			f.prefetch = sub.applied.Prefetch
		}
	}
	return f
}

func (s *supervisor) factsOfConnection(c *connection) connectionFacts {
	f := connectionFacts{
		session: c.session, home: c == s.home, generation: c.generation, since: c.changed, trouble: c.trouble,
		subscriptions: len(c.subscriptions), blockedSince: c.blockedSince, blockedReason: c.blockedReason,
	}
	if c.session != nil {
		f.endpoint = c.address
	}
	if !c.up {
		f.attempt = c.schedule.Attempt
		if s.isPending(c) {
			f.next = c.schedule.At()
		}
	}
	return f
}
