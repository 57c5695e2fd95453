package fsm

import (
	"math"
	"time"
)

// Schema is the version of the event format, the V of every event.
const Schema = 1

// Kind says what an event is about. Only KindTransition changes the state.
type Kind string

const (
	// KindTransition is a trigger that led from a state to the next.
	KindTransition Kind = "transition"
	// KindRejected is a trigger that the current state does not permit.
	KindRejected Kind = "rejected"
	// KindStale is an observation that came too late to be applied.
	KindStale Kind = "stale"
	// KindBoot is the start of a run.
	KindBoot Kind = "boot"
	// KindNote is a remark.
	KindNote Kind = "note"
	// KindGap stands for events that are missing; To is the state after them.
	KindGap Kind = "gap"
	// KindSnapshot repeats what is known after the event numbered Seq: To is the
	// state, InStateMS how long it had lasted then. It is written by a journal, for
	// what follows to be replayed without what came before, and is no event of the
	// machine.
	KindSnapshot Kind = "snapshot"
	// KindCycle stands for Count transitions, of which Seq is the first: time and again
	// from From to Via by Trigger and back by Back, in one run, with the same Details and
	// without Error and Note. Time and MonoNS are those of the last one. It is written by
	// a [Ring], which has no room for each.
	KindCycle Kind = "cycle"
)

// known reports whether k is the kind of an event that this package knows.
func (k Kind) known() bool {
	return k == KindTransition || k == KindRejected || k == KindCycle || k.recordable()
}

// recordable reports whether Record takes k.
func (k Kind) recordable() bool {
	return k == KindBoot || k == KindStale || k == KindNote
}

// Evidence is what the caller knows about why an event happened. The state never
// depends on it, and the zero value of a field means that nothing is known.
type Evidence struct {
	// Details are the caller's own: what kind of thing the machine runs.
	Details Details `json:"-"`
	// Error is the text of the error. The caller redacts secrets.
	Error string `json:"error,omitempty"`
	// Note is a remark for people.
	Note string `json:"note,omitempty"`
}

// Event is one entry of the log. Its JSON form is one flat object: the members
// that the Field constants name, and between them the [Details].
//
// From and To are those of the transition; in any other event both are the
// current state. Trigger is the one of the transition, or the rejected one. Count, Via
// and Back are those of a [KindCycle], and say nothing of other kinds.
type Event struct {
	// V is the version of the format: [Schema].
	V int `json:"v"`
	// Kind says what the event is about.
	Kind Kind `json:"kind"`
	// Name says what a stale event or a note is about, in a word for machines, such
	// as "paused". It says nothing of other kinds.
	Name string `json:"name,omitempty"`
	// Seq numbers the events of a machine from 1 without a hole, across runs.
	Seq uint64 `json:"seq"`
	// Run identifies the process, or rather the [New], that wrote the event.
	Run string `json:"run"`
	// Machine is [Options].Name.
	Machine string `json:"machine,omitempty"`
	// Time is the wall clock, in UTC. It may jump; durations come from MonoNS.
	Time time.Time `json:"time"`
	// MonoNS is the time since the run began, in nanoseconds. It never decreases.
	MonoNS int64 `json:"mono_ns"`

	From    State   `json:"from"`
	To      State   `json:"to"`
	Trigger Trigger `json:"trigger,omitempty"`
	Via     State   `json:"via,omitempty"`
	Back    Trigger `json:"back,omitempty"`
	Count   uint64  `json:"count,omitempty"`

	// InStateMS is how long From had lasted in this run, in whole milliseconds:
	// MonoNS minus the MonoNS of the run's last transition, or minus 0 before the first.
	// In a [KindCycle] it is how long Via lasted, all in all.
	InStateMS int64 `json:"in_state_ms"`

	// Table is the [Table.Fingerprint] of the machine's table, in KindBoot events
	// and in the snapshots after them.
	Table string `json:"table,omitempty"`

	Evidence `json:"-"`
}

// LastSeq returns the Seq of the newest event that this one stands for: another one
// than its own only in a [KindCycle].
func (e Event) LastSeq() uint64 {
	if e.Kind == KindCycle && e.Count > 0 {
		return e.Seq + e.Count - 1
	}
	return e.Seq
}

// InState returns InStateMS as a duration: not negative, and at most about 292 years.
func (e Event) InState() time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(0, e.InStateMS), most)) * time.Millisecond
}
