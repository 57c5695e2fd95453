package ack

import (
	"errors"
	"sync"
	"time"
)

const (
	// An acknowledgement waits until nothing has come in for idleAfter; while deliveries keep
	// coming, it waits for busyAfter more at most. A timer that fires every millisecond would cost
	// more than what it is to save.
	idleAfter = time.Millisecond
	busyAfter = 4 * time.Millisecond
)

// Longest is how long an acknowledgement waits for others at most, unless Commit fails.
const Longest = idleAfter + 2*busyAfter

// Acknowledger settles the deliveries of one channel. All methods may be called from any goroutine.
type Acknowledger struct {
	channel Channel
	options Options

	// sending is held while acknowledgements are decided and sent, so that they leave in order:
	// after "up to 9" RabbitMQ takes "up to 6" for a mistake, and closes the channel. Taken before mu.
	sending turn
	single  []Item // reused; guarded by sending

	mu        sync.Mutex
	tracker   tracker
	prefetch  int
	timer     *time.Timer // nil before it was armed for the first time
	armed     bool
	busy      bool   // deliveries came in before the last tick
	seen      uint64 // tracker.next when the timer was armed
	passed    uint64 // tracker.next when strays were sent last
	postponed bool   // Commit failed; the timer tries again
	replaced  bool   // by another channel, since this one is lost
	gone      error  // why nothing can be sent any more
	first     *int64 // the Offset of the first delivery; nil: nothing came yet
}

// turn is a lock for as long as Commit takes, which is the caller's and may hang.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

func (t turn) TryLock() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

// New makes an Acknowledger for a channel that has delivered nothing yet.
func New(c Channel, o Options) *Acknowledger {
	a := &Acknowledger{channel: c, options: o, tracker: newTracker(), sending: make(turn, 1)}
	a.Fit(o.Prefetch)
	return a
}

// Fit says how many deliveries the broker sends before one is settled, from now on.
func (a *Acknowledger) Fit(prefetch int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prefetch = prefetch
}

// Receive takes charge of a delivery.
func (a *Acknowledger) Receive(i Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i.Tag == 1 {
		first := i.Offset // only here does it cost an allocation
		a.first = &first
	}
	a.tracker.receive(i)
}

// Finish acknowledges a delivery: now, or soon, together with others.
func (a *Acknowledger) Finish(tag uint64) {
	a.mu.Lock()
	if why := a.gone; why != nil {
		item := a.tracker.settle(tag)
		a.mu.Unlock()
		a.options.Stale([]Item{item}, why)
		return
	}
	a.tracker.finish(tag)
	due := a.due()
	if !due {
		a.arm()
	}
	a.mu.Unlock()
	if due {
		a.send()
	}
}

// due tells whether to send at once. It is called with mu held.
func (a *Acknowledger) due() bool {
	if a.postponed {
		return false
	}
	t, l := &a.tracker, a.limits()
	return t.ready >= l.run || t.finished-t.ready >= l.strays
}

// limits are those of now. It is called with mu held. Who is in the way is slow if strays have passed before.
func (a *Acknowledger) limits() limits {
	if a.options.Each {
		return limits{1, 1}
	}
	return limitsOf(a.prefetch-a.tracker.held, a.tracker.run < a.passed)
}

// arm sees to it that what is finished does not wait for ever. It is called with mu held.
func (a *Acknowledger) arm() {
	if a.armed || a.tracker.finished == 0 {
		return
	}
	a.armed = true
	a.seen = a.tracker.next
	if a.busy {
		a.tickIn(busyAfter)
	} else {
		a.tickIn(idleAfter)
	}
}

// tickIn is called with mu held.
func (a *Acknowledger) tickIn(d time.Duration) {
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.tick)
	} else {
		a.timer.Reset(d)
	}
}

// tick sends what has waited for long enough.
func (a *Acknowledger) tick() {
	a.mu.Lock()
	a.armed = false
	was := a.busy
	a.busy = a.tracker.next != a.seen
	if a.busy && !was && !a.postponed {
		a.arm()
		a.mu.Unlock()
		return
	}
	strays := !a.busy || a.tracker.run < a.seen // whoever is in the way was there when the timer was armed
	a.postponed = false
	a.mu.Unlock()
	a.flush(strays)
}

// Flush sends all that is finished, unless Commit fails. When it returns, that has been tried.
func (a *Acknowledger) Flush() { a.flush(true) }

// flush sends what is finished, the strays only if it is told to.
func (a *Acknowledger) flush(strays bool) {
	a.sending.Lock()
	sent, dropped, why := a.acknowledge(strays)
	a.sending.Unlock()
	a.tell(sent, dropped, why)
	a.send()
}

// send sends until nothing is due. It leaves that to whoever is sending already, who looks again when that
// is done.
func (a *Acknowledger) send() {
	for a.stillDue() && a.sending.TryLock() {
		sent, dropped, why := a.acknowledge(false)
		a.sending.Unlock()
		a.tell(sent, dropped, why)
	}
}

// stillDue arms the timer for what is not due.
func (a *Acknowledger) stillDue() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due() {
		return true
	}
	a.arm()
	return false
}

// tell is called without any lock: it calls the caller's functions.
func (a *Acknowledger) tell(sent, dropped []Item, why error) {
	if len(sent) > 0 {
		a.options.Settled(sent, AckFrame)
	}
	if len(dropped) > 0 {
		a.options.Stale(dropped, why)
	}
}

// acknowledge sends what gather finds, once it is committed. What it could not send is dropped. What it has sent is returned
// if somebody is to be told. It is called with sending held.
func (a *Acknowledger) acknowledge(strays bool) (sent, dropped []Item, why error) {
	upTo, n := a.gather(strays)
	defer clear(a.single)
	if n+len(a.single) == 0 {
		return nil, nil, nil
	}
	if a.options.Commit != nil {
		if err := a.options.Commit(); err != nil {
			dropped, why = a.uncommitted(err)
			return nil, dropped, why
		}
	}
	if sent, why = a.transmit(upTo, n); why == nil {
		return sent, nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = why
	return sent, a.tracker.abandon(), why
}

// gather finds what to acknowledge: n deliveries of the run by one frame, and single ones by a frame of
// their own: the strays if it is told to, or if there are too many.
func (a *Acknowledger) gather(strays bool) (upTo uint64, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	upTo, n = a.tracker.upTo()
	a.single = a.single[:0]
	switch {
	case a.options.Each:
		n = 0
		a.single = a.tracker.finishedFrom(a.tracker.base, a.single)
	case strays, a.tracker.finished-n >= a.limits().strays:
		a.single = a.tracker.finishedFrom(a.tracker.run, a.single)
		if len(a.single) > 0 {
			a.passed = a.tracker.next
		}
	}
	return upTo, n
}

// uncommitted is called when Commit failed: nothing may be acknowledged yet; and never, once nobody
// commits any more, or another channel is in the place of this one.
func (a *Acknowledger) uncommitted(why error) (dropped []Item, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case errors.Is(why, ErrEnded):
		a.gone = why
		a.tracker.abandon()
		return nil, nil
	case a.replaced:
		a.gone = why
		return a.tracker.abandon(), why
	}
	a.postponed, a.armed = true, true
	a.tickIn(a.options.CommitPause) // and not when it was to fire for what was finished before
	return nil, nil
}

// Replace says that there is another channel now: a Commit that fails is not called again for this one.
func (a *Acknowledger) Replace() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.replaced = true
}

// transmit sends the frames, until one cannot be sent. It returns what they settled if somebody is to be told.
func (a *Acknowledger) transmit(upTo uint64, n int) (sent []Item, err error) {
	if n > 0 {
		if err := a.channel.AckUpTo(upTo); err != nil {
			return nil, err
		}
		a.options.Acknowledged(n)
		a.mu.Lock()
		if a.options.Settled != nil {
			sent = a.tracker.finishedUpTo(upTo)
		}
		a.tracker.settleUpTo(upTo)
		a.mu.Unlock()
	}
	for i := range a.single {
		tag := a.single[i].Tag
		if err := a.channel.Ack(tag); err != nil {
			return sent, err
		}
		a.options.Acknowledged(1)
		a.mu.Lock()
		a.tracker.settle(tag)
		a.mu.Unlock()
		if a.options.Settled != nil {
			sent = append(sent, a.single[i])
		}
	}
	return sent, nil
}

// Look tells how many deliveries were received and are neither finished nor settled, how many are finished and not
// settled, and which of all these has been outstanding for longest: its tag is 0 if there are none.
func (a *Acknowledger) Look() (held, finished int, oldest Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	oldest, _ = a.tracker.oldest()
	return a.tracker.held, a.tracker.finished, oldest
}

// HeldFrom is how many of those that are not finished have this tag or a higher one.
func (a *Acknowledger) HeldFrom(tag uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tracker.heldFrom(tag)
}

// Next is above the tag of every delivery that was received.
func (a *Acknowledger) Next() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tracker.next
}

// Offset is where a stream goes on after this channel: behind everything that was handled up to. nil means
// where the caller says, and 0 is an offset like any other.
func (a *Acknowledger) Offset() *int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.tracker.run > 1:
		behind := a.tracker.last + 1
		return &behind
	case a.options.From == nil: // nothing was handled, but perhaps something came
		return a.first
	}
	return a.options.From
}
