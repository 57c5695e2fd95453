package consumer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/everhop/everhop/fsm"
)

// tellFate tells by an event that a message was parked or rejected. Why, is its cause: so one that was permanent, and
// then parked, is told of once.
func (w *worker) tellFate(o outcome) {
	d := w.dispatcher
	switch o.verdict {
	case parked:
		d.env.tellMessage(NoteParked, w.came, o.failure, "parked in "+d.judge.parkingQueue(w.came))
	case rejected:
		d.env.tellMessage(NoteDeadLettered, w.came, o.failure, "dead-lettered")
	case passedOver:
		d.env.tellMessage(NoteDeadLettered, w.came, o.failure, "passed over")
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
	w.dispatcher.env.tellMessage(f.cause, w.came, f, w.dispatcher.judge.inWords(o))
}

// tellMessage tells by an event of one message.
func (env *environment) tellMessage(name string, came *Delivery, why failure, note string) {
	cause := why.cause
	if cause == name {
		cause = ""
	}
	env.tell(fsm.KindNote, name, Evidence{
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
