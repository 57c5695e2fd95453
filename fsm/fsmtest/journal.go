package fsmtest

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
)

// Journal checks a journal within one process. Open returns a new, empty one each
// time, and has it closed by t.Cleanup if it needs that. It need not hold more
// than 100 events.
func Journal(t *testing.T, open func(t *testing.T) fsm.Journal) {
	t.Run("a new journal is empty", func(t *testing.T) {
		if e, ok := open(t).Last(); ok {
			t.Errorf("Last = %+v", e)
		}
	})
	t.Run("last is the newest", func(t *testing.T) {
		journal := open(t)
		for _, e := range log(t) {
			check(t, journal.Append(e))
			last(t, journal, e)
		}
	})
	t.Run("a machine starts where the last one stopped", func(t *testing.T) {
		journal := open(t)
		for run, want := range []fsm.State{"on", "off", "on"} {
			m := machine(t, journal, run)
			fire(t, m)
			if m.State() != want || m.Last().Seq != uint64(2*run+2) {
				t.Errorf("run %d: %s after %d events, want %s after %d", run, m.State(), m.Last().Seq, want, 2*run+2)
			}
			m.Close()
			last(t, journal, m.Last())
		}
	})
	t.Run("any text is taken", func(t *testing.T) {
		m := machine(t, open(t), 0)
		for _, text := range []string{"\x00\n\r\"\\\u2028", "\xff\xfe", strings.Repeat("long ", 1<<18)} {
			_, err := m.Record(fsm.KindNote, text, fsm.Evidence{Error: text, Note: text})
			check(t, err)
			_, err = m.Fire("press", fsm.Evidence{Details: details(t, map[string]string{"text": text[:min(len(text), 1000)]})})
			check(t, err)
		}
		fire(t, m)
	})
	t.Run("last is read from anywhere", func(t *testing.T) {
		journal := open(t)
		m := machine(t, journal, 0)
		var readers sync.WaitGroup
		defer readers.Wait()
		stop := make(chan struct{})
		defer close(stop)
		for range 2 {
			readers.Go(func() { watch(t, journal, stop) })
		}
		for range 40 {
			fire(t, m)
		}
	})
}

// Durable checks a journal that outlives its process, besides what [Journal]
// does. Open opens the one that is kept in dir, an existing directory; the journal
// is closed with its Close method before it is opened again.
func Durable(t *testing.T, open func(t *testing.T, dir string) fsm.Journal) {
	Journal(t, func(t *testing.T) fsm.Journal {
		journal := open(t, t.TempDir())
		t.Cleanup(func() { closeIt(t, journal) })
		return journal
	})
	t.Run("an empty journal is still empty", func(t *testing.T) {
		dir := t.TempDir()
		closeIt(t, open(t, dir))
		journal := open(t, dir)
		if e, ok := journal.Last(); ok {
			t.Errorf("Last = %+v", e)
		}
		closeIt(t, journal)
	})
	t.Run("the last event is kept, whatever its kind", func(t *testing.T) {
		dir := t.TempDir()
		for _, e := range log(t) {
			journal := open(t, dir)
			check(t, journal.Append(e))
			closeIt(t, journal)
			journal = open(t, dir)
			last(t, journal, e)
			closeIt(t, journal)
		}
	})
	t.Run("a new process starts where the last one stopped", func(t *testing.T) {
		dir := t.TempDir()
		var seq uint64
		for run := range 5 {
			journal := open(t, dir)
			m := machine(t, journal, run)
			fire(t, m)
			if e := m.Last(); e.Seq != seq+2 || m.State() != []fsm.State{"on", "off"}[run%2] {
				t.Errorf("run %d: %s after event %d, want after %d", run, m.State(), e.Seq, seq+2)
			}
			seq = m.Last().Seq
			m.Close()
			closeIt(t, journal)
		}
	})
}

// table is a lamp's.
func table(t *testing.T) *fsm.Table {
	t.Helper()
	lamp, err := fsm.NewTable("off", []fsm.State{"off", "on"}, []fsm.Row{
		{From: []fsm.State{"off"}, Trigger: "press", To: "on", Doc: "it is dark"},
		{From: []fsm.State{"on"}, Trigger: "press", To: "off", Doc: "it is late"},
	})
	check(t, err)
	return lamp
}

func machine(t *testing.T, journal fsm.Journal, run int) *fsm.Machine {
	t.Helper()
	m, err := fsm.New(table(t), fsm.Options{Name: "lamp", Journal: journal, Run: fmt.Sprintf("run-%d", run)})
	check(t, err)
	t.Cleanup(m.Close)
	return m
}

// fire records a boot and presses once: two events.
func fire(t *testing.T, m *fsm.Machine) {
	t.Helper()
	_, err := m.Record(fsm.KindBoot, "", fsm.Evidence{})
	check(t, err)
	_, err = m.Fire("press", fsm.Evidence{Details: details(t, map[string]int{"watts": 40})})
	check(t, err)
}

func details(t *testing.T, v any) fsm.Details {
	t.Helper()
	d, err := fsm.NewDetails(v)
	check(t, err)
	return d
}

// log has an event of each kind that a machine commits, and each field is set in one.
func log(t *testing.T) []fsm.Event {
	t.Helper()
	at := time.Date(2024, 5, 17, 12, 0, 0, 123456789, time.UTC)
	event := func(kind fsm.Kind, from, to fsm.State) fsm.Event {
		return fsm.Event{V: fsm.Schema, Kind: kind, Run: "run", Machine: "lamp", Time: at, MonoNS: 5e9, From: from, To: to}
	}
	events := []fsm.Event{
		event(fsm.KindBoot, "off", "off"), event(fsm.KindTransition, "off", "on"), event(fsm.KindRejected, "on", "on"),
		event(fsm.KindStale, "on", "on"), event(fsm.KindNote, "on", "on"),
	}
	events[0].Table, events[1].Trigger, events[2].Trigger, events[1].InStateMS = "0123456789abcdef", "press", "explode", 5000
	events[3].Name, events[4].Name = "late", "remark"
	events[1].Details = details(t, json.RawMessage(`{"watts":40,"room":{"name":"\u006bitchen","v":1},"price":1.50e+0,"room":null,"<&>":"<&>"}`))
	events[2].Evidence = fsm.Evidence{Details: details(t, map[string]string{"long": strings.Repeat("x", 8000)}), Error: `it said "no"`, Note: "über"}
	events[4].Details = details(t, map[string]string{"": "\x00\"über\u2028"})
	return number(events)
}

func number(events []fsm.Event) []fsm.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].Seq = uint64(i + 1)
	}
	return events
}

// watch reads Last until stop: it never goes back, and is never half an event.
func watch(t *testing.T, journal fsm.Journal, stop <-chan struct{}) {
	var seen uint64
	for {
		select {
		case <-stop:
			return
		default:
		}
		e, ok := journal.Last()
		if e.Seq < seen || ok != (e.Seq > 0) || ok && e.Machine != "lamp" {
			t.Errorf("Last = %+v, %v after %d", e, ok, seen)
			return
		}
		seen = e.Seq
	}
}

func last(t *testing.T, journal fsm.Journal, want fsm.Event) {
	t.Helper()
	if e, ok := journal.Last(); !ok || e != want {
		t.Errorf("Last = %+v, %v; want %+v", e, ok, want)
	}
}

func closeIt(t *testing.T, journal fsm.Journal) {
	t.Helper()
	if c, ok := journal.(io.Closer); ok {
		check(t, c.Close())
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
