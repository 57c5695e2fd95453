package consumer

import (
	"fmt"
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/revival"
	"github.com/everhop/everhop/fsm"
)

// What is broken for long is set apart on a connection of its own, so that neither its queue nor its messages keep
// the others from being consumed:
//
//   - a subscription of which a call is overdue: its queue does not answer, and what waits for that blocks its channel;
//   - one whose channel is closed again and again soon after it began;
//   - one that cannot be consumed, by an error that waiting does not heal as a rule;
//   - the one for which a connection dies again and again soon after it began to consume: the subscriptions are split
//     in halves until it is alone;
//   - those for which there is no channel left on the connection.
//
// There it goes on trying, ever more rarely. What has been well for a while comes home, but for the last kind, and for
// queues that do not outlive their consumer or their connection.

const (
	// soonTolerated is how often in a row a connection may die soon, or a channel be closed, before that is taken for
	// the fault of what is consumed; suspectTolerated likewise where it was the fault of a part of it before.
	soonTolerated    = 3
	suspectTolerated = 2
	// mostConnections is how many connections there may be before one is not split any more, and what is set apart
	// shares one with others.
	mostConnections = 16
	// mostAbandoned is how many channels may wait for queues that do not answer before their connection is given up.
	mostAbandoned = 64
	// wellAfter is how long what is apart must be well before it comes home. It doubles with each time that it did not
	// stay well, up to wellAtMost.
	wellAfter  = time.Minute
	wellAtMost = time.Hour
	// apartBackoff bounds the time between two attempts to revive what is apart, overdueBackoff that of a queue that
	// did not answer, since to wait for that takes long enough.
	apartBackoff   = time.Minute
	overdueBackoff = 10 * time.Second
)

// considerFailure sets a subscription apart that could not be consumed, if that is better for the others, or for it.
func (s *supervisor) considerFailure(sub *subscription, o consumed) (apart bool, err error) {
	c, f := o.attempt.on, asBrokerError(o.err)
	if c.session != o.session { // all of them have failed
		return false, nil
	}
	alone, left := len(c.subscriptions) == 1, c.session.Abandoned()
	switch {
	case f.IsChannelLimit() && left > 0, f.Class == broker.Overdue && (alone || left >= mostAbandoned):
		s.drop(c) // what waits for queues that do not answer fills it up
		if alone && c == s.home && s.othersUp() {
			e := evidence(f)
			e.Note = "goes on apart: " + silentNote
			return false, s.leaveHome(c, e)
		}
		return false, nil
	case f.IsChannelLimit() && !alone:
		return true, s.overflow(c, sub, f)
	case !s.mayPart(c), f.Scope == broker.ScopeConnection:
		return false, nil
	case f.Class == broker.Overdue && !sub.spec.isBound():
		return true, s.setApart(sub, evidence(f), silentNote, overdueBackoff)
	case f.Class == broker.Overdue, s.config.FailFast, !s.isHopeless(f.Class):
		return false, nil
	}
	sub.hopeless = true
	return true, s.setApart(sub, evidence(f), "the others go on without it, and it is tried again", apartBackoff)
}

const silentNote = "its queue does not answer, and the others do not wait for it"

// mayPart tells whether one subscription of a connection may be set apart.
func (s *supervisor) mayPart(c *connection) bool {
	return len(c.subscriptions) > 1 && (c == s.home || len(s.connections) < mostConnections)
}

// isBound tells whether the queue, or its name, goes with the connection: as long as that lives, it cannot be consumed
// on another one.
func (s Subscription) isBound() bool {
	return s.Declare != nil && (s.Declare.Exclusive || s.Queue == "")
}

// stays tells whether it cannot be moved while it is consumed: its queue would be gone, or a single active consumer's
// role. A queue that is not declared here may be AutoDelete, or have a single active consumer: nobody can ask.
func (s Subscription) stays() bool {
	return s.isBound() || s.Declare == nil || s.Declare.AutoDelete || s.isSingleActive()
}

// considerSubscription looks at one that was lost.
func (s *supervisor) considerSubscription(sub *subscription, worked time.Duration, e Evidence) error {
	if worked >= revival.Stable {
		sub.soon = 0
	}
	sub.soon++
	switch {
	case s.stopping, !s.mayPart(sub.on), sub.spec.isBound():
		return nil
	case e.Class == string(broker.Overdue):
		return s.setApart(sub, e, silentNote, overdueBackoff)
	case sub.soon >= soonTolerated && worked < revival.Stable:
		return s.setApart(sub, e, fmt.Sprintf("it was lost soon after it began, %d times in a row", sub.soon), apartBackoff)
	}
	return nil
}

// considerConnection looks at one that has died.
func (s *supervisor) considerConnection(c *connection, e Evidence) error {
	tolerated := soonTolerated
	if c.suspect {
		tolerated = suspectTolerated
	}
	switch {
	case c.deaths < tolerated, s.stopping:
		return nil
	case len(c.subscriptions) > 1 && len(s.connections) < mostConnections:
		half := slices.Clone(c.subscriptions[len(c.subscriptions)/2:])
		note := fmt.Sprintf("the connection died soon after it began to consume, %d times in a row: %d of its %d subscriptions go on apart, to find out for which",
			c.deaths, len(half), len(c.subscriptions))
		for _, sub := range half {
			sub.apart = "a connection that it shared died again and again: to find out for which queue, it is on another one"
		}
		c.deaths, c.suspect, c.schedule.Flaps = 0, true, 0
		c.schedule.Hurry()
		other := s.part(c, half, 0)
		other.suspect = true
		e.Note, e.BackoffMS = note, 0
		s.noteOn(other, NoteApart, e)
		return nil // neither has a session
	case len(c.subscriptions) == 1 && (hasSpoken(e) || s.othersLive(c)):
		return s.blame(c, e)
	}
	return nil
}

// hasSpoken tells whether the broker has said why it closed a connection: then it was not the network. An operator, or
// a node that is shut down, closes it for reasons that have nothing to do with what is consumed.
func hasSpoken(e Evidence) bool { return e.Code != 0 && e.Code != codeConnectionForced }

const codeConnectionForced = 320

// othersLive tells whether another connection outlives this one again and again: then it is not the network either.
func (s *supervisor) othersLive(c *connection) bool {
	return slices.ContainsFunc(s.connections, func(other *connection) bool {
		return other != c && other.session != nil && other.since.Before(c.died[0])
	})
}

// dies takes note of how a connection has died, and counts how often in a row that was soon after something was
// consumed.
func (c *connection) dies(worked time.Duration, e Evidence) {
	if worked >= revival.Stable {
		c.deaths = 0
		for _, sub := range c.subscriptions {
			sub.oneByOne = false
		}
	}
	if worked >= wellAfter {
		c.suspect = false
	}
	c.died = [2]time.Time{c.died[1], time.Now()}
	if e.Code != codeConnectionForced && c.consumed {
		c.deaths++
	}
	if c.deaths >= soonTolerated && hasSpoken(e) {
		c.schedule.Rare = apartBackoff
	}
}

// blame tells for which subscription a connection dies. It is consumed one message at a time from now on.
func (s *supervisor) blame(c *connection, e Evidence) error {
	sub := c.subscriptions[0]
	leaves := c == s.home && len(s.connections) > 1
	if sub.oneByOne && !leaves {
		return nil
	}
	sub.oneByOne, c.schedule.Rare = true, apartBackoff
	e.Note = fmt.Sprintf("the connection died soon after it began to consume from this queue, %d times in a row: prefetch 1 from now on; %s",
		c.deaths, "look at the message in front of the queue, and at the broker's log")
	e.Prefetch, e.BackoffMS = 1, 0
	if leaves {
		return s.leaveHome(c, e)
	}
	s.noteOn(c, NoteApart, e)
	return nil
}

// setApart gives a subscription a connection of its own; when there are many, one that it shares.
func (s *supervisor) setApart(sub *subscription, e Evidence, why string, most time.Duration) error {
	from := sub.on
	sub.apart = why
	if sub.trouble.text == "" {
		sub.trouble = troubleOf(e)
	}
	e.Note, e.BackoffMS, e.Queue = "goes on apart, on a connection of its own: "+why, 0, sub.spec.Queue
	if shared := s.refuge(from); shared != nil {
		e.Note = "goes on apart, with others: " + why
		s.join(sub, shared)
	} else {
		s.part(from, []*subscription{sub}, most)
	}
	sub.soon = 0
	e.Note = joined(e.Note, adviceOn(broker.Class(e.Class), e.Code))
	s.noteOn(sub.on, NoteApart, e)
	return s.rise(from)
}

// refuge is the connection that what is set apart shares when there are as many as there may be; nil if it is to have
// its own.
func (s *supervisor) refuge(from *connection) (fewest *connection) {
	if len(s.connections) < mostConnections {
		return nil
	}
	for _, c := range s.connections {
		if c != s.home && c != from && !c.overflow && (fewest == nil || len(c.subscriptions) < len(fewest.subscriptions)) {
			fewest = c
		}
	}
	return fewest
}

// join moves a subscription to a connection that is there already, and not home.
func (s *supervisor) join(sub *subscription, to *connection) {
	s.move(sub, to)
	if to.up {
		to.up, to.entered = false, time.Now()
	}
	if to.session != nil {
		to.schedule.Hurry()
	}
}

// overflow moves a subscription for which there is no channel to another connection, where there is room.
func (s *supervisor) overflow(from *connection, sub *subscription, f *broker.Error) error {
	full := from.session.Room()
	sub.apart = fmt.Sprintf("there are more subscriptions than a connection has channels for (%d)", full)
	for _, c := range s.connections {
		if c != from && c != s.home && c.overflow && len(c.subscriptions) < full {
			s.join(sub, c)
			return s.rise(from)
		}
	}
	c := s.part(from, []*subscription{sub}, apartBackoff)
	c.overflow = true
	e := evidence(f)
	e.Queue = ""
	e.Note = fmt.Sprintf("more subscriptions than a connection has channels for (%d): the rest is consumed on others", full)
	s.record(fsm.KindNote, NoteApart, e)
	return s.rise(from)
}

// part moves some of a connection's subscriptions to a new one. There are others left, which may be complete now.
func (s *supervisor) part(from *connection, subs []*subscription, most time.Duration) *connection {
	backoff := revival.Backoff(s.config.ReviveBackoff)
	backoff.Max = max(backoff.Max, most)
	c := &connection{generation: from.generation, first: from.first, entered: time.Now(), changed: time.Now(), schedule: revival.Schedule{Backoff: backoff, Attempt: 1}}
	s.connections = append(s.connections, c)
	for _, sub := range subs {
		s.move(sub, c)
	}
	c.schedule.Hurry()
	return c
}

// move gives a subscription another connection. What it had on the last one is closed there.
func (s *supervisor) move(sub *subscription, to *connection) {
	from := sub.on
	old := sub.retired
	if sub.live != nil {
		old = sub.lose()
	}
	if old != nil {
		s.background.Go(func() { _ = sub.retire(s.calls, old) })
	}
	sub.retired, sub.attempt = nil, nil
	sub.on = to
	from.subscriptions = slices.DeleteFunc(from.subscriptions, func(other *subscription) bool { return other == sub })
	to.subscriptions = append(to.subscriptions, sub)
	slices.SortFunc(to.subscriptions, func(x, y *subscription) int { return x.index - y.index })
}

// leaveHome has another connection be the one that the lifecycle is about, since what is consumed on this one alone is
// broken.
func (s *supervisor) leaveHome(c *connection, e Evidence) error {
	for _, other := range s.connections {
		if other != c && (s.home == c || other.up && (!s.home.up || len(other.subscriptions) > len(s.home.subscriptions))) {
			s.home = other
		}
	}
	c.schedule.Rare = apartBackoff
	for _, sub := range c.subscriptions {
		sub.apart = e.Note
	}
	s.noteOn(c, NoteApart, e)
	if s.home.up {
		return s.risen(s.home, time.Since(c.entered))
	}
	return nil
}

// othersUp tells whether there is another home to be had.
func (s *supervisor) othersUp() bool {
	return slices.ContainsFunc(s.connections, func(c *connection) bool { return c != s.home && c.up })
}

// giveUpOn is for a failure that trying again cannot help, or with reason may not. What else is consumed goes on. When
// there is nothing that may be, the run ends.
func (s *supervisor) giveUpOn(c *connection, t fsm.Trigger, f *broker.Error, reason error) error {
	missing := slices.DeleteFunc(slices.Clone(c.subscriptions), func(sub *subscription) bool { return sub.live != nil })
	consumed := slices.ContainsFunc(s.subscriptions, func(sub *subscription) bool { return sub.live != nil })
	ofAll := f.Scope == broker.ScopeConnection && reason == nil && !consumed // no other one would fare better
	hope := slices.ContainsFunc(s.subscriptions, func(sub *subscription) bool { return !sub.hopeless && !slices.Contains(missing, sub) })
	if s.config.FailFast || ofAll || !hope {
		return s.giveUp(c, t, f, reason)
	}
	e := evidence(f)
	e.Attempt = c.schedule.Attempt
	c.schedule.Attempt++
	note := "given up for now: tried again now and then, and the others go on"
	e.BackoffMS = c.schedule.Failed().Milliseconds()
	if c != s.home {
		e.Note = note
		name := NoteGivenUp
		if c.givenUp() {
			name = NoteApartFailed
		}
		s.noteOn(c, name, e)
		for _, sub := range missing {
			sub.hopeless = true
		}
		return nil
	}
	for _, sub := range missing {
		sub.hopeless = true
	}
	if len(missing) == len(c.subscriptions) {
		e.Note = note
		return s.leaveHome(c, e)
	}
	for _, sub := range missing {
		e.Queue = sub.spec.Queue
		if err := s.setApart(sub, e, note, apartBackoff); err != nil {
			return err
		}
	}
	return nil
}

// giveUp ends the run.
func (s *supervisor) giveUp(c *connection, t fsm.Trigger, f *broker.Error, reason error) error {
	state := s.machine.State()
	e := evidence(f)
	e.Attempt = c.schedule.Attempt
	if state == Consuming || state == HeartbeatCheck { // something apart has failed, and with FailFast it speaks for all
		if err := s.fire(ChannelError, e); err != nil {
			return err
		}
		s.home.up = false
	}
	if state == Connecting {
		t = FatalError
	}
	if err := s.fire(t, e); err != nil {
		return err
	}
	var cause error = f
	if reason != nil {
		cause = fmt.Errorf("%w after %d attempts: %w", reason, c.schedule.Attempt, f)
	}
	s.result = &Error{State: state, Class: f.Class, Endpoint: f.Endpoint, Err: cause}
	s.stopSoftly()
	return nil
}
