package history_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// What the events of both have in common must have one name: history knows it by the consumer's.
func TestLifecyclesHaveInCommon(t *testing.T) {
	for _, names := range [][]string{
		{string(consumer.Disconnected), string(publish.Disconnected)},
		{string(consumer.Connecting), string(publish.Connecting)},
		{string(consumer.Reviving), string(publish.Reviving)},
		{string(consumer.Connect), string(publish.Connect)},
		{string(consumer.Connected), string(publish.Connected)},
		{string(consumer.HeartbeatFailed), string(publish.HeartbeatFailed)},
		{string(consumer.Revived), string(publish.Revived)},
		{string(consumer.ReviveFailed), string(publish.ReviveFailed)},
		{string(consumer.Stop), string(publish.Stop)},
		{string(consumer.ProcessRestarted), string(publish.ProcessRestarted)},
		{consumer.FieldGeneration, publish.FieldGeneration},
		{consumer.FieldAttempt, publish.FieldAttempt},
		{consumer.FieldBackoffMS, publish.FieldBackoffMS},
		{consumer.FieldSilenceMS, publish.FieldSilenceMS},
		{consumer.FieldStalledMS, publish.FieldStalledMS},
		{consumer.FieldEndpoint, publish.FieldEndpoint},
		{consumer.FieldScope, publish.FieldScope},
		{consumer.FieldClass, publish.FieldClass},
		{consumer.FieldCode, publish.FieldCode},
		{consumer.NoteStalled, publish.NoteStalled},
		{consumer.NoteClockSetBack, publish.NoteClockSetBack},
	} {
		if names[0] != names[1] {
			t.Errorf("%q of a consumer is %q of a publisher", names[0], names[1])
		}
	}
	for _, of := range []*history.Lifecycle{history.Consumer(), history.Publisher()} {
		if !slices.Contains(of.Table.States(), of.Up) || of.Check != "" && !slices.Contains(of.Table.States(), of.Check) {
			t.Errorf("the table of a %s has no %q or %q", of.Noun, of.Up, of.Check)
		}
		if to, _ := of.Table.Next(of.Up, of.Probe); to != of.Check {
			t.Errorf("the probe of a %s leads to %q", of.Noun, to)
		}
		if to, _ := of.Table.Next(of.Check, of.Answer); of.Check != "" && to != of.Up {
			t.Errorf("the answer leads a %s to %q", of.Noun, to)
		}
	}
}

func TestLifecycleOf(t *testing.T) {
	tests := []struct {
		name string
		e    fsm.Event
		want *history.Lifecycle
	}{
		{"a consumer's table", fsm.Event{Kind: fsm.KindBoot, From: "Disconnected", To: "Disconnected", Table: consumer.Lifecycle().Fingerprint()}, history.Consumer()},
		{"a publisher's table", fsm.Event{Kind: fsm.KindBoot, From: "Disconnected", To: "Disconnected", Table: publish.Lifecycle().Fingerprint()}, history.Publisher()},
		{"the table goes before the state", fsm.Event{To: "Consuming", Table: publish.Lifecycle().Fingerprint()}, history.Publisher()},
		{"an older table, and a state", fsm.Event{From: "Blocked", To: "Reviving", Table: "0123456789abcdef"}, history.Publisher()},
		{"to a state", fsm.Event{From: "Connecting", To: "Publishing", Trigger: "Connected"}, history.Publisher()},
		{"from a state", fsm.Event{From: "HeartbeatCheck", To: "Reviving", Trigger: "ConnectionError"}, history.Consumer()},
		{"via a state", fsm.Event{From: "A", To: "A", Via: "HeartbeatCheck"}, history.Consumer()},
		{"a trigger", fsm.Event{From: "Reviving", To: "Reviving", Trigger: "ConnectionUnblocked", Kind: fsm.KindRejected}, history.Publisher()},
		{"a trigger back", fsm.Event{From: "A", To: "A", Back: "HeartbeatOK"}, history.Consumer()},
		{"a note", fsm.Event{From: "Reviving", To: "Reviving", Kind: fsm.KindNote, Name: publish.NoteRefused}, history.Publisher()},
		{"a note that both have", fsm.Event{From: "Reviving", To: "Reviving", Kind: fsm.KindNote, Name: "remark"}, nil},
		{"what both have", fsm.Event{From: "Connecting", To: "Reviving", Trigger: "ConnectionError"}, nil},
		{"what neither has", fsm.Event{From: "Open", To: "Closed", Trigger: "Close", Table: "0123456789abcdef"}, nil},
		{"nothing", fsm.Event{}, nil},
	}
	for _, tt := range tests {
		if got := history.LifecycleOf(tt.e); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// published is a publisher's log with an outage of each kind: a reset of 500 ms, a silence of 4 s and one second more, and
// an alarm of a minute in which the connection is lost.
func published(t tester) *writer {
	w := newWriterOf(t, history.Publisher()).begin().wait(30 * ms)
	w.fire(publish.Connect).wait(20*ms).fire(publish.Connected, consumer.Evidence{Endpoint: "mq1:5672", Generation: 1})
	w.wait(time.Hour).fire(publish.ConnectionError, reset).revive(0, 500*ms, reset)
	silent := frozen
	silent.SilenceMS = 4000
	w.wait(time.Hour).fire(publish.HeartbeatFailed, silent).revive(0, time.Second, frozen)
	w.wait(time.Hour).fire(publish.ConnectionBlocked, consumer.Evidence{Note: "low on memory"})
	w.wait(20*time.Second).fire(publish.ConnectionError, reset).revive(9, time.Second, refused)
	w.fire(publish.ConnectionBlocked, consumer.Evidence{Note: "low on memory"})
	w.wait(30 * time.Second).fire(publish.ConnectionUnblocked)
	return w.wait(time.Hour).fire(publish.Stop)
}

func TestSummaryOfAPublisher(t *testing.T) {
	w := published(t)
	var s history.Summary
	for _, e := range w.log {
		s.Apply(e)
	}
	r := s.Report()
	if s.Lifecycle() != history.Publisher() {
		t.Errorf("of a %s", s.Lifecycle().Noun)
	}
	const down = 500*ms + 5*time.Second + 30*time.Second + 30*time.Second
	if r.Up != 4*time.Hour-4*time.Second || r.Down != down+20*ms || r.Stopped != 30*ms || r.Unknown != 0 {
		t.Errorf("up %v, down %v, stopped %v, unknown %v", r.Up, r.Down, r.Stopped, r.Unknown)
	}
	if got := fmt.Sprint(r.Revivals); r.Outages != 4 || got != "map[ConnectionBlocked:2 heartbeat:1 network:1]" || r.Attempts != 13 {
		t.Errorf("%d outages, revived %s, %d attempts", r.Outages, got, r.Attempts)
	}
	if r.RecoverMax != 30*time.Second || r.Longest.Cause.Trigger != publish.ConnectionBlocked || r.Longest.Ending != publish.Revived {
		t.Errorf("the longest: %+v", r.Longest)
	}
	if err := agree(w.log); err != nil {
		t.Error(err)
	}
}

// A publisher that stood still was down as a consumer is, by its journal and by its log; while it was Blocked it was down
// anyway.
func TestSummaryOfAPublisherThatStoodStill(t *testing.T) {
	w := newWriterOf(t, history.Publisher()).begin()
	w.fire(publish.Connect).wait(20 * ms).fire(publish.Connected)
	stand := func(d time.Duration) {
		w.wait(d)
		if _, err := w.m.Record(fsm.KindNote, publish.NoteStalled, publish.Evidence{StalledMS: d.Milliseconds()}.Event()); err != nil {
			t.Fatal(err)
		}
	}
	w.wait(time.Minute)
	stand(50 * time.Second)
	w.wait(time.Minute).fire(publish.ConnectionBlocked)
	stand(10 * time.Second)
	w.wait(20 * time.Second).fire(publish.ConnectionUnblocked).wait(time.Minute).fire(publish.Stop)
	var logged []fsm.Event
	for _, e := range w.log {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := history.ParseLog(line); ok {
			logged = append(logged, e)
		}
	}
	for name, log := range map[string][]fsm.Event{"journal": w.log, "log": logged} {
		r := summarize(log)
		if r.Up != 3*time.Minute || r.Down != 20*ms+80*time.Second || r.Stalls != 1 || r.Stalled != 50*time.Second {
			t.Errorf("%s: up %v, down %v, stalled %v", name, r.Up, r.Down, r.Stalled)
		}
		if got := fmt.Sprint(r.Revivals); got != "map[ConnectionBlocked:1 stalled:1]" || r.Longest.Cause.Name() != history.Stalled {
			t.Errorf("%s: revived %s, the longest %+v", name, got, r.Longest)
		}
		if err := agree(log); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTimelineOfAPublisher(t *testing.T) {
	w := published(t)
	w.begin().fire(publish.Connect).wait(20 * ms).fire(publish.Connected)
	for range 5 {
		w.wait(time.Second).fire(publish.ConnectionError, reset).revive(0, 20*ms, reset)
	}
	w.fire(publish.Stop)
	var got strings.Builder
	timeline := history.NewTimeline(func(e history.Entry) { got.WriteString(told(e)) })
	for _, e := range w.log {
		timeline.Apply(e)
	}
	timeline.Flush()
	golden.Assert(t, got.String(), "publisher.txt")
}
