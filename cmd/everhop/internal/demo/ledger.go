package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// ledger is what has happened, in its order and by one clock. Everything that is shown is worked out from
// it. It is the consumer's journal: a transition is told, and then in it, before anything is done about it;
// so what follows from it is told later. All methods may be called from any goroutine.
type ledger struct {
	tell    func(fsm.Event)
	journal fsm.Journal // where events are kept besides; nil for nowhere
	mu      sync.Mutex
	began   time.Time
	changed chan struct{} // closed with the next entry
	history
}

// history is the ledger's content. Its times count from the begin.
type history struct {
	events   []event
	calls    []call       // of the handler, in the order in which they began
	messages []message    // by their number
	parked   map[int]bool // those that have failed; false once they were retried
}

// event is one of the consumer's.
type event struct {
	fsm.Event
	at time.Duration
}

// call is one of the handler's.
type call struct {
	began       time.Duration
	redelivered bool
}

// message is what became of one: when the broker confirmed it, when it was first handled, and how often.
type message struct {
	confirmed, handled time.Duration
	times              int
}

const (
	// absent stands for the time of what did not happen.
	absent = time.Duration(-1)
	// forever is later than everything.
	forever = time.Duration(1<<63 - 1)
)

func newLedger(tell func(fsm.Event)) *ledger {
	return &ledger{tell: tell, began: time.Now(), changed: make(chan struct{})}
}

func (l *ledger) now() time.Duration { return time.Since(l.began) }

func (l *ledger) enter(what func(h *history, now time.Duration)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what(&l.history, l.now())
	close(l.changed)
	l.changed = make(chan struct{})
}

// look shows the history as it is now. What look does must not keep it.
func (l *ledger) look(look func(*history)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	look(&l.history)
}

// await returns nil as soon as condition holds, and ctx's cause when that ends first.
func (l *ledger) await(ctx context.Context, condition func(*history) bool) error {
	for {
		l.mu.Lock()
		met, changed := condition(&l.history), l.changed
		l.mu.Unlock()
		if met {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Append commits an event.
func (l *ledger) Append(e fsm.Event) error {
	at := l.now()
	if l.journal != nil {
		if err := l.journal.Append(e); err != nil {
			return err
		}
	}
	l.tell(e)
	l.enter(func(h *history, _ time.Duration) { h.events = append(h.events, event{e, at}) })
	return nil
}

// Last is the event that the consumer goes on from.
func (l *ledger) Last() (last fsm.Event, ok bool) {
	if l.journal != nil {
		return l.journal.Last()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.events); n > 0 {
		return l.events[n-1].Event, true
	}
	return last, false
}

func (l *ledger) confirmed(number int) {
	l.enter(func(h *history, now time.Duration) { h.message(number).confirmed = now })
}

// handling is the begin of a call; what it returns is its end.
func (l *ledger) handling(number int, redelivered bool) (handled func()) {
	l.enter(func(h *history, now time.Duration) { h.calls = append(h.calls, call{now, redelivered}) })
	return func() {
		l.enter(func(h *history, now time.Duration) {
			m := h.message(number)
			if m.times++; m.times == 1 {
				m.handled = now
			}
		})
	}
}

// failed is what becomes of a call whose message is to be parked; nobody waits for that until it is retried.
func (l *ledger) failed(number int) {
	l.enter(func(h *history, _ time.Duration) {
		if h.parked == nil {
			h.parked = map[int]bool{}
		}
		h.parked[number] = true
	})
}

func (l *ledger) retried(number int) {
	l.enter(func(h *history, _ time.Duration) { h.parked[number] = false })
}

func (h *history) message(number int) *message {
	for number >= len(h.messages) {
		h.messages = append(h.messages, message{confirmed: absent, handled: absent})
	}
	return &h.messages[number]
}

// state is where the consumer is, and since when it has been nowhere else.
func (h *history) state() (state fsm.State, since time.Duration) {
	state = consumer.Disconnected
	for _, e := range h.events {
		if e.To != state {
			state, since = e.To, e.at
		}
	}
	return state, since
}

func (h *history) consuming() bool {
	state, _ := h.state()
	return state == consumer.Consuming
}

// handledUntil is when the last of those messages was first handled that were confirmed before a time;
// absent as long as one is not. It is not about what is parked.
func (h *history) handledUntil(confirmed time.Duration) (last time.Duration) {
	for number, m := range h.messages {
		if m.confirmed == absent || m.confirmed >= confirmed || m.handled == absent && h.parked[number] {
			continue
		}
		if m.handled == absent {
			return absent
		}
		last = max(last, m.handled)
	}
	return last
}

// repaired is how many messages were parked, and handled after a retry.
func (h *history) repaired() (n int) {
	for number, parked := range h.parked {
		if !parked && h.message(number).times > 0 {
			n++
		}
	}
	return n
}

// outcome is what came of a fault.
type outcome struct {
	fault    string // its name
	began    time.Duration
	returned time.Duration // the end of the outage; absent if there was none
	until    time.Duration // what comes later is not of its making
	overcome bool

	// Measured, and counted from began; or absent.
	noticed     time.Duration // Everhop was in Reviving
	handled     time.Duration // the first call of a handler after the revival
	caughtUp    time.Duration // all was handled that had been published until handled
	redelivered int
}

// measure looks up what came of a fault.
func (h *history) measure(o outcome) outcome {
	o.noticed, o.handled, o.caughtUp, o.redelivered = absent, absent, absent, 0
	within := func(t time.Duration) bool { return t >= o.began && t < o.until }
	revived := forever
	for _, e := range h.events {
		switch {
		case e.Kind != fsm.KindTransition || !within(e.at):
		case o.noticed == absent && e.To == consumer.Reviving:
			o.noticed = e.at - o.began
		case revived == forever && e.Trigger == consumer.Revived:
			revived = e.at
		}
	}
	for _, c := range h.calls {
		if within(c.began) && c.redelivered {
			o.redelivered++
		}
		if within(c.began) && o.handled == absent && c.began >= revived {
			o.handled = c.began - o.began
		}
	}
	if o.handled == absent {
		return o
	}
	if last := h.handledUntil(o.began + o.handled); last != absent && last < o.until {
		o.caughtUp = max(o.handled, last-o.began)
	}
	return o
}

// tally counts messages: published = handled + waiting + parked + lost.
type tally struct {
	published   int // and confirmed by the broker
	handled     int // of these
	waiting     int // at the broker, or on their way to a handler
	parked      int // in the parking queue
	lost        int // neither handled nor at the broker any more
	redelivered int // deliveries that the broker marked so
	repeated    int // messages that were handled more than once
	repaired    int // messages that were parked, and handled after a retry
}

// held is how many messages the broker has in the two queues.
type held struct{ queued, parked int }

// tally counts, with the help of how many messages the broker holds. While it counts no handler can end, and
// none is acknowledged before that: so what the broker does not hold, and nobody has handled, is lost. What
// was handled without its acknowledgement having arrived is held too, and may hide a loss until it is gone.
func (l *ledger) tally(count func() held) (t tally) {
	l.look(func(h *history) {
		t.repaired = h.repaired()
		for _, m := range h.messages {
			if m.times > 1 {
				t.repeated++
			}
			if m.confirmed == absent {
				continue
			}
			t.published++
			if m.times > 0 {
				t.handled++
			}
		}
		for _, c := range h.calls {
			if c.redelivered {
				t.redelivered++
			}
		}
		there := count()
		t.lost = t.published - t.handled
		t.parked = min(t.lost, there.parked)
		t.lost -= t.parked
		t.waiting = min(t.lost, there.queued)
		t.lost -= t.waiting
	})
	return t
}

// judge is the error that the count is; who interrupts leaves messages in the queue on purpose.
func (t tally) judge(interrupted bool) error {
	switch {
	case t.lost > 0:
		return fmt.Errorf("messages lost: %d", t.lost)
	case t.waiting > 0 && !interrupted:
		return fmt.Errorf("messages not handled, and still in the queue: %d", t.waiting)
	case t.parked > 0 && !interrupted:
		return fmt.Errorf("messages not handled, and still parked: %d", t.parked)
	}
	return nil
}
