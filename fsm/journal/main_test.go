package journal_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/everhop/everhop/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// doorTable has a self loop (Knock), a state of no return and a refusal in each state.
func doorTable(t testing.TB) *fsm.Table {
	t.Helper()
	table, err := fsm.NewTable("Closed", []fsm.State{"Closed", "Open", "Broken"}, []fsm.Row{
		{From: []fsm.State{"Closed"}, Trigger: "Open", To: "Open", Doc: "somebody comes"},
		{From: []fsm.State{"Open"}, Trigger: "Close", To: "Closed", Doc: "it is cold"},
		{From: []fsm.State{"Closed"}, Trigger: "Knock", To: "Closed", Doc: "nobody hears"},
		{From: []fsm.State{"Closed", "Open"}, Trigger: "Kick", To: "Broken", Doc: "somebody is angry"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func newMachine(t testing.TB, table *fsm.Table, o fsm.Options) *fsm.Machine {
	t.Helper()
	m, err := fsm.New(table, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func fire(t testing.TB, m *fsm.Machine, triggers ...fsm.Trigger) {
	t.Helper()
	for _, trigger := range triggers {
		if _, err := m.Fire(trigger, fsm.Evidence{}); err != nil {
			t.Fatal(err)
		}
	}
}

// doorLog is a log of two runs with every kind but a gap, and with evidence.
func doorLog(t testing.TB) []fsm.Event {
	t.Helper()
	clock, log := newClock(), fsm.NewRing(0)
	o := fsm.Options{Run: "r1", Journal: log, Now: func() time.Time { clock.move(1700 * time.Microsecond); return clock.Now() }}
	m := newMachine(t, doorTable(t), o)
	_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{Details: details(t, `{"house":"a \"b\" ü","doors":3}`)})
	fire(t, m, "Open")
	_, _ = m.Fire("Knock", fsm.Evidence{Error: `Exception (320) Reason: "CONNECTION_FORCED" für alle`})
	_, _ = m.Fire("Close", fsm.Evidence{Details: details(t, `{"by":"ada"}`), Note: "cold"})
	o.Run = "r2"
	m = newMachine(t, doorTable(t), o)
	fire(t, m, "Knock")
	_, _ = m.Record(fsm.KindStale, "bell", fsm.Evidence{})
	fire(t, m, "Kick")
	return log.Events()
}

// details returns those of a JSON object.
func details(t tester, object string) fsm.Details {
	t.Helper()
	d, err := fsm.DetailsOf([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// byValue has cmp compare details with ==.
var byValue = cmpopts.EquateComparable(fsm.Details{})

// clock stands still until it is moved. A journal's timer reads it, too.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	zone := time.FixedZone("UTC+2", 2*60*60)
	return &clock{now: time.Date(2024, 5, 17, 14, 0, 0, 123456789, zone)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var errFull = errors.New("disk full")
