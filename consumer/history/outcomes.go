package history

import (
	"maps"
	"slices"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Outcomes are what became of the messages of one queue, as [consumer.NoteOutcomes] tell.
type Outcomes struct {
	Queue string
	// Begin is when the first of the notes begins to tell; zero if there is none.
	Begin time.Time
	Stats consumer.Stats
	// Calls counts the calls of the handler, Handling is how long they took, one after the other, and Longest how long
	// the longest took. Oldest is how long one had lasted when the last of the notes was written; 0 if none was under way.
	Calls                     uint64
	Handling, Longest, Oldest time.Duration
	// Permanent, TimedOut and Panicked count messages: those of which a note tells, be it that they were parked or
	// dead-lettered for that, or nothing of the kind. LeftOut counts those of which none tells; see
	// [consumer.NoteParked].
	Permanent, TimedOut, Panicked, LeftOut uint64
	// Error is that of the first message that was told of.
	Error string
}

// Troubled tells that something rare is among them.
func (o *Outcomes) Troubled() bool {
	return o.Stats.Parked+o.Stats.Rejected+o.Stats.Saved+o.Stats.Stale+o.Permanent+o.TimedOut+o.Panicked+o.LeftOut > 0
}

// IsMessage tells whether an event is about one message that is rare in some way: it was parked, saved, or the like.
func IsMessage(e fsm.Event) bool {
	switch e.Name {
	case consumer.NoteParked, consumer.NoteDeadLettered, consumer.NoteSaved, consumer.NotePermanent, consumer.NoteTimedOut, consumer.NotePanicked:
		return e.Kind == fsm.KindNote
	}
	return false
}

func isOutcomes(e *fsm.Event) bool { return e.Kind == fsm.KindNote && e.Name == consumer.NoteOutcomes }

// add adds what an event tells: of many messages, or of one.
func (o *Outcomes) add(e *fsm.Event) {
	why := consumer.EvidenceOf(*e)
	o.Queue = why.Queue
	if !isOutcomes(e) {
		o.addMessage(e.Name, why)
		return
	}
	if o.Begin.IsZero() {
		o.Begin = e.Time.Add(-inMS(why.PeriodMS))
	}
	o.Stats.Add(why.Outcomes())
	o.Calls += why.Calls
	o.Handling += inUS(why.HandlingUS)
	o.Longest = max(o.Longest, inUS(why.LongestUS))
	o.Oldest = inMS(why.OldestMS)
	o.LeftOut += why.LeftOut
}

func (o *Outcomes) addMessage(name string, why consumer.Evidence) {
	if o.Error == "" {
		o.Error = why.Error
	}
	cause := why.Cause
	if cause == "" {
		cause = name
	}
	switch cause {
	case consumer.NotePermanent:
		o.Permanent++
	case consumer.NoteTimedOut:
		o.TimedOut++
	case consumer.NotePanicked:
		if name == consumer.NotePanicked || why.Attempt <= 1 { // else it was told of before
			o.Panicked++
		}
	}
}

// join adds those that came later.
func (o *Outcomes) join(later Outcomes) {
	if o.Begin.IsZero() {
		o.Begin = later.Begin
	}
	o.Stats.Add(later.Stats)
	o.Calls += later.Calls
	o.Handling += later.Handling
	o.Longest, o.Oldest = max(o.Longest, later.Longest), later.Oldest
	o.Permanent += later.Permanent
	o.TimedOut += later.TimedOut
	o.Panicked += later.Panicked
	o.LeftOut += later.LeftOut
	if o.Error == "" {
		o.Error = later.Error
	}
}

// inUS is a number of microseconds, which no log makes less than none.
func inUS(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Microsecond)
	return time.Duration(min(max(0, n), most)) * time.Microsecond
}

// queues are the outcomes of each.
type queues map[string]*Outcomes

func (q *queues) add(e *fsm.Event) {
	name := consumer.EvidenceOf(*e).Queue
	if *q == nil {
		*q = queues{}
	}
	if (*q)[name] == nil {
		(*q)[name] = &Outcomes{}
	}
	(*q)[name].add(e)
}

func (q queues) clone() queues {
	c := maps.Clone(q)
	for name, o := range c {
		copied := *o
		c[name] = &copied
	}
	return c
}

// sorted are they by name.
func (q queues) sorted() (all []Outcomes) {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		all = append(all, *q[name])
	}
	return all
}
