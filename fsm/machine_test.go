package fsm_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

func TestFireAgreesWithNext(t *testing.T) {
	for name, table := range map[string]*fsm.Table{"door": doorTable(t), "odd": oddTable(t)} {
		for _, state := range table.States() {
			for _, trigger := range append(table.Triggers(), "Unheard", "") {
				past := &book{events: []fsm.Event{{Seq: 1, To: state}}}
				m := newMachine(t, table, fsm.Options{Journal: past})
				e, err := m.Fire(trigger, fsm.Evidence{})

				want, refused := table.Next(state, trigger)
				wantKind := fsm.KindTransition
				if refused != nil {
					want, wantKind = state, fsm.KindRejected
				}
				if m.State() != want || e.To != want || e.From != state || e.Trigger != trigger || e.Kind != wantKind {
					t.Errorf("%s: %q --%s--> %q, %+v; want %s to %q", name, state, trigger, m.State(), e, wantKind, want)
				}
				if diff := cmp.Diff(refused, err); diff != "" {
					t.Errorf("%s: error (-Next +Fire):\n%s", name, diff)
				}
			}
		}
	}
}

func TestEventsOfARun(t *testing.T) {
	clock, log := newClock(), &book{}
	start := clock.now.UTC()
	m := newMachine(t, doorTable(t), fsm.Options{Name: "front", Run: "r1", Journal: log, Now: clock.Now})
	if m.State() != "Closed" || m.Last() != (fsm.Event{}) {
		t.Fatalf("a new machine: %q, %+v", m.State(), m.Last())
	}

	clock.move(1500 * time.Microsecond)
	boot, _ := m.Record(fsm.KindBoot, "", fsm.Evidence{Note: "hello"})
	clock.move(time.Second)
	fire(t, m, "Open")
	clock.move(2999 * time.Microsecond)
	rejected, _ := m.Fire("Knock", fsm.Evidence{Details: details(t, `{"attempt":3}`), Error: "hush"})
	clock.move(time.Hour)
	fire(t, m, "Close")
	clock.move(-time.Minute) // a clock without a monotonic reading was set back
	fire(t, m, "Knock")
	stale, _ := m.Record(fsm.KindStale, "bell", fsm.Evidence{Details: details(t, `{"rings":2}`)})

	event := func(seq uint64, kind fsm.Kind, after time.Duration, from fsm.State, trigger fsm.Trigger, to fsm.State, ms int64) fsm.Event {
		return fsm.Event{
			V: 1, Kind: kind, Seq: seq, Run: "r1", Machine: "front", Time: start.Add(after), MonoNS: int64(after),
			From: from, Trigger: trigger, To: to, InStateMS: ms,
		}
	}
	const opened = time.Second + 1500*time.Microsecond
	const knocked = opened + 2999*time.Microsecond
	want := []fsm.Event{
		event(1, fsm.KindBoot, 1500*time.Microsecond, "Closed", "", "Closed", 1),
		event(2, fsm.KindTransition, opened, "Closed", "Open", "Open", 1001),
		event(3, fsm.KindRejected, knocked, "Open", "Knock", "Open", 2),
		event(4, fsm.KindTransition, knocked+time.Hour, "Open", "Close", "Closed", 3600002),
		event(5, fsm.KindTransition, knocked+time.Hour, "Closed", "Knock", "Closed", 0),
		event(6, fsm.KindStale, knocked+time.Hour, "Closed", "", "Closed", 0),
	}
	want[0].Note, want[0].Table, want[2].Error, want[2].Details = "hello", doorTable(t).Fingerprint(), "hush", details(t, `{"attempt":3}`)
	want[4].Time = want[4].Time.Add(-time.Minute)
	want[5].Time, want[5].Name, want[5].Details = want[4].Time, "bell", details(t, `{"rings":2}`)
	if diff := cmp.Diff(want, log.events, byValue); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if boot != want[0] || rejected != want[2] || stale != want[5] || m.Last() != want[5] {
		t.Error("what Record, Fire and Last return is not what was committed")
	}
	if _, err := fsm.Replay(doorTable(t), slices.Values(log.events)); err != nil {
		t.Error(err)
	}
}

func TestRecordTakesOnlyWhatChangesNoState(t *testing.T) {
	kinds := map[fsm.Kind]bool{
		fsm.KindBoot: true, fsm.KindStale: true, fsm.KindNote: true,
		fsm.KindTransition: false, fsm.KindRejected: false, fsm.KindGap: false, fsm.KindSnapshot: false, "": false, "odd": false,
	}
	for kind, taken := range kinds {
		m := newMachine(t, doorTable(t), fsm.Options{})
		e, err := m.Record(kind, "name", fsm.Evidence{})
		if errors.Is(err, fsm.ErrNotRecordable) == taken || (e.Seq == 1) != taken || taken && (e.Kind != kind || e.Name != "name") {
			t.Errorf("Record(%q) = %+v, %v", kind, e, err)
		}
	}
}

// A boot says all with its kind; what else is recorded says in a word what it is about.
func TestRecordWithoutAName(t *testing.T) {
	log := &book{}
	m := newMachine(t, doorTable(t), fsm.Options{Journal: log})
	feed := m.Feed(0)
	for kind, taken := range map[fsm.Kind]bool{fsm.KindBoot: true, fsm.KindStale: false, fsm.KindNote: false} {
		e, err := m.Record(kind, "", fsm.Evidence{Note: "hello"})
		if errors.Is(err, fsm.ErrNotRecordable) == taken || (e.Kind == kind) != taken || !taken && !strings.Contains(err.Error(), string(kind)) {
			t.Errorf("Record(%q) = %+v, %v", kind, e, err)
		}
	}
	m.Close()
	if told := slices.Collect(feed.All(t.Context())); len(log.events) != 1 || len(told) != 1 {
		t.Errorf("committed %+v, told %+v", log.events, told)
	}
}

func TestVetoLeavesEverythingUntouched(t *testing.T) {
	log := &book{}
	m := newMachine(t, doorTable(t), fsm.Options{Journal: log})
	feed := m.Feed(0)
	fire(t, m, "Open")
	before := m.Last()

	log.full = true
	calls := map[string]func() (fsm.Event, error){
		"transition": func() (fsm.Event, error) { return m.Fire("Close", fsm.Evidence{}) },
		"rejected":   func() (fsm.Event, error) { return m.Fire("Knock", fsm.Evidence{}) },
		"note":       func() (fsm.Event, error) { return m.Record(fsm.KindNote, "remark", fsm.Evidence{}) },
	}
	for kind, call := range calls {
		e, err := call()
		var veto *fsm.CommitError
		if !errors.Is(err, fsm.ErrVetoed) || !errors.Is(err, errFull) || !errors.As(err, &veto) {
			t.Fatalf("%s: %v", kind, err)
		}
		if string(veto.Event.Kind) != kind || veto.Event.Seq != 2 {
			t.Errorf("%s: the refused event is %+v", kind, veto.Event)
		}
		if errors.Is(err, fsm.ErrNotPermitted) != (kind == "rejected") {
			t.Errorf("%s: %v", kind, err)
		}
		if e != (fsm.Event{}) || m.Last() != before || m.State() != "Open" {
			t.Errorf("%s: returned %+v, machine is in %q after %+v", kind, e, m.State(), m.Last())
		}
	}

	log.full = false
	fire(t, m, "Close")
	m.Close()
	var seqs []uint64
	for e := range feed.All(t.Context()) {
		seqs = append(seqs, e.Seq)
	}
	if diff := cmp.Diff([]uint64{1, 2}, seqs); diff != "" {
		t.Errorf("the feed saw (-want +got):\n%s", diff)
	}
}

func TestCallsWithinAppend(t *testing.T) {
	log := &book{}
	m := newMachine(t, doorTable(t), fsm.Options{Journal: log})
	feed := m.Feed(0)
	var within []error
	log.during = func() {
		_, fired := m.Fire("Knock", fsm.Evidence{})
		_, noted := m.Record(fsm.KindNote, "remark", fsm.Evidence{})
		within = []error{fired, noted}
		if m.State() != "Closed" || m.Last().Seq != 0 {
			t.Error("the event is visible before it is committed")
		}
		m.Close() // Close may come from anywhere; the event in progress is still told
	}
	fire(t, m, "Open")
	for _, err := range within {
		if !errors.Is(err, fsm.ErrReentrant) {
			t.Errorf("within Append: %v", err)
		}
	}
	if e, ok := feed.Next(t.Context()); !ok || e.To != "Open" {
		t.Errorf("the feed says %+v, %v", e, ok)
	}
	if _, ok := feed.Next(t.Context()); ok {
		t.Error("the feed goes on after Close")
	}
	if _, err := m.Fire("Close", fsm.Evidence{}); !errors.Is(err, fsm.ErrClosed) {
		t.Errorf("Fire after Close: %v", err)
	}
}

func TestConcurrentFireIsRefused(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	log := &book{during: func() { close(inside); <-leave }}
	m := newMachine(t, doorTable(t), fsm.Options{Journal: log})
	var owner sync.WaitGroup
	owner.Go(func() { fire(t, m, "Open") })
	<-inside
	if _, err := m.Fire("Knock", fsm.Evidence{}); !errors.Is(err, fsm.ErrReentrant) {
		t.Errorf("beside Append: %v", err)
	}
	close(leave)
	owner.Wait()
	if m.State() != "Open" || len(log.events) != 1 {
		t.Errorf("state %q after %d events", m.State(), len(log.events))
	}
}

func TestJournalPanicDoesNotHoldTheMachine(t *testing.T) {
	log := &book{during: func() { panic("journal") }}
	m := newMachine(t, doorTable(t), fsm.Options{Journal: log})
	func() {
		defer func() { _ = recover() }()
		_, _ = m.Fire("Open", fsm.Evidence{})
	}()
	log.during = nil
	fire(t, m, "Open")
}

func TestRestartContinuesTheLog(t *testing.T) {
	clock, log := newClock(), &book{}
	first := newMachine(t, doorTable(t), fsm.Options{Run: "r1", Journal: log, Now: clock.Now})
	clock.move(time.Second)
	fire(t, first, "Knock", "Open")
	last := first.Last()

	second := newMachine(t, doorTable(t), fsm.Options{Run: "r2", Journal: log, Now: clock.Now})
	if second.State() != "Open" || second.Last() != last {
		t.Errorf("restarted in %q after %+v", second.State(), second.Last())
	}
	clock.move(time.Millisecond)
	e, err := second.Fire("Close", fsm.Evidence{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Seq != 3 || e.Run != "r2" || e.MonoNS != int64(time.Millisecond) || e.InStateMS != 1 {
		t.Errorf("first event of the second run: %+v", e)
	}
	if state, err := fsm.Replay(doorTable(t), slices.Values(log.events)); err != nil || state != "Closed" {
		t.Errorf("Replay = %q, %v", state, err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := fsm.New(nil, fsm.Options{}); err == nil {
		t.Error("no table: no error")
	}
	foreign := &book{events: []fsm.Event{{Seq: 1, To: "Ajar"}}}
	if _, err := fsm.New(doorTable(t), fsm.Options{Journal: foreign}); err == nil {
		t.Error("unknown state: no error")
	}
}

func TestDefaults(t *testing.T) {
	a, b := newMachine(t, doorTable(t), fsm.Options{}), newMachine(t, doorTable(t), fsm.Options{})
	fire(t, a, "Open")
	fire(t, b, "Open")
	if run := a.Last().Run; !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(run) || run == b.Last().Run {
		t.Errorf("runs %q and %q", run, b.Last().Run)
	}
	if at := a.Last().Time; at.Location() != time.UTC || at != at.Round(0) {
		t.Errorf("time %v is not plain UTC", at)
	}
}

func TestReadersWhileFiring(t *testing.T) {
	ring := fsm.NewRing(8)
	m := newMachine(t, doorTable(t), fsm.Options{Journal: ring})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for last := uint64(0); ; {
				select {
				case <-done:
					return
				default:
				}
				e := m.Last()
				if e.Seq < last || e.Seq > 0 && e.To != fsm.State([]string{"Closed", "Open"}[e.Seq%2]) {
					t.Errorf("torn or old: %+v after seq %d", e, last)
					return
				}
				last = e.Seq
				_ = m.State()
				_ = ring.Events()
			}
		})
	}
	for range 2000 {
		fire(t, m, "Open", "Close")
	}
	close(done)
	readers.Wait()
}
