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
//	                         \---> doubtful ------> side lane (one by one) ---------/
//	                          \--> target.held, behind those of its target that are doubtful
//
// When a connection is lost, what is on its lanes goes back to where it came from, in its order.
//
// A message that the broker does not like (too large, no such exchange, no permission) ends its channel, and the broker does
// not say which one it was. So when the main lane ends while the connection is alive, all that was on its way there is in
// doubt, and goes on over another channel, one by one: there the one that the channel ends with is the one. It is settled
// with the broker's error, and what goes to the same exchange afterwards takes that way, too, until the broker takes one.
type ledger struct {
	window      int   // messages
	windowBytes int64 // of them

	mu     sync.Mutex
	wake   sync.Cond // the lanes' writers wait for it
	epochs uint64
	prefix string // of the ids that are given here
	number uint64 // of the last message

	used      int
	usedBytes int64
	targets   map[targetName]*target
	crowd     []*target // which have messages waiting for room, in turn
	suspects  map[targetName]bool

	outgoing queue
	doubtful queue
	epoch    uint64 // counts connections; 0: there is none
	main     *lane  // nil: there is none
	side     *lane
	trial    *Confirmation // what the side lane was given last, until the broker has accepted it

	blockedSince time.Time // the broker does not read since then; zero: it does
	closed       error     // nothing more is accepted
	counts       Stats
}

func newLedger(window int, windowBytes int64) *ledger {
	const idLength = 12 // 60 random bits
	l := &ledger{
		window: window, windowBytes: windowBytes, prefix: rand.Text()[:idLength] + "-",
		targets: map[targetName]*target{}, suspects: map[targetName]bool{},
	}
	l.wake.L = &l.mu
	return l
}

// Confirmation stands for what becomes of one message. Its methods may be called from any goroutine.
type Confirmation struct {
	message broker.Message
	id      string
	number  uint64
	size    int64
	target  *target

	// Guarded by ledger.mu.
	way      way
	sent     bool // it was written, or is being written
	out      bool // on a lane, where it awaits its confirm
	returned bool
	left     bool // nobody waits for it: it is not sent again

	room chan struct{} // closed when it is admitted; nil if that was at once
	done chan struct{} // closed when err is set
	err  error
}

// way is where a message is.
type way int

const (
	crowded way = iota // it waits for room in the window
	onMain             // outgoing, or on the main lane
	onSide             // doubtful, or on the side lane
	behind             // held, behind those
)

// accept takes a message. Nothing else may change it from here on.
func (l *ledger) accept(m *broker.Message) (*Confirmation, error) {
	c := &Confirmation{message: *m, size: sizeOf(m), done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, l.closed)
	}
	l.number++
	c.number = l.number
	if c.id = m.MessageID; c.id == "" {
		c.id = l.prefix + strconv.FormatUint(c.number, 10)
		c.message.Identify(c.id)
	}
	name := targetName{m.Exchange, m.RoutingKey}
	t := l.targets[name]
	if t == nil {
		t = &target{exchange: m.Exchange, key: m.RoutingKey}
		l.targets[name] = t
	}
	c.target = t
	if t.waiting.len() == 0 && l.room(t, c.size) {
		l.admit(c)
		return c, nil
	}
	c.room = make(chan struct{})
	if t.waiting.len() == 0 {
		l.crowd = append(l.crowd, t)
	}
	t.waiting.push(c)
	return c, nil
}

// room tells whether a target may have one more in the window: as long as it has no more than is free for others, so that
// those that get no confirms, however many they are, always leave some. One message may always be under way.
func (l *ledger) room(t *target, size int64) bool {
	free, freeBytes := l.window-l.used, l.windowBytes-l.usedBytes
	if t.used == 0 {
		return free > 0
	}
	return t.used < free && t.bytes+size <= freeBytes
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
	t := c.target
	switch {
	case t.doubts > 0:
		c.way = behind
		t.held.push(c)
	case t.plain == 0 && l.suspects[t.suspicion()]:
		c.way = onSide
		t.doubts++
		l.doubtful.push(c)
		l.wake.Broadcast()
	default:
		c.way = onMain
		t.plain++
		l.outgoing.push(c)
		l.wake.Broadcast()
	}
}

// settle ends a message. It is on no way any more.
func (l *ledger) settle(c *Confirmation, err error) {
	c.err = err
	close(c.done)
	l.count(err)
	t := c.target
	if c.way != crowded {
		l.used--
		l.usedBytes -= c.size
		t.used--
		t.bytes -= c.size
	}
	switch c.way {
	case onMain:
		t.plain--
	case onSide:
		if t.doubts--; t.doubts == 0 {
			for _, held := range t.held.take() {
				l.route(held)
			}
		}
	}
	if t.used == 0 && t.waiting.len() == 0 {
		delete(l.targets, targetName{t.exchange, t.key})
	}
	l.fill()
}

// fill gives what is free of the window to those that wait, in turn.
func (l *ledger) fill() {
	for refused := 0; refused < len(l.crowd) && l.used < l.window; {
		t := l.crowd[0]
		l.crowd = l.crowd[1:]
		switch {
		case t.waiting.len() == 0:
			continue
		case l.room(t, t.waiting.first().size):
			l.admit(t.waiting.pop())
			refused = 0
		default:
			refused++
		}
		if t.waiting.len() > 0 {
			l.crowd = append(l.crowd, t)
		}
	}
}

func (c *Confirmation) isSettled() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// confirmed takes a confirm. It is called by the connection's reader.
func (l *ledger) confirmed(on *lane, n uint64, multiple, taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	on.settled(n, multiple, func(c *Confirmation) {
		switch {
		case !taken:
			l.settle(c, broker.ErrRefused)
			return
		case c.way == onSide:
			delete(l.suspects, c.target.suspicion())
		}
		if c.returned {
			l.settle(c, &UnroutableError{Exchange: c.message.Exchange, RoutingKey: c.message.RoutingKey})
			return
		}
		l.settle(c, nil)
	})
}

func (l *ledger) cameBack(on *lane, r broker.Returned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	on.returned(r)
}

// connected begins with a new connection.
func (l *ledger) connected() (epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs++
	l.epoch = l.epochs
	return l.epoch
}

// attach has what is to be sent go out on a lane.
func (l *ledger) attach(main *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.main = main
	l.wake.Broadcast()
}

// block has nothing go out, as long as the broker does not read.
func (l *ledger) block(blocked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blockedSince = time.Time{}
	if blocked {
		l.blockedSince = time.Now()
	}
	l.wake.Broadcast()
}

func (l *ledger) isBlocked() bool { return !l.blockedSince.IsZero() }

// disconnected takes the lanes away, with their connection. What is on them is sent again on the next one.
func (l *ledger) disconnected(why error) (again int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	main, side := l.main, l.side
	l.epoch, l.main, l.side, l.trial, l.blockedSince = 0, nil, nil, nil, time.Time{}
	if main != nil {
		again += l.back(&l.outgoing, main, why)
	}
	if side != nil {
		again += l.back(&l.doubtful, side, why)
	}
	l.wake.Broadcast()
	return again
}

// back puts what is on a lane in front of the queue from which it came.
func (l *ledger) back(q *queue, from *lane, why error) (again int) {
	rest := l.wanted(from, why)
	q.before(rest)
	l.counts.Again += uint64(len(rest))
	return len(rest)
}

// wanted takes what is on a lane, but for what nobody waits for.
func (l *ledger) wanted(from *lane, why error) []*Confirmation {
	var wanted []*Confirmation
	for _, c := range from.rest() {
		c.out, c.returned = false, false
		if c.left {
			l.settle(c, fmt.Errorf("%w: %w", ErrNotKnown, why))
			continue
		}
		wanted = append(wanted, c)
	}
	return wanted
}

// castDoubt is for the end of the main lane while its connection is alive.
func (l *ledger) castDoubt(on *lane, why error) (doubtful int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.main = nil
	rest := l.wanted(on, why)
	for _, c := range rest {
		c.way = onSide
		c.target.plain--
		c.target.doubts++
	}
	l.counts.Again += uint64(len(rest))
	l.doubtful.before(rest)
	for _, c := range l.outgoing.take() { // some are behind those now
		c.target.plain--
		l.route(c)
	}
	l.wake.Broadcast()
	return len(rest)
}

// sideLost is for the end of the side lane by nobody's fault.
func (l *ledger) sideLost(on *lane, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.side == on {
		l.side, l.trial = nil, nil
		l.back(&l.doubtful, on, why)
	}
}

// unwritten settles a message that could not be written, though nothing has ended.
func (l *ledger) unwritten(on *lane, c *Confirmation, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on.take(c) {
		l.settle(c, why)
	}
}

// refused is for the end of the side lane while its connection is alive: by the message that it was given last. It returns
// that, if its kind was not known.
func (l *ledger) refused(on *lane, why error) (first *Confirmation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.side != on {
		return nil
	}
	culprit := l.trial
	l.side, l.trial = nil, nil
	l.back(&l.doubtful, on, why)
	if culprit == nil { // it ended by itself
		return nil
	}
	suspicion := culprit.target.suspicion()
	if !l.suspects[suspicion] {
		l.suspects[suspicion] = true
		first = culprit
	}
	if !culprit.isSettled() {
		l.doubtful.remove(culprit)
		l.settle(culprit, why)
	}
	return first
}

// next waits for what is to be written on the main lane, and returns nil when that is in use no more.
func (l *ledger) next(on *lane) *Confirmation {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.main == on {
		if l.isBlocked() || l.outgoing.len() == 0 {
			l.wake.Wait()
			continue
		}
		if c := l.outgoing.pop(); l.begin(on, c) {
			return c
		}
	}
	return nil
}

// nextDoubtful waits until something is doubtful, and returns false when its connection is in use no more.
func (l *ledger) awaitDoubtful(epoch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.epoch == epoch && (l.isBlocked() || l.doubtful.len() == 0) {
		l.wake.Wait()
	}
	return l.epoch == epoch
}

// nextDoubtful returns what is to be written on the side lane, and nil if nothing is.
func (l *ledger) nextDoubtful(epoch uint64, on *lane) *Confirmation {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch != epoch {
		return nil
	}
	l.side = on
	for l.doubtful.len() > 0 && !l.isBlocked() {
		if c := l.doubtful.pop(); l.begin(on, c) {
			l.trial = c
			return c
		}
	}
	return nil
}

// accepted says that the broker has nothing against what the side lane was given last.
func (l *ledger) accepted(on *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.side == on {
		l.trial = nil
	}
}

// begin notes that a message is written next, if it can be.
func (l *ledger) begin(on *lane, c *Confirmation) bool {
	if len(c.message.Headers) > 0 {
		if err := on.channel.Fits(&c.message); err != nil {
			l.settle(c, err)
			return false
		}
	}
	c.sent, c.out = true, true
	on.begin(c)
	return true
}

// leave is for a caller who does not wait any longer. Its error says whether the message was sent.
func (l *ledger) leave(c *Confirmation, why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.isSettled() {
		return c.err
	}
	err := fmt.Errorf("%w: %w", ErrNotSent, why)
	if c.sent {
		err = fmt.Errorf("%w: %w", ErrNotKnown, why)
	}
	if c.out {
		c.left = true
		return err
	}
	l.withdraw(c)
	l.settle(c, err)
	return err
}

// withdraw takes a message that is on no lane off its way.
func (l *ledger) withdraw(c *Confirmation) {
	switch c.way {
	case crowded:
		c.target.waiting.remove(c)
	case onMain:
		l.outgoing.remove(c)
	case onSide:
		l.doubtful.remove(c)
	case behind:
		c.target.held.remove(c)
	}
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
	for _, on := range []*lane{l.main, l.side} {
		if on != nil {
			list = slices.AppendSeq(list, maps.Values(on.open))
		}
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
	l.epoch = 0
	l.main, l.side = nil, nil
	l.outgoing, l.doubtful, l.crowd = queue{}, queue{}, nil
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
	l.wake.Broadcast()
	return len(list)
}
