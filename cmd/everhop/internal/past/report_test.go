package past

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func TestReplaySummary(t *testing.T) {
	p := pasttest.Night(t)
	tells(t, p, map[string]string{"summary": "--summary"})
	path := p.Journal()
	all, _ := tell(t, path)
	timeline, _ := tell(t, path, "--no-summary")
	summary, _ := tell(t, path, "--summary")
	if timeline+summary != all {
		t.Error("timeline and summary are not all")
	}
}

// A process that stood still, a machine that was suspended, a silent peer and a connection that flaps.
func TestReplayUneasy(t *testing.T) {
	tells(t, pasttest.Uneasy(t), map[string]string{"uneasy": "", "uneasy-json": "--json"})
}

// The summary of a run that was killed is not that of one that was stopped.
func TestReplaySummaryOfTheEnd(t *testing.T) {
	lost := consumer.Evidence{Class: "network"}
	killed := pasttest.New(t, "orders").Connect().Idle(2)
	middle := pasttest.New(t, "orders").Connect().Idle(2)
	middle.Events = middle.Events[5:]
	checking := pasttest.New(t, "orders").Connect().Fire(time.Second, consumer.DrainTimeout, consumer.Evidence{})
	again := pasttest.New(t, "orders").Connect().Idle(1)
	again.Clock = again.Clock.Add(time.Minute)
	again.Begin()
	gaveUp := pasttest.New(t, "orders").Fire(0, consumer.Connect, lost).Fire(time.Second, consumer.FatalError, lost)
	for _, tt := range []struct {
		name       string
		log        *pasttest.Log
		args       string
		want, json string
	}{
		{"killed", killed, "", "Consuming since 2026-11-22 22:00:00 UTC; no Stop in the log",
			`"last_state":"Consuming","last_since":"2026-11-22T22:00:00.02Z"`},
		{"killed, and the log's begin is missing", middle, "", "Consuming since before the log begins; no Stop in the log",
			`"last_state":"Consuming","last_since":null`},
		{"killed while it waits for an answer", checking, "", "HeartbeatCheck since 2026-11-22 22:00:01 UTC; no Stop in the log",
			`"last_state":"HeartbeatCheck","last_since":"2026-11-22T22:00:01.02Z"`},
		{"killed while reviving", pasttest.New(t, "orders").Connect().Fire(time.Second, consumer.ConnectionError, lost), "",
			"Reviving since 2026-11-22 22:00:01 UTC; no Stop in the log", `"last_state":"Reviving"`},
		{"stopped", pasttest.New(t, "orders").Connect().Fire(time.Second, consumer.Stop, lost), "",
			"Disconnected since 2026-11-22 22:00:01 UTC, after Stop", `"last_state":"Disconnected"`},
		{"gave up", gaveUp, "",
			"Disconnected since 2026-11-22 22:00:01 UTC, after FatalError", `"last_state":"Disconnected"`},
		{"never began", pasttest.New(t, "orders"), "", "Disconnected since 2026-11-22 22:00:00 UTC", `"last_state":"Disconnected"`},
		{"the log goes on", killed, "--until 2026-11-22T22:00:03Z", "Consuming since 2026-11-22 22:00:00 UTC", `"last_state":"Consuming"`},
		{"until a time after the log", killed, "--until 2026-11-22T23:00:00Z",
			"Consuming since 2026-11-22 22:00:00 UTC; no Stop in the log", `"last_state":"Consuming"`},
		{"until a time between the runs", again, "--until 2026-11-22T22:00:30Z",
			"Consuming, or none any more: the run ended without Stop", `"last_state":"Consuming"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{tt.log.File(), "--summary"}, strings.Fields(tt.args)...)
			if told, err := tell(t, args...); !strings.Contains(told, "\nat the end        "+tt.want+"\n") {
				t.Errorf("%v; no %q in\n%s", err, tt.want, told)
			}
			if told, err := tell(t, append(args, "--json")...); !strings.Contains(told, tt.json) {
				t.Errorf("%v; no %q in\n%s", err, tt.json, told)
			}
		})
	}
}

// Several machines with one name: that comes first, before figures that mean nothing.
func TestReplaySummaryOfOverlaps(t *testing.T) {
	a, b := pasttest.New(t, "orders").Connect().Idle(3), pasttest.New(t, "orders").Connect().Idle(3)
	mixed := &pasttest.Log{T: t}
	for i := range a.Events {
		b.Events[i].Run = "another"
		mixed.Events = append(mixed.Events, a.Events[i], b.Events[i])
	}
	told, _ := tell(t, mixed.File(), "--summary")
	lines := strings.Split(told, "\n")
	if !strings.HasPrefix(lines[2], "warning           not to be trusted: ") || !slices.Contains(lines, "runs              2") {
		t.Error(told)
	}
}

// A log of several machines is told in its order: what one does is told after what others did before, folded or not.
func TestReplayTellsMachinesInOrder(t *testing.T) {
	lost := consumer.Evidence{Class: "network"}
	a, b := pasttest.New(t, "orders").Connect().Idle(40), pasttest.New(t, "mails").Connect().Idle(3)
	b.Fire(time.Second, consumer.ConnectionError, lost)
	for n := range 5 {
		b.Fire(time.Second, consumer.ReviveFailed, consumer.Evidence{Class: "network", Attempt: n + 1})
	}
	b.Fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 6}).Idle(20).Fire(time.Second, consumer.Stop, consumer.Evidence{})
	a.Fire(time.Second, consumer.Stop, consumer.Evidence{})
	mixed := &pasttest.Log{T: t, Events: slices.Concat(a.Events, b.Events)}
	slices.SortStableFunc(mixed.Events, func(x, y fsm.Event) int { return x.Time.Compare(y.Time) })
	told, _ := tell(t, mixed.File(), "--no-summary")
	lines := strings.Split(strings.TrimSpace(told), "\n")
	if !slices.IsSortedFunc(lines, func(x, y string) int { return strings.Compare(x[:24], y[:24]) }) {
		t.Errorf("not in order:\n%s", told)
	}
	for _, want := range []string{"idle x3 ", "ReviveFailed x4 ", "[mails] heartbeats answered", "[orders] heartbeats answered"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
}
