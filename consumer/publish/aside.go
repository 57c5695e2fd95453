package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
)

// This file is about a queue that confirms nothing, and what RabbitMQ makes of it. Its flow control
// (https://www.rabbitmq.com/docs/flow-control) lets a channel have 400 messages on their way to a classic queue, or 32 to a
// quorum queue. Once a queue has taken none of those, the channel gets 400 more from its connection, for whatever queue they
// are, and then nothing more is read from the whole connection. These credits are given back 200 at a time. A quorum queue
// without a leader holds up a channel with the first message already, and all that comes after it there.
//
// So no more than 200 messages are written to a lane after one that is not confirmed, and one target has half of those at
// most, as long as it is not known that confirms flow. When that one stays, the lane is set aside: it awaits its confirms, with
// nothing written to it, while all other targets go on over a new one. What goes to the same targets waits behind, so that the
// order stays.

const (
	// defaultCredit is how many messages may be written to a lane after the oldest one that is not confirmed.
	defaultCredit = 200
	// leastFlowing is for how long that one may be the oldest, and yet more are written: else a fast publisher would wait for
	// each of its confirms. Before, as many as the credit must have been confirmed on one lane of the connection.
	leastFlowing = 20 * time.Millisecond
	// leastPatience is for how long it may, if others may have to wait for it.
	leastPatience = 250 * time.Millisecond
	// mostPatience bounds what is made of confirms that take long, as those of a broker that is far away or has slow disks.
	mostPatience = 6 * time.Second
	// worthTelling is for how long nothing on a lane beside the main one is confirmed, until that is told.
	worthTelling = time.Second
	// closePatience is for how long the answer to the close of a channel is waited for.
	closePatience = time.Second
	// mostAside is how many lanes may be aside at a time.
	mostAside = 64
)

// measured notes how long a confirm has taken. One from a queue that was stuck says little of the others.
func (l *ledger) measured(took time.Duration) {
	const weight = 4
	if took = min(took, 2*l.patience()); l.usual == 0 {
		l.usual = took
	}
	l.usual += (took - l.usual) / weight
}

func (l *ledger) flowing() time.Duration { return max(leastFlowing, l.usual) }

func (l *ledger) patience() time.Duration { return min(max(leastPatience, 3*l.usual), mostPatience) }

// span is how many messages were written since the oldest one that is not settled, and with it.
func (l *lane) span() uint64 { return l.sent + 1 - l.lowest }

// flows tells whether confirms come in on a lane.
func (l *ledger) flows(on *lane) bool { return l.proven && time.Since(on.moved) < l.flowing() }

// isStuck tells whether the main lane is to be set aside for what is outgoing first.
func (l *ledger) isStuck(on *lane) bool {
	if on.span() == 0 || l.restOfPatience(on) > 0 {
		return false
	}
	return on.span() >= on.credit || on.open[on.lowest].target != l.outgoing.first().target
}

// remember keeps when a target was confirmed last, though it has nothing under way any more. That is worth something only
// where confirms take long: there, all that was sent to it may be confirmed at once.
func (l *ledger) remember(name targetName, moved time.Time) {
	if l.usual <= leastFlowing || time.Since(moved) >= l.usual {
		return
	}
	const few = 1024
	if n := len(l.moved); n >= few && n >= 2*l.kept {
		maps.DeleteFunc(l.moved, func(_ targetName, moved time.Time) bool { return time.Since(moved) >= l.flowing() })
		l.kept = len(l.moved)
	}
	l.moved[name] = moved
}

// recall takes what was remembered; the zero time if that is nothing.
func (l *ledger) recall(name targetName) time.Time {
	moved := l.moved[name]
	delete(l.moved, name)
	return moved
}

// restOfPatience is how long a lane is still waited for.
func (l *ledger) restOfPatience(on *lane) time.Duration {
	since := on.moved
	if on.tried.After(since) {
		since = on.tried
	}
	return l.patience() - time.Since(since)
}

// mustWait tells whether what goes to a target has to wait for what is under way to it.
func (l *ledger) mustWait(t *target) bool {
	switch {
	case t.doubts > 0:
		return true
	case t.plain < int(max(l.credit/2, 1)):
		return false
	}
	return l.main == nil || !l.flows(l.main) || time.Since(t.moved) >= l.flowing()
}

// awaitConfirm waits until more may be written to the main lane, or it is to be set aside.
func (l *ledger) awaitConfirm(on *lane) {
	on.heldUp = true
	l.waitAtMost(&l.wakeMain, l.restOfPatience(on))
	on.heldUp = false
}

// waitAtMost waits to be woken; no time at all is endless.
func (l *ledger) waitAtMost(wake *sync.Cond, d time.Duration) {
	if d > 0 {
		defer time.AfterFunc(d, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			wake.Broadcast()
		}).Stop()
	}
	wake.Wait()
}

func (l *ledger) countAside() (n int) {
	for _, on := range l.sides {
		if on.aside {
			n++
		}
	}
	return n
}

// setAside takes the main lane out of use, but for the confirms of what is on it.
func (l *ledger) setAside(on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.main != on {
		return
	}
	l.main = nil
	on.aside = true
	for _, c := range on.open {
		c.way = onSide
		c.target.plain--
		c.target.doubts++
		c.target.join(on)
	}
	l.sides = append(l.sides, on)
	l.reconsider()
	l.wakeAll()
	l.retire(on)
}

// retire takes a lane that is aside out of use when it has all its confirms.
func (l *ledger) retire(on *lane) {
	if !on.aside || len(on.open) > 0 {
		return
	}
	if i := slices.Index(l.sides, on); i >= 0 {
		l.sides = slices.Delete(l.sides, i, i+1)
		close(on.done)
		l.wakeMain.Broadcast() // one more may be set aside
	}
}

// stay is for a lane that could not be set aside: that is tried again after a while.
func (l *ledger) stay(on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	on.leaving, on.tried = false, time.Now()
	l.wakeMain.Broadcast()
}

// stuck answers that the main lane is to be set aside.
func (s *supervisor) stuck(session *broker.Session, l *lane) error {
	if s.session != session || s.lane != l {
		return nil
	}
	dropped := s.dropped
	s.background.Go(func() {
		ctx, cancel := s.until(dropped)
		defer cancel()
		fresh, err := s.openLane(ctx, session)
		if err != nil {
			s.ledger.stay(l)
			return
		}
		s.post(func() error { return s.setAside(session, l, fresh) })
	})
	return nil
}

// setAside has messages go out on a fresh lane.
func (s *supervisor) setAside(session *broker.Session, l, fresh *lane) error {
	if s.session != session {
		return nil
	}
	if s.lane != l { // it has ended meanwhile, and there is or will be another one
		s.closeLane(fresh)
		return nil
	}
	s.lane = fresh
	s.ledger.setAside(l)
	s.watchLane(fresh)
	dropped := s.dropped
	s.background.Go(func() { s.attend(session, l, dropped) })
	return nil
}

// attend waits for the end of a lane beside the main one, and tells of it when its confirms do not come: once for each target
// that others on it wait for.
func (s *supervisor) attend(session *broker.Session, l *lane, dropped <-chan struct{}) {
	look := time.NewTicker(worthTelling)
	defer look.Stop()
	for told := (targetName{}); ; {
		select {
		case <-l.done:
			s.closeLane(l)
			return
		case <-l.channel.Lost():
			s.ledger.ended(l)
			return
		case <-dropped:
			return
		case <-look.C:
		}
		if late := s.ledger.lateOn(l, session.Silence()); late.messages > 0 && late.name != told {
			told = late.name
			s.post(func() error { return s.tellUnconfirmed(session, late) })
		}
	}
}

// late is what is on a lane that gets no confirms.
type late struct {
	name              targetName // of the oldest
	accepted          time.Time  // the oldest was
	messages, targets int
}

// lateOn tells what is late on a lane, if its confirms do not come though the broker is heard: a whole connection that is
// silent is another matter.
func (l *ledger) lateOn(on *lane, silence time.Duration) (found late) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waits := min(time.Since(on.moved), time.Since(l.unblocked))
	if on.span() == 0 || l.isBlocked() || waits < worthTelling || waits-silence < l.patience() {
		return late{}
	}
	oldest, seen := on.open[on.lowest], map[*target]bool{}
	for _, c := range on.open {
		seen[c.target] = true
	}
	return late{targetName{oldest.target.exchange, oldest.target.key}, oldest.accepted, len(on.open), len(seen)}
}

func (s *supervisor) tellUnconfirmed(session *broker.Session, what late) error {
	if s.session != session {
		return nil
	}
	of := ""
	if what.targets > 1 {
		of = fmt.Sprintf(" to %d targets", what.targets)
	}
	s.note(NoteUnconfirmed, Evidence{
		Exchange: what.name.exchange, RoutingKey: what.name.key,
		Note: fmt.Sprintf("%d sent%s and not confirmed, the oldest for %s; other targets go on beside it", what.messages, of, roughly(time.Since(what.accepted))),
	})
	return nil
}

// closeLane closes a channel that is not used any more.
func (s *supervisor) closeLane(l *lane) {
	s.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		_ = l.channel.Close(ctx) // else it ends with its connection
	})
}

// until is a context that ends when a session is not in use any more.
func (s *supervisor) until(dropped <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.background.Go(func() {
		select {
		case <-dropped:
		case <-s.gone:
		case <-ctx.Done():
		}
		cancel()
	})
	return ctx, cancel
}

// tellMoved has go on what waits for a lane's confirms.
func (l *ledger) tellMoved(on *lane) {
	if on.sample > 0 && on.open[on.sample] == nil {
		l.measured(time.Since(on.sampled))
		on.sample = 0
	}
	if on.lowest > on.credit {
		l.proven = true
	}
	switch {
	case on.aside:
		l.retire(on)
	case l.main != on:
		if l.doubtful.len() > 0 {
			l.wakeSide.Broadcast()
		}
	case on.heldUp && (on.span() < on.credit || l.flows(on)):
		l.wakeMain.Broadcast()
	}
}
