package history

import (
	"slices"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Fold says what an [Entry] is made of.
type Fold string

const (
	// Single is one event.
	Single Fold = "event"
	// Idle is heartbeats that were answered: Count times DrainTimeout and HeartbeatOK, and nothing else.
	Idle Fold = "idle"
	// Attempts is failed attempts of one outage: Count times ReviveFailed, for causes told before.
	Attempts Fold = "attempts"
)

// Unknown is the Lasted of an entry when the log does not say it.
const Unknown time.Duration = -1

// Entry is one line of a timeline: an event, or several that are told as one.
type Entry struct {
	Fold Fold
	// First and Last are the first and the last event of the entry; the same one for Single.
	First, Last fsm.Event
	// Count is of the answered heartbeats or the failed attempts; otherwise 1.
	Count int
	// Lasted is how long First.From had lasted, for transitions; [Unknown] if the log does not say it. Within a
	// run it is exact, else by the wall clock.
	Lasted time.Duration
	// Span is the time from First to Last.
	Span time.Duration
	// Mixed tells of Attempts that they did not all fail for the same class and code.
	Mixed bool
}

// Timeline is a projection of the events of one machine onto entries. It shows each event, except
// snapshots, as an entry of its own, but for what repeats:
//
//   - answered heartbeats with nothing between them become one entry,
//   - and so do the failed attempts of an outage, if they are three or more in a row, and if that outage
//     has shown an attempt that failed for the same class and code.
//
// What is being folded is held back until something else happens. It takes constant memory.
//
// A Timeline belongs to one goroutine at a time.
type Timeline struct {
	emit func(Entry)

	probe    *fsm.Event // DrainTimeout that waits for its answer
	idle     Entry      // if Count > 0
	attempts Entry      // if Count > 0; Last and, if they are two, First are held back
	known    []failure  // of this outage

	entered fsm.Event // the newest transition; Seq 0 if there is none
	held    fsm.Event // memory of probe
}

// failure is what makes attempts alike.
type failure struct {
	class string
	code  int
}

func failureOf(e *fsm.Event) failure {
	why := consumer.EvidenceOf(*e)
	return failure{why.Class, why.Code}
}

// mostFailures bounds how many different ones of an outage are remembered.
const mostFailures = 32

// NewTimeline returns a timeline that calls emit for each entry, within Add and Flush.
func NewTimeline(emit func(Entry)) *Timeline { return &Timeline{emit: emit} }

// Apply adds the next event.
func (t *Timeline) Apply(e fsm.Event) {
	if e.Kind == fsm.KindSnapshot {
		return
	}
	if !t.fold(&e) {
		t.Flush()
		t.show(&e)
	}
	if e.Kind == fsm.KindTransition {
		t.entered = e
	}
}

// Pending returns what is being folded, as it would be shown now; false if nothing is.
func (t *Timeline) Pending() (Entry, bool) {
	switch {
	case t.idle.Count > 0:
		return t.idle, true
	case t.attempts.Count > 0:
		return t.attempts, true
	}
	return Entry{}, false
}

// Flush shows what is being folded.
func (t *Timeline) Flush() {
	if t.idle.Count > 0 {
		t.emit(t.idle)
		t.idle = Entry{}
	}
	switch a := t.attempts; {
	case a.Count > 2:
		t.emit(a)
	case a.Count > 0:
		t.emit(single(a.First, a.First.InState()))
		if a.Count == 2 {
			t.emit(single(a.Last, a.Last.InState()))
		}
	}
	t.attempts = Entry{}
	if t.probe != nil {
		t.emit(single(*t.probe, t.probe.InState()))
		t.probe = nil
	}
}

// fold takes e if it is one more of what repeats.
func (t *Timeline) fold(e *fsm.Event) bool {
	if e.Kind != fsm.KindTransition {
		return false
	}
	if e.Trigger == consumer.ReviveFailed {
		return t.attempt(e)
	}
	switch {
	case e.Trigger == consumer.DrainTimeout && t.probe == nil && t.attempts.Count == 0 && t.continues(e):
		t.held = *e
		t.probe = &t.held
		return true
	case e.Trigger == consumer.HeartbeatOK && t.probe != nil && t.continues(e):
		if t.idle.Count == 0 {
			t.idle = Entry{Fold: Idle, First: *t.probe, Lasted: t.probe.InState()}
		}
		t.probe = nil
		t.idle.extend(e)
		t.idle.Mixed = false
		return true
	}
	t.known = t.known[:0]
	return false
}

// attempt takes a failed attempt that is like one before.
func (t *Timeline) attempt(e *fsm.Event) bool {
	why := failureOf(e)
	if !slices.Contains(t.known, why) && len(t.known) < mostFailures {
		t.known = append(t.known, why)
		return false
	}
	if t.idle.Count > 0 || t.probe != nil || t.attempts.Count > 0 && t.attempts.Last.Run != e.Run {
		t.Flush()
	}
	if t.attempts.Count == 0 {
		t.attempts = Entry{Fold: Attempts, First: *e, Lasted: e.InState()}
	}
	t.attempts.extend(e)
	return true
}

// continues tells that e can follow what is being folded.
func (t *Timeline) continues(e *fsm.Event) bool {
	return t.entered.Seq == 0 || t.entered.Run == e.Run
}

func (f *Entry) extend(e *fsm.Event) {
	f.Count++
	f.Last = *e
	f.Mixed = f.Mixed || failureOf(e) != failureOf(&f.First)
	f.Span = time.Duration(max(0, e.MonoNS-f.First.MonoNS))
}

// show shows an event alone.
func (t *Timeline) show(e *fsm.Event) { t.emit(single(*e, t.lasted(e))) }

func single(e fsm.Event, lasted time.Duration) Entry {
	return Entry{Fold: Single, First: e, Last: e, Count: 1, Lasted: lasted}
}

// lasted is how long the state before e had lasted. The first transition of a run does not say that: the
// state is from the run before.
func (t *Timeline) lasted(e *fsm.Event) time.Duration {
	switch {
	case e.Kind != fsm.KindTransition:
		return Unknown
	case t.entered.Seq != 0 && t.entered.Run == e.Run:
		return e.InState()
	case t.entered.Seq != 0 && t.entered.To == e.From:
		return max(0, e.Time.Sub(t.entered.Time))
	case e.From != consumer.Disconnected && e.Trigger != consumer.ProcessRestarted:
		return e.InState() // the run has transitions that the log has not
	}
	return Unknown
}
