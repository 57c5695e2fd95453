package fsm

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qmuntal/stateless"
)

// Options of a [Machine]. The zero value is useful.
type Options struct {
	// Name is the Machine field of the events. Defaults to none.
	Name string
	// Journal is where events are committed. Defaults to NewRing(1024).
	Journal Journal
	// Now is the clock, read by [New] and once per event by the owner. Defaults to
	// time.Now.
	Now func() time.Time
	// Run identifies this run in the events; no two runs of a log may share it.
	// Defaults to 16 random hexadecimal digits.
	Run string
}

func (o Options) withDefaults() Options {
	if o.Journal == nil {
		o.Journal = NewRing(defaultCapacity)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Run == "" {
		var id [8]byte
		_, _ = rand.Read(id[:]) // documented never to fail
		o.Run = hex.EncodeToString(id[:])
	}
	return o
}

// Machine is in one state of its table, and moves by committing events.
//
// Fire and Record belong to one goroutine at a time, the owner. All other
// methods may be called from anywhere.
type Machine struct {
	table  *Table
	o      Options
	began  time.Time // with the clock's monotonic reading
	engine *stateless.StateMachine
	phase  atomic.Int32

	// head is the newest event, and its To the state: one pointer, so that State
	// and Last are each consistent. It is never nil: before the first event of a
	// log it points to an event with Seq 0.
	head atomic.Pointer[Event]

	// The owner's, while phase is busy.
	firing  firing
	mono    int64 // the newest MonoNS
	entered int64 // the MonoNS of this run's last transition

	mu    sync.Mutex // guards what follows
	feeds []*Feed
	ended bool
}

// firing is what Fire was given, for the engine's callbacks.
type firing struct {
	trigger Trigger
	why     Evidence
}

// New returns a machine of the given table. When the journal has a past, the
// machine continues it: in the state the newest event led to, numbering on from
// its Seq. Otherwise it starts in the table's initial state, and the first event
// has Seq 1. New appends nothing.
//
// It is an error when t is nil, or when it does not declare the journal's state.
func New(t *Table, o Options) (*Machine, error) {
	if t == nil {
		return nil, errors.New("fsm: no table")
	}
	m := &Machine{table: t, o: o.withDefaults()}
	head, ok := m.o.Journal.Last()
	if !ok {
		head = Event{To: t.initial}
	}
	if !t.declares(head.To) {
		return nil, fmt.Errorf("fsm: the journal ends at seq %d in %q, which the table does not declare", head.Seq, head.To)
	}
	m.head.Store(&head)
	m.engine = m.newEngine()
	m.began = m.o.Now()
	return m, nil
}

// State returns the current state. It takes no lock.
func (m *Machine) State() State { return m.head.Load().To }

// Last returns the newest committed event, which may be one of an earlier run;
// the zero Event when the log is empty. It takes no lock.
func (m *Machine) Last() Event {
	if head := m.head.Load(); head.Seq > 0 {
		return *head
	}
	return Event{}
}

// Fire takes the machine along the row that permits trigger in the current
// state, and returns the event that was committed for it.
//
// When no row does, the error is a [*NotPermittedError] and the event, if the
// journal took it, a KindRejected one. When the journal refuses an event, the
// error is a [*CommitError], joined to the former if there is one. Otherwise it
// is [ErrReentrant] or [ErrClosed]. Without a committed event Fire returns the
// zero Event, and nothing has changed.
func (m *Machine) Fire(trigger Trigger, why Evidence) (Event, error) {
	if err := m.acquire(); err != nil {
		return Event{}, err
	}
	defer m.release()
	m.firing = firing{trigger, why}
	return m.outcome(m.head.Load(), m.engine.Fire(trigger))
}

// Record commits an event that changes no state: a KindBoot, KindStale or
// KindNote. The last two need a name, which says what they are about, in a word for
// machines. The error is [ErrNotRecordable] for any other kind and for a name that
// is missing, else as for Fire.
func (m *Machine) Record(kind Kind, name string, why Evidence) (Event, error) {
	if !kind.recordable() {
		return Event{}, fmt.Errorf("%w: a %q event", ErrNotRecordable, kind)
	}
	if name == "" && kind != KindBoot {
		return Event{}, fmt.Errorf("%w: a %s without a name", ErrNotRecordable, kind)
	}
	if err := m.acquire(); err != nil {
		return Event{}, err
	}
	defer m.release()
	before := m.head.Load()
	return m.outcome(before, m.commit(Event{Kind: kind, Name: name, To: before.To, Evidence: why}))
}

// outcome pairs err with the event that was committed since before, if any.
func (m *Machine) outcome(before *Event, err error) (Event, error) {
	if head := m.head.Load(); head != before {
		return *head, err
	}
	return Event{}, err
}
