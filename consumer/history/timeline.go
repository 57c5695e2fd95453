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
	// Flaps is outages in quick succession: Count times a loss for the same class and code as the one before,
	// within 5 seconds of being up, which the first attempt revived within a minute. What else there is between
	// them is answered heartbeats and stale events.
	Flaps Fold = "flaps"
	// Minutes is what became of the messages of one queue: Count times NoteOutcomes, with the messages that are told of
	// one by one. Either each of them has something rare among it ([Outcomes.Troubled]) or none.
	Minutes Fold = "minutes"
)

// Unknown is the Lasted of an entry when the log does not say it.
const Unknown time.Duration = -1

// Entry is one line of a timeline: an event, or several that are told as one.
type Entry struct {
	Fold Fold
	// First and Last are the first and the last event of the entry; the same one for Single. A ring's cycle
	// is an event, and has the time of its end.
	First, Last fsm.Event
	// Count is of the answered heartbeats, the failed attempts or the losses; otherwise 1. The last of the losses
	// may not be revived yet, or not so soon.
	Count int
	// Events is how many events it is made of.
	Events uint64
	// Lasted is how long First.From had lasted, for transitions; [Unknown] if the log does not say it. Within a
	// run it is exact, else by the wall clock.
	Lasted time.Duration
	// Span is the time from First to Last.
	Span time.Duration
	// Outcomes are those of Minutes. Span begins with them.
	Outcomes Outcomes
	// Mixed tells of Attempts that they did not all fail for the same class and code.
	Mixed bool
}

// Begin is when it begins.
func (f Entry) Begin() time.Time {
	if f.Fold == Minutes {
		return f.Outcomes.Begin
	}
	return f.First.Time
}

// Timeline is a projection of the events of one machine onto entries. It shows each event, except
// snapshots, as an entry of its own, but for what repeats:
//
//   - answered heartbeats with nothing between them become one entry,
//   - so do the failed attempts of an outage, if they are three or more in a row, and if that outage
//     has shown an attempt that failed for the same class and code,
//   - so do flaps, if they are three or more in a row, but for the first,
//   - and so does what became of the messages of a queue, in minutes that are alike.
//
// What is being folded is held back until something else happens. It takes constant memory.
//
// A Timeline belongs to one goroutine at a time.
type Timeline struct {
	// Prompt has it show at once when something rare becomes of messages, or of none any more, and all that was held back
	// before that.
	Prompt bool

	learned
	emit func(Entry)

	// What is held back, in this order.
	attempts Entry      // if Count > 0; Last and, if they are two, First are held back
	flaps    Entry      // if Count > 0
	idle     Entry      // if Count > 0
	probe    *fsm.Event // DrainTimeout that waits for its answer
	merging  merging    // beside them

	known   []failure // of this outage
	flapped flap      // the newest

	entered fsm.Event // the newest transition; Seq 0 if there is none
	held    fsm.Event // memory of probe
}

// failure is what makes attempts and losses alike.
type failure struct {
	class string
	code  int
}

func failureOf(e *fsm.Event) failure {
	why := consumer.EvidenceOf(*e)
	return failure{why.Class, why.Code}
}

// flap is an outage that the first attempt ended.
type flap struct {
	run   string // none if it is empty
	why   failure
	ended int64 // MonoNS
}

const (
	// mostFailures bounds how many different ones of an outage are remembered.
	mostFailures = 32
	// briefly is how long it may be up between two flaps, and soon how long a flap may last.
	briefly = 5 * time.Second
	soon    = time.Minute
)

// NewTimeline returns a timeline that calls emit for each entry, within Apply and Flush.
func NewTimeline(emit func(Entry)) *Timeline { return &Timeline{emit: emit} }

// Apply adds the next event.
func (t *Timeline) Apply(e fsm.Event) {
	if e.Kind == fsm.KindSnapshot {
		return
	}
	t.learn(&e)
	if !t.fold(&e) {
		t.Flush()
		t.show(&e)
	}
	if e.Kind == fsm.KindTransition || e.Kind == fsm.KindCycle {
		t.entered = e
	}
}

// Pending returns what is being folded, as it would be shown now; false if nothing is.
func (t *Timeline) Pending() (Entry, bool) {
	for _, e := range []*Entry{&t.idle, &t.flaps, &t.attempts} { // the newest first
		if e.Count > 0 {
			return *e, true
		}
	}
	return t.merging.pending()
}

// Flush shows what is being folded.
func (t *Timeline) Flush() {
	switch a := t.attempts; {
	case a.Count > 2:
		t.tell(a)
	case a.Count > 0:
		t.tell(single(a.First, a.First.InState()))
		if a.Count == 2 {
			t.tell(single(a.Last, a.Last.InState()))
		}
	}
	t.attempts = Entry{}
	t.flushFlaps()
	if t.idle.Count > 0 {
		t.tell(t.idle)
		t.idle = Entry{}
	}
	if t.probe != nil {
		t.tell(single(*t.probe, t.probe.InState()))
		t.probe = nil
	}
	t.flushOutcomes()
}

// flushFlaps shows one alone as the two events that it is.
func (t *Timeline) flushFlaps() {
	switch f := t.flaps; {
	case f.Count == 1 && f.Events <= 2:
		t.tell(single(f.First, f.First.InState()))
		if f.Events == 2 {
			t.tell(single(f.Last, f.Last.InState()))
		}
	case f.Count > 0:
		t.tell(f)
	}
	t.flaps = Entry{}
}

// fold takes e if it is one more of what repeats.
func (t *Timeline) fold(e *fsm.Event) bool {
	if t.flaps.Count > 0 && t.flaps.Last.To != consumer.Reviving && e.MonoNS-t.flapped.ended > int64(briefly) {
		t.flushFlaps() // it has been up for too long for another one
	}
	switch {
	case t.outcomes(e):
		return true
	case e.Kind == fsm.KindCycle:
		return t.cycle(e)
	case e.Kind == fsm.KindStale:
		return t.stale(e)
	case e.Kind != fsm.KindTransition:
		return false
	case e.Trigger == consumer.ReviveFailed:
		return t.attempt(e)
	case t.lifecycle().isProbe(e.Trigger) && t.probe == nil && t.attempts.Count == 0 && t.continues(e):
		t.held = *e
		t.probe = &t.held
		return true
	case t.lifecycle().isAnswer(e.Trigger) && t.probe != nil && t.continues(e):
		t.idle.extend(Idle, t.probe, 1, 0)
		t.idle.extend(Idle, e, 1, 1)
		t.probe = nil
		return true
	}
	t.known = t.known[:0]
	switch {
	case t.isLoss(e):
		return t.lose(e)
	case e.Trigger == consumer.Revived:
		return t.revive(e)
	}
	return false
}

// cycle takes heartbeats that a ring has folded already.
func (t *Timeline) cycle(e *fsm.Event) bool {
	if !t.lifecycle().isIdling(e) || !t.continues(e) {
		return false
	}
	if t.probe != nil || t.attempts.Count > 0 {
		t.Flush()
	}
	t.idle.extend(Idle, e, e.Count, int(e.Count/2))
	return true
}

// attempt takes a failed attempt that is like one before.
func (t *Timeline) attempt(e *fsm.Event) bool {
	why := failureOf(e)
	if !slices.Contains(t.known, why) && len(t.known) < mostFailures {
		t.known = append(t.known, why)
		return false
	}
	if t.flaps.Count > 0 || t.idle.Count > 0 || t.probe != nil || t.attempts.Count > 0 && t.attempts.Last.Run != e.Run {
		t.Flush()
	}
	t.attempts.Mixed = t.attempts.Mixed || t.attempts.Count > 0 && why != failureOf(&t.attempts.First)
	t.attempts.extend(Attempts, e, 1, 1)
	return true
}

// isLoss tells that it was up, and lost its connection or channel with e.
func (t *Timeline) isLoss(e *fsm.Event) bool {
	return e.To == consumer.Reviving && t.lifecycle().isUp(e.From)
}

// lose takes a loss that comes soon after one like it.
func (t *Timeline) lose(e *fsm.Event) bool {
	isFlap := t.flapped.run == e.Run && e.MonoNS-t.flapped.ended <= int64(briefly) && t.flapped.why == failureOf(e)
	if !isFlap {
		return false
	}
	if t.flaps.Count == 0 {
		t.Flush()
	}
	// The heartbeats since it was revived belong to it.
	t.flaps.Events += t.idle.Events
	t.idle = Entry{}
	if t.probe != nil {
		t.flaps.Events++
		t.probe = nil
	}
	t.flaps.extend(Flaps, e, 1, 1)
	return true
}

// revive takes the end of a flap. The end of another outage may be the first one's.
func (t *Timeline) revive(e *fsm.Event) bool {
	if !t.isLoss(&t.entered) || t.entered.Run != e.Run || e.MonoNS-t.entered.MonoNS > int64(soon) {
		t.flapped = flap{}
		return false
	}
	t.flapped = flap{e.Run, failureOf(&t.entered), e.MonoNS}
	if t.flaps.Count == 0 {
		return false
	}
	t.flaps.extend(Flaps, e, 1, 0)
	return true
}

// stale takes what comes of messages that were in somebody's hands when a connection flapped.
func (t *Timeline) stale(e *fsm.Event) bool {
	if t.flaps.Count == 0 || t.idle.Count > 0 || t.probe != nil || t.flaps.Last.Run != e.Run {
		return false
	}
	t.flaps.extend(Flaps, e, 1, 0)
	return true
}

// continues tells that e can follow what is being folded.
func (t *Timeline) continues(e *fsm.Event) bool {
	return t.entered.Seq == 0 || t.entered.Run == e.Run
}

// extend adds an event, which stands for so many, and counts for so much.
func (f *Entry) extend(fold Fold, e *fsm.Event, events uint64, count int) {
	if f.Events == 0 {
		f.Fold, f.First, f.Lasted = fold, *e, e.InState()
		if e.Kind == fsm.KindCycle {
			f.Lasted = Unknown
		}
	}
	f.Last = *e
	f.Events += events
	f.Count += count
	f.Span = time.Duration(max(0, e.MonoNS-f.First.MonoNS))
}

// show shows an event alone.
func (t *Timeline) show(e *fsm.Event) { t.emit(single(*e, t.lasted(e))) }

func single(e fsm.Event, lasted time.Duration) Entry {
	return Entry{Fold: Single, First: e, Last: e, Count: 1, Events: max(1, e.Count), Lasted: lasted}
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
