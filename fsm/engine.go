package fsm

import (
	"context"
	"errors"
	"time"

	"github.com/qmuntal/stateless"
)

// newEngine tells stateless the whole table, once and for all. The engine keeps
// no state: it reads the machine's, and its mutator commits.
func (m *Machine) newEngine() *stateless.StateMachine {
	engine := stateless.NewStateMachineWithExternalStorage(
		func(context.Context) (stateless.State, error) { return m.State(), nil },
		func(_ context.Context, to stateless.State) error {
			return m.commit(Event{Kind: KindTransition, To: to.(State), Trigger: m.firing.trigger, Evidence: m.firing.why})
		},
		stateless.FiringImmediate, // a queued trigger could come back with another caller's error
	)
	engine.OnUnhandledTrigger(func(context.Context, stateless.State, stateless.Trigger, []string) error {
		return m.reject()
	})
	for _, row := range m.table.rows {
		for _, from := range row.From {
			if from == row.To {
				engine.Configure(from).PermitReentry(row.Trigger)
			} else {
				engine.Configure(from).Permit(row.Trigger, row.To)
			}
		}
	}
	return engine
}

// reject commits that the current state does not permit the trigger.
func (m *Machine) reject() error {
	state := m.State()
	refused := m.table.notPermitted(state, m.firing.trigger)
	if err := m.commit(Event{Kind: KindRejected, To: state, Trigger: m.firing.trigger, Evidence: m.firing.why}); err != nil {
		return errors.Join(refused, err)
	}
	return refused
}

// commit is the one place where anything changes: the journal takes the event,
// then the state is assigned, then the feeds are told. Seq, state and clock of
// the machine are as before when the journal refuses.
//
// e says what happened; who, when and from where is filled in here.
func (m *Machine) commit(e Event) error {
	head, now := m.head.Load(), m.o.Now()
	// A clock that steps back, as one without a monotonic reading may, stands still.
	m.mono = max(m.mono, now.Sub(m.began).Nanoseconds())
	e.V, e.Seq, e.Run, e.Machine = Schema, head.LastSeq()+1, m.o.Run, m.o.Name
	e.Time = now.Round(0).UTC() // the event goes to other processes: no monotonic reading
	e.MonoNS, e.InStateMS = m.mono, time.Duration(m.mono-m.entered).Milliseconds()
	e.From = head.To
	if e.Kind == KindBoot {
		e.Table = m.table.fingerprint
	}
	if err := m.o.Journal.Append(e); err != nil {
		return &CommitError{Event: e, Err: err}
	}
	if e.Kind == KindTransition {
		m.entered = e.MonoNS
	}
	m.head.Store(&e)
	m.tell(&e)
	return nil
}
