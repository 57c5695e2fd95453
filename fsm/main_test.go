package fsm_test

import (
	"errors"
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

// clock stands still until it is moved.
type clock struct{ now time.Time }

func newClock() *clock {
	zone := time.FixedZone("UTC+2", 2*60*60)
	return &clock{time.Date(2024, 5, 17, 14, 0, 0, 123456789, zone)}
}

func (c *clock) Now() time.Time       { return c.now }
func (c *clock) move(d time.Duration) { c.now = c.now.Add(d) }

// details returns those of a JSON object.
func details(t testing.TB, object string) fsm.Details {
	t.Helper()
	d, err := fsm.DetailsOf([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// byValue has cmp compare details with ==.
var byValue = cmpopts.EquateComparable(fsm.Details{})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var errFull = errors.New("disk full")

// book is a journal that keeps everything, and fails or calls back on demand.
type book struct {
	events []fsm.Event
	full   bool
	during func()
}

func (b *book) Append(e fsm.Event) error {
	if b.during != nil {
		b.during()
	}
	if b.full {
		return errFull
	}
	b.events = append(b.events, e)
	return nil
}

func (b *book) Last() (fsm.Event, bool) {
	if len(b.events) == 0 {
		return fsm.Event{}, false
	}
	return b.events[len(b.events)-1], true
}
