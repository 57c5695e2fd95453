package publish

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
)

// ledger knows every message that was accepted and is not settled, and where it is:
//
//	           room in the window                    written                 confirmed, returned, refused
//	Send ----> target.waiting ----> outgoing ------> main lane ----------------------> settled
//	                         \---> doubtful ------> side lanes ---------------------/
//	                          \--> target.held, behind those of its target that are not on the main lane
//
// When a connection is lost, what is on its lanes goes out again over side lanes, in its order. A main lane that stands still
// is set aside with what is on it, and another one takes its place (aside.go).
//
// A message that the broker does not like (too large, no such exchange, no permission) ends its channel, and the broker does
// not say which one it was. So when the main lane ends while the connection is alive, all that was on its way there is in
// doubt, and goes on over another channel, one by one: there the one that the channel ends with is the one. It is settled
// with the broker's error, and what goes to the same exchange afterwards takes that way, too, until the broker takes one.
type ledger struct {
	window      int   // messages
	windowBytes int64 // of them
	credit      uint64

	mu       sync.Mutex
	wakeMain sync.Cond // the main lane's writer waits for it
	wakeSide sync.Cond // that of the side lanes
	epochs   uint64
	prefix   string // of the ids that are given here
	number   uint64 // of the last message

	used      int
	usedBytes int64
	targets   map[targetName]*target
	lines     lines // of those that have messages waiting for room
	suspects  map[targetName]bool

	outgoing    queue
	doubtful    queue
	epoch       uint64                   // counts connections; 0: there is none
	proven      bool                     // confirms have come on this one as they should
	told        []*Confirmation          // of which a confirm was; reused
	moved       map[targetName]time.Time // of targets that have nothing under way, see remember
	kept        int                      // how many those were when they were looked through
	usual       time.Duration            // which a confirm takes
	main        *lane                    // nil: there is none
	sides       []*lane
	refusedSide time.Time     // when another one could not be opened on this connection
	trial       *Confirmation // what is being written to one of those, until the broker has accepted it
	accused     *Confirmation // what was on trial when the connection was lost

	blockedSince time.Time // the broker does not read since then; zero: it does
	unblocked    time.Time // when it read again, last
	closed       error     // nothing more is accepted
	counts       Stats
}

func newLedger(window int, windowBytes int64) *ledger {
	const idLength = 12 // 60 random bits
	l := &ledger{
		window: window, windowBytes: windowBytes, credit: defaultCredit, prefix: rand.Text()[:idLength] + "-",
		targets: map[targetName]*target{}, suspects: map[targetName]bool{}, moved: map[targetName]time.Time{},
	}
	l.wakeMain.L, l.wakeSide.L = &l.mu, &l.mu
	return l
}

// accept takes a message. Nothing else may change it from here on.
func (l *ledger) accept(m *broker.Message) (*Confirmation, error) {
	most := l.windowBytes / 2 // of which a larger one takes no more, or it would keep all others out
	c := &Confirmation{ledger: l, message: *m, size: min(sizeOf(m), most), accepted: time.Now(), done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, l.closed)
	}
	l.number++
	c.number = l.number
	if c.id = m.MessageID; c.id == "" {
		c.id = string(strconv.AppendUint([]byte(l.prefix), c.number, 10))
		c.message.Identify(c.id)
	}
	if c.message.Timestamp.IsZero() && !m.NoTimestamp {
		c.message.Timestamp = c.accepted // the same when it is sent again
	}
	name := targetName{m.Exchange, m.RoutingKey}
	t := l.targets[name]
	if t == nil {
		t = &target{exchange: m.Exchange, key: m.RoutingKey, moved: l.recall(name)}
		l.targets[name] = t
	}
	c.target = t
	if t.waiting.len() == 0 && l.room(t, c.size) {
		l.admit(c)
		return c, nil
	}
	c.room = make(chan struct{})
	t.waiting.push(c)
	l.lines.place(t)
	return c, nil
}

// room tells whether a target may have one more in the window: as long as it has no more than is free for others. That
// alone would not do with many targets that get no confirms: each takes half of what is left, until nothing is. So one
// message may be under way in any case, beyond the window, but for targets without number, each with one message.
func (l *ledger) room(t *target, size int64) bool {
	if t.used == 0 {
		return l.used < 2*l.window && l.usedBytes < 2*l.windowBytes
	}
	return t.used < l.window-l.used && t.bytes+size <= l.windowBytes-l.usedBytes
}

func (l *ledger) admit(c *Confirmation) {
	l.used++
	l.usedBytes += c.size
	c.target.used++
	c.target.bytes += c.size
	if c.room != nil {
		close(c.room)
	}
	l.route(c)
}

// route decides on which way a message goes.
func (l *ledger) route(c *Confirmation) {
	if t := c.target; t.held.len() > 0 || l.mustWait(t) {
		c.way = behind
		t.held.push(c)
		return
	}
	l.send(c)
}

func (l *ledger) send(c *Confirmation) {
	t := c.target
	switch {
	case t.plain == 0 && l.suspects[t.suspicion()]:
		c.way = onSide
		t.doubts++
		l.doubtful.push(c)
		l.wakeSide.Broadcast()
	default:
		c.way = onMain
		t.plain++
		l.outgoing.push(c)
		l.wakeMain.Broadcast()
	}
}

// free has what is behind others of its target go its way, as far as it need not wait any more.
func (l *ledger) free(t *target) {
	for t.held.len() > 0 && !l.mustWait(t) {
		l.send(t.held.pop())
	}
}

// reconsider has what is outgoing go out anew: some is behind others now.
func (l *ledger) reconsider() {
	list := l.outgoing.take()
	of := map[*target][]*Confirmation{}
	for _, c := range list {
		c.way = behind
		c.target.plain--
		of[c.target] = append(of[c.target], c)
	}
	for t, list := range of {
		t.held.before(list)
	}
	for _, c := range list {
		l.free(c.target)
	}
}

// settle ends a message. It is on no way any more.
func (l *ledger) settle(c *Confirmation, err error) {
	c.err = err
	close(c.done)
	l.count(err)
	t := c.target
	if c.way != awaitsRoom {
		l.used--
		l.usedBytes -= c.size
		t.used--
		t.bytes -= c.size
	}
	switch c.way {
	case onMain:
		t.plain--
	case onSide:
		t.doubts--
		if c.out {
			t.leave()
		}
	}
	l.free(t)
	if t.used == 0 && t.waiting.len() == 0 {
		name := targetName{t.exchange, t.key}
		delete(l.targets, name)
		l.remember(name, t.moved)
	}
	l.lines.place(t)
	l.fill(t)
}

// fill gives what is free of the window to those that wait: to targets that have nothing in it first, and then in turn, to
// begin with the one of which something was settled. It looks at a few only: each other one has its turn when something
// of it is settled.
func (l *ledger) fill(settled *target) {
	for t := l.lines.empty(); t != nil && l.advance(t); t = l.lines.empty() {
	}
	if settled.line == &l.lines.served {
		l.advance(settled)
	}
	const few = 16
	for refused := 0; refused < min(few, l.lines.served.Len()); {
		if t := l.lines.next(); l.advance(t) {
			refused = 0
		} else {
			refused++
		}
	}
}

// advance admits the first message of a target that waits, if there is room.
func (l *ledger) advance(t *target) bool {
	if !l.room(t, t.waiting.first().size) {
		return false
	}
	l.admit(t.waiting.pop())
	l.lines.place(t)
	return true
}

// confirmed takes a confirm. It is called by the connection's reader.
func (l *ledger) confirmed(on *lane, n uint64, multiple, taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tellMoved(on)
	now := time.Now()
	on.settled(n, multiple, func(c *Confirmation) { l.told = append(l.told, c) })
	for _, c := range l.told { // the lane has moved by now: so what is behind them may go
		switch {
		case !taken:
			l.settle(c, broker.ErrRefused)
			continue
		case c.way == onSide:
			delete(l.suspects, c.target.suspicion())
		case c.way == onMain:
			c.target.moved = now
		}
		if c.returned {
			l.settle(c, &UnroutableError{Exchange: c.message.Exchange, RoutingKey: c.message.RoutingKey})
			continue
		}
		l.settle(c, nil)
	}
	clear(l.told)
	l.told = l.told[:0]
}

func (l *ledger) cameBack(on *lane, r broker.Returned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	on.returned(r)
}

// unwritten settles a message that could not be written, though nothing has ended.
func (l *ledger) unwritten(on *lane, c *Confirmation, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on.take(c) {
		l.settle(c, why)
	}
}

// next waits for what is to be written on the main lane, and says whether that is in use still. Without a message it is to be
// set aside.
func (l *ledger) next(on *lane) (c *Confirmation, inUse bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.main == on {
		switch {
		case l.isBlocked() || l.outgoing.len() == 0 || on.leaving:
			l.wakeMain.Wait()
		case l.isStuck(on) && l.countAside() < mostAside:
			on.leaving = true
			return nil, true
		case on.span() >= on.credit && !l.flows(on):
			l.awaitConfirm(on)
		default:
			if c := l.outgoing.first(); l.fits(on, c) {
				l.outgoing.pop()
				l.begin(on, c)
				return c, true
			}
		}
	}
	return nil, false
}

// fits tells whether the first message of its queue is known to fit into a frame. Else it finds that out, and anything may
// have changed meanwhile, since what takes time is done without the lock. A message that does not fit is settled.
func (l *ledger) fits(on *lane, c *Confirmation) bool {
	if len(c.message.Headers) == 0 || c.fits == on {
		return true
	}
	l.mu.Unlock()
	err := on.channel.Fits(&c.message)
	l.mu.Lock()
	switch {
	case err == nil:
		c.fits = on
	case !c.isSettled() && !c.out:
		l.withdraw(c)
		l.settle(c, err)
	}
	return false
}

// begin notes that a message is written next.
func (l *ledger) begin(on *lane, c *Confirmation) {
	c.sent, c.out = true, true
	on.begin(c)
}

// close accepts nothing more.
func (l *ledger) close(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed == nil {
		l.closed = why
	}
}

// unsettled are all messages that are not settled, in their order.
func (l *ledger) unsettled() []*Confirmation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all()
}

func (l *ledger) all() []*Confirmation {
	var list []*Confirmation
	for _, t := range l.targets {
		list = append(list, t.waiting.all()...)
		list = append(list, t.held.all()...)
	}
	list = append(list, l.outgoing.all()...)
	list = append(list, l.doubtful.all()...)
	for _, on := range l.lanes() {
		list = slices.AppendSeq(list, maps.Values(on.open))
	}
	inOrder(list)
	return list
}

// fail settles all that is left, and tells how many messages that are: nothing is sent any more.
func (l *ledger) fail(why error) (left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = why
	list := l.all()
	for _, on := range l.lanes() { // their confirms may still come
		on.rest()
	}
	since := l.blockedSince // it tells why
	l.leaveLanes()
	l.blockedSince = since
	l.outgoing, l.doubtful, l.lines = queue{}, queue{}, lines{}
	for _, t := range l.targets {
		t.waiting, t.held = queue{}, queue{}
	}
	for _, c := range list {
		known := ErrNotSent
		if c.sent {
			known = ErrNotKnown
		}
		c.err = fmt.Errorf("%w: %w", known, why)
		close(c.done)
		l.count(c.err)
	}
	l.used, l.usedBytes, l.targets = 0, 0, map[targetName]*target{}
	return len(list)
}
