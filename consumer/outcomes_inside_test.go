package consumer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/fsm"
)

// To count and time a call costs a handled message no allocation.
func TestTallyAllocates(t *testing.T) {
	spec := Config{Subscriptions: []Subscription{{Queue: "q", Handler: func(context.Context, *Delivery) error { return nil }}}}.withDefaults().Subscriptions[0]
	d := newDispatcher(spec, environment{counts: &counts{}, logger: zerolog.Nop(), inside: &inside.Marks{}, work: t.Context()})
	w := &worker{dispatcher: d}
	d.crew.all = append(d.crew.all, w)
	delivery := &Delivery{}
	const runs = 1000
	if n := testing.AllocsPerRun(runs, func() { w.call(delivery) }); n > 0 {
		t.Errorf("a call allocates %v times", n)
	}
	if h := d.crew.handling(); h.calls != runs+1 || h.total <= 0 || h.longest <= 0 || h.oldest != 0 {
		t.Errorf("%+v", h)
	}
	if h := d.crew.handling(); h.calls != runs+1 || h.longest != 0 {
		t.Errorf("asked again: %+v", h)
	}
}

func TestHeadline(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"\n\n \r\n":               "",
		"one\ntwo":                "one",
		"\n  one\t two \r\nthree": "one  two",
		"a\x00b\x1b[2Jc\u202ed":   "ab[2Jcd",
		"\xff\xfe":                "\uFFFD",
		strings.Repeat("x", 200):  strings.Repeat("x", 200),
		strings.Repeat("x", 201):  strings.Repeat("x", 197) + "…",
		strings.Repeat("日", 1000): strings.Repeat("日", 65) + "…",
	} {
		if got := headline(text); got != want || len(got) > maxHeadline {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestUntilMinute(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"2026-01-01T10:00:00Z":      time.Minute,
		"2026-01-01T10:00:59.5Z":    time.Second / 2,
		"2026-01-01T10:00:30+05:30": 30 * time.Second,
	} {
		at, err := time.Parse(time.RFC3339, text)
		if got := untilMinute(at); got != want || err != nil {
			t.Errorf("%s: got %v, want %v, %v", text, got, want, err)
		}
	}
}

// What is told of messages by events is logged by nobody who asks for less than all: a failure has a line where it
// happens.
func TestLevelOfOutcomes(t *testing.T) {
	for _, name := range []string{NoteOutcomes, NoteParked, NoteDeadLettered, NotePermanent, NoteTimedOut, NotePanicked} {
		e := fsm.Event{Kind: fsm.KindNote, Name: name, Evidence: Evidence{Queue: "q", Error: "poison", Cause: NotePermanent}.Event()}
		if level := new(levels).of(e); level != zerolog.DebugLevel {
			t.Errorf("%s: %v", name, level)
		}
	}
}

// BenchmarkCall is what a call costs that does nothing.
func BenchmarkCall(b *testing.B) {
	spec := Config{Subscriptions: []Subscription{{Queue: "q", Handler: func(context.Context, *Delivery) error { return nil }}}}.withDefaults().Subscriptions[0]
	w := &worker{dispatcher: newDispatcher(spec, environment{counts: &counts{}, work: b.Context()})}
	delivery := &Delivery{}
	b.ReportAllocs()
	for b.Loop() {
		w.call(delivery)
	}
}
