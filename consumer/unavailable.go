package consumer

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Unavailable is what a handler returns, wrapped or not, when it could not try a message, because something is not
// there that any message needs: a program that is not installed, a process that cannot be started. It says nothing
// about the message. No attempt is counted, and the message waits in memory, as after Requeue. The subscription
// pauses at once, as by its Breaker, but also without one: for 1 s at first, for twice as long each next time in a
// row, up to Breaker.Pause. Then one message is tried; the others follow when its handler returns anything else, or
// has taken 5 s. Each pause is an event ([NoteBreakerOpen]) with the error, and an error in the log. A queue that is
// declared AutoDelete does not outlive a pause (see [Handle.Pause]). Unavailable(nil) is nil.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &unavailable{err}
}

type unavailable struct{ error }

func (u *unavailable) Unwrap() error { return u.error }

const (
	// firstAbsence is the first pause after Unavailable.
	firstAbsence = time.Second
	// longTrial is how long a handler takes that does not find out any more that it cannot try.
	longTrial = 5 * time.Second
)

// absence is what a subscription knows of what is not there. Whether messages are tried one by one, view.trying says.
type absence struct {
	crew    *crew
	reason  atomic.Pointer[string] // of the latest Unavailable, until the supervisor has heard of it
	row     atomic.Int64           // pauses in a row
	onTrial atomic.Bool            // a message is being tried, or was, in vain
}

// missed says that a handler could not try its message.
func (a *absence) missed(reason string) { a.reason.Store(&reason) }

// take returns what the supervisor has not heard of yet; nil if there is nothing.
func (a *absence) take() (reason *string) { return a.reason.Swap(nil) }

// next is how often in a row it was missed, and for how long to pause.
func (a *absence) next(most time.Duration) (row int64, pause time.Duration) {
	row, pause = a.row.Add(1), firstAbsence
	for i := int64(1); i < row && pause < most; i++ {
		pause *= 2
	}
	return row, min(pause, most)
}

// restFor says for how long to pause for what is missing, with what the event says of it.
func (a *absence) restFor(reason string, most time.Duration) (e Evidence, pause time.Duration) {
	row, pause := a.next(most)
	e.Error = reason
	e.Note = "what handlers need is not available"
	if row > 1 {
		e.Note += fmt.Sprintf(" (%d times in a row)", row)
	}
	e.Note += fmt.Sprintf("; no attempt is counted: to be paused for %v, then one message is tried", pause)
	return e, pause
}

// tryOne has one message tried before the others, if the pause was for an absence.
func (a *absence) tryOne() {
	if a.row.Load() > 0 {
		a.onTrial.Store(false)
		a.crew.change(func(v *view) { v.trying = true })
	}
}

// enter waits until a handler may be called, while messages are tried one by one. It returns false if the delivery is
// to go back, or goes with its channel.
func (w *worker) enter() (trial, ok bool) {
	d, c := w.dispatcher, w.job.channel
	for {
		v := d.crew.view()
		switch {
		case !v.trying:
			return false, true
		case v.leaving() || c.gone():
			return false, false
		case !v.paused && d.absence.onTrial.CompareAndSwap(false, true):
			return true, true
		}
		w.waits.Store(waitsForTurn)
		select {
		case <-v.changed:
		case <-c.source.Lost():
		}
		w.waits.Store(waitsForNothing)
	}
}

// tried ends a trial. After one in vain nobody is tried until the next pause is over.
func (a *absence) tried(inVain bool) {
	if !inVain {
		a.row.Store(0)
		a.crew.change(func(v *view) { v.trying = false })
	}
}
