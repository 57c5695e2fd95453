package history

import (
	"slices"
	"sync"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// Lifecycle is what there is to know of a machine to tell of its events. The states Disconnected, Connecting and
// Reviving mean the same in each, and so do the triggers Connect, Connected, HeartbeatFailed, Revived, ReviveFailed,
// Stop and ProcessRestarted, and the note stalled.
type Lifecycle struct {
	// Noun is what the machine belongs to. Verb, Doing and Done say what that does while it is up: "consume",
	// "consuming", "consumed".
	Noun, Verb, Doing, Done string
	// Table is what the machine obeys, Failures are the triggers that say that something went wrong.
	Table    *fsm.Table
	Failures []fsm.Trigger
	// Up is the state in which the machine does what it is for.
	Up fsm.State
	// Check is the state in which a connection is checked on which nothing comes in. It counts as up, too. Probe leads
	// there from Up, and Answer back. All three are empty where no state tells of that.
	Check         fsm.State
	Probe, Answer fsm.Trigger

	kept func(fsm.Event) fsm.Evidence // what the machine said, without what a logger has added
}

// Consumer is the lifecycle of a [consumer.Consumer].
func Consumer() *Lifecycle { return known().consumer }

// Publisher is the lifecycle of a [publish.Publisher].
func Publisher() *Lifecycle { return known().publisher }

// LifecycleOf returns the one that e tells of, by the fingerprint of its table or by a state, a trigger or a note that no
// other one has; nil if e does not tell. Most do, and so does the first event of each run at level info.
func LifecycleOf(e fsm.Event) *Lifecycle { return lifecycleOf(&e) }

func lifecycleOf(e *fsm.Event) *Lifecycle {
	signs := known()
	for _, l := range []*Lifecycle{
		signs.tables[e.Table], signs.states[e.To], signs.states[e.From], signs.states[e.Via],
		signs.triggers[e.Trigger], signs.triggers[e.Back], signs.notes[e.Name],
	} {
		if l != nil {
			return l
		}
	}
	return nil
}

func (l *Lifecycle) isUp(s fsm.State) bool { return s == l.Up || s == l.Check && s != "" }

func (l *Lifecycle) isProbe(t fsm.Trigger) bool { return t == l.Probe && t != "" }

func (l *Lifecycle) isAnswer(t fsm.Trigger) bool { return t == l.Answer && t != "" }

// isIdling tells that a cycle is of answered heartbeats.
func (l *Lifecycle) isIdling(e *fsm.Event) bool { return l.isProbe(e.Trigger) && l.isAnswer(e.Back) }

// signs are the lifecycles there are, and what each has alone.
type signs struct {
	consumer, publisher *Lifecycle
	tables              map[string]*Lifecycle // by fingerprint
	states              map[fsm.State]*Lifecycle
	triggers            map[fsm.Trigger]*Lifecycle
	notes               map[string]*Lifecycle // by name: those that come in states that all have
}

var known = sync.OnceValue(func() signs {
	s := signs{
		consumer: &Lifecycle{
			Noun: "consumer", Verb: "consume", Doing: "consuming", Done: "consumed",
			Table: consumer.Lifecycle(), Failures: consumer.Failures(),
			Up: consumer.Consuming, Check: consumer.HeartbeatCheck, Probe: consumer.DrainTimeout, Answer: consumer.HeartbeatOK,
			kept: func(e fsm.Event) fsm.Evidence { return consumer.EvidenceOf(e).Event() },
		},
		publisher: &Lifecycle{
			Noun: "publisher", Verb: "publish", Doing: "publishing", Done: "published",
			Table: publish.Lifecycle(), Failures: publish.Failures(),
			Up:   publish.Publishing, // and not Blocked: nothing gets through
			kept: func(e fsm.Event) fsm.Evidence { return publish.EvidenceOf(e).Event() },
		},
		tables: make(map[string]*Lifecycle), states: make(map[fsm.State]*Lifecycle), triggers: make(map[fsm.Trigger]*Lifecycle),
	}
	s.notes = map[string]*Lifecycle{publish.NoteRefused: s.publisher, publish.NoteUnconfirmed: s.publisher}
	for _, pair := range [][2]*Lifecycle{{s.consumer, s.publisher}, {s.publisher, s.consumer}} {
		own, other := pair[0], pair[1]
		s.tables[own.Table.Fingerprint()] = own
		for _, state := range own.Table.States() {
			if !slices.Contains(other.Table.States(), state) {
				s.states[state] = own
			}
		}
		for _, trigger := range own.Table.Triggers() {
			if !slices.Contains(other.Table.Triggers(), trigger) {
				s.triggers[trigger] = own
			}
		}
	}
	return s
})

// learned is the lifecycle that the events of a log have told of.
type learned struct{ told *Lifecycle }

func (l *learned) learn(e *fsm.Event) {
	if l.told == nil {
		l.told = lifecycleOf(e)
	}
}

// lifecycle is a consumer's as long as nothing has told: until then the states are those that all have in common.
func (l *learned) lifecycle() *Lifecycle {
	if l.told == nil {
		return Consumer()
	}
	return l.told
}
