package main

import (
	"context"
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// ledger is what has happened in a demo, in its order and by one clock. Everything that is shown is worked
// out from it. It is the consumer's journal: a transition is in it before anything is done about it. All
// methods may be called from any goroutine.
type ledger struct {
	mu      sync.Mutex
	began   time.Time
	changed chan struct{} // closed with the next entry
	history
}

// history is the ledger's content. Its times count from the begin.
type history struct {
	events   []event
	shown    uint64        // the Seq of the last event that is on the screen
	calls    []call        // of the handler, in the order in which they began
	messages []message     // by their number
	latest   time.Duration // when the last call ended
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

// message is what became of one.
type message struct {
	confirmed bool // the broker has taken it
	handled   int  // how often
}

func newLedger() *ledger { return &ledger{began: time.Now(), changed: make(chan struct{})} }

func (l *ledger) enter(what func(*history)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what(&l.history)
	close(l.changed)
	l.changed = make(chan struct{})
}

// now is the time since the begin.
func (l *ledger) now() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.began)
}

// Append commits an event.
func (l *ledger) Append(e fsm.Event) error {
	l.enter(func(h *history) { h.events = append(h.events, event{e, time.Since(l.began)}) })
	return nil
}

// Last is the event that the consumer goes on from.
func (l *ledger) Last() (last fsm.Event, ok bool) {
	l.look(func(h *history) {
		if n := len(h.events); n > 0 {
			last, ok = h.events[n-1].Event, true
		}
	})
	return last, ok
}

// shown says that an event is on the screen.
func (l *ledger) shown(e fsm.Event) {
	l.enter(func(h *history) { h.shown = e.Seq })
}

func (l *ledger) confirmed(number int) {
	l.enter(func(h *history) { h.message(number).confirmed = true })
}

// handling is the begin of a call; what it returns is its end.
func (l *ledger) handling(number int, redelivered bool) (handled func()) {
	l.enter(func(h *history) {
		h.calls = append(h.calls, call{time.Since(l.began), redelivered})
	})
	return func() {
		l.enter(func(h *history) {
			h.message(number).handled++
			h.latest = time.Since(l.began)
		})
	}
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

func (h *history) message(number int) *message {
	for number >= len(h.messages) {
		h.messages = append(h.messages, message{})
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

// allShown tells whether the screen has everything that the history has.
func (h *history) allShown() bool {
	return len(h.events) == 0 || h.shown >= h.events[len(h.events)-1].Seq
}

// consuming tells whether the consumer is consuming, for everybody to see.
func (h *history) consuming() bool {
	state, _ := h.state()
	return state == consumer.Consuming && h.allShown()
}

// caughtUp tells whether each of the first messages has been handled, of those that are confirmed.
func (h *history) caughtUp(first int) bool {
	for _, m := range h.messages[:min(first, len(h.messages))] {
		if m.confirmed && m.handled == 0 {
			return false
		}
	}
	return true
}
