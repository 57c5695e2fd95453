package consumer

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/everhop/everhop/fsm"
)

// handling is what the calls of a subscription's handler came to.
type handling struct {
	calls   uint64
	total   time.Duration
	longest time.Duration // since it was asked for last
	oldest  time.Duration // for which the longest call under way has lasted; 0: none is
}

// handling asks the workers, with those that have ended.
func (d *dispatcher) handling() (h handling) {
	h.calls, h.total = d.measures.Sum()
	d.mu.Lock()
	defer d.mu.Unlock()
	h.longest, d.retired.longest = d.retired.longest, 0
	for _, w := range d.crew {
		h.longest = max(h.longest, w.timing.TakeLongest())
		if began, ended := w.timing.Last(); began > ended {
			h.oldest = max(h.oldest, d.measures.Since(began))
		}
	}
	return h
}

// retired is what the workers have measured that have ended: stamps, and a duration.
type retired struct {
	began, ended int64
	longest      time.Duration // since it was asked for last
}

// retire keeps what a worker that ends has measured. It is called with mu held.
func (d *dispatcher) retire(w *worker) {
	r := &d.retired
	began, ended := w.timing.Last()
	r.began, r.ended = max(r.began, began), max(r.ended, ended)
	r.longest = max(r.longest, w.timing.TakeLongest())
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
		d.tellMessage(NoteParked, w.came, o.failure, "parked in "+d.judge.parkingQueue(w.came))
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
	w.dispatcher.tellMessage(f.cause, w.came, f, w.dispatcher.judge.inWords(o))
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
		line = strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(line, "\uFFFD")))
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

func printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case !unicode.IsPrint(r):
		return -1
	}
	return r
}
