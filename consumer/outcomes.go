package consumer

import (
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/everhop/everhop/fsm"
)

// tally is what a worker's handler calls came to. Only the worker writes it, so that none waits for another one's
// processor, and who tells of it reads it.
type tally struct {
	calls   atomic.Uint64
	total   atomic.Int64 // nanoseconds
	longest atomic.Int64 // likewise, since it was taken last
	began   atomic.Int64 // when the call under way did, by the dispatcher's clock; 0: none is
}

// finished counts a call.
func (t *tally) finished(took time.Duration) {
	if int64(took) > t.longest.Load() {
		t.longest.Store(int64(took))
	}
	t.total.Store(t.total.Load() + int64(took))
	t.calls.Store(t.calls.Load() + 1)
	t.began.Store(0)
}

// handling is what all workers' tallies come to.
type handling struct {
	calls   uint64
	total   time.Duration
	longest time.Duration // since it was asked for last
	oldest  time.Duration // for which the longest call under way has lasted; 0: none is
}

func (h *handling) add(t *tally) {
	h.calls += t.calls.Load()
	h.total += time.Duration(t.total.Load())
	h.longest = max(h.longest, time.Duration(t.longest.Swap(0)))
}

// clock is never 0, and costs half of time.Now.
func (d *dispatcher) clock() time.Duration { return time.Since(d.epoch) + 1 }

// handling asks the workers, with those that have ended.
func (d *dispatcher) handling() handling {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := d.retired
	d.retired.longest = 0
	now := d.clock()
	for _, w := range d.crew {
		sum.add(&w.tally)
		if began := w.tally.began.Load(); began > 0 {
			sum.oldest = max(sum.oldest, now-time.Duration(began))
		}
	}
	return sum
}

// minus are the deliveries that were counted since.
func (s Stats) minus(before Stats) Stats {
	return Stats{
		Acknowledged:      s.Acknowledged - before.Acknowledged,
		Failed:            s.Failed - before.Failed,
		Kept:              s.Kept - before.Kept,
		Requeued:          s.Requeued - before.Requeued,
		Saved:             s.Saved - before.Saved,
		Rejected:          s.Rejected - before.Rejected,
		Delayed:           s.Delayed - before.Delayed,
		Parked:            s.Parked - before.Parked,
		Deduplicated:      s.Deduplicated - before.Deduplicated,
		ReturnedUnstarted: s.ReturnedUnstarted - before.ReturnedUnstarted,
		Stale:             s.Stale - before.Stale,
	}
}

// tellFate tells by an event that a message was parked or rejected. Why, is its cause: so one that was permanent, and
// then parked, is told of once.
func (w *worker) tellFate(o outcome) {
	d := w.dispatcher
	switch o.verdict {
	case parked:
		d.tellMessage(NoteParked, w.came, o.failure, "parked in "+d.spec.Retry.ParkingQueue)
	case rejected:
		d.tellMessage(NoteDeadLettered, w.came, o.failure, "dead-lettered")
	case passedOver:
		d.tellMessage(NoteDeadLettered, w.came, o.failure, "passed over")
	}
}

// tellCause tells what was the matter with a message which is neither parked nor rejected for it; if it fails on in the
// same way, only once.
func (w *worker) tellCause(o outcome) {
	f := o.failure
	if f.cause == "" || f.cause == w.failure.told {
		return
	}
	switch o.verdict {
	case parked, rejected, passedOver: // to be told when it is
		return
	}
	w.failure.told = f.cause
	w.dispatcher.tellMessage(f.cause, w.came, f, w.dispatcher.inWords(o))
}

func (d *dispatcher) tellMessage(name string, came *Delivery, why failure, note string) {
	cause := why.cause
	if cause == name {
		cause = ""
	}
	d.env.tell(fsm.KindNote, name, Evidence{
		MessageID: came.MessageID, Attempt: why.attempts, Cause: cause, Error: headline(why.reason), Note: note,
	})
}

// maxHeadline is how many bytes of an error go into an event about a message.
const maxHeadline = 200

// headline is the first line of an error that has something to say, in letters that can be shown.
func headline(text string) string {
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		line = strings.TrimSpace(strings.Map(shown, strings.ToValidUTF8(line, "\uFFFD")))
		if len(line) > maxHeadline {
			const cut = "…"
			end := maxHeadline - len(cut)
			for !utf8.RuneStart(line[end]) {
				end--
			}
			line = line[:end] + cut
		}
		if line != "" {
			return line
		}
	}
	return ""
}

func shown(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case !unicode.IsPrint(r):
		return -1
	}
	return r
}
