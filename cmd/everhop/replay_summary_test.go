package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func TestReplaySummary(t *testing.T) {
	p := night(t)
	tells(t, p, map[string]string{"summary": "--summary"})
	path := p.journal()
	_, all, _ := inProcess(t, "replay", path)
	_, timeline, _ := inProcess(t, "replay", path, "--no-summary")
	_, summary, _ := inProcess(t, "replay", path, "--summary")
	if timeline+summary != all {
		t.Error("timeline and summary are not all")
	}
}

// The summary of a run that was killed is not that of one that was stopped.
func TestReplaySummaryOfTheEnd(t *testing.T) {
	lost := consumer.Evidence{Class: "network"}
	killed := newPast(t, "orders").connect().idle(2)
	middle := newPast(t, "orders").connect().idle(2)
	middle.log = middle.log[5:]
	checking := newPast(t, "orders").connect().fire(time.Second, consumer.DrainTimeout, consumer.Evidence{})
	again := newPast(t, "orders").connect().idle(1)
	again.clock = again.clock.Add(time.Minute)
	again.begin()
	gaveUp := newPast(t, "orders").fire(0, consumer.Connect, lost).fire(time.Second, consumer.FatalError, lost)
	for _, tt := range []struct {
		name       string
		log        *past
		args       string
		want, json string
	}{
		{"killed", killed, "", "Consuming since 2026-11-22 22:00:00 UTC; no Stop in the log",
			`"last_state":"Consuming","last_since":"2026-11-22T22:00:00.02Z"`},
		{"killed, and the log's begin is missing", middle, "", "Consuming since before the log begins; no Stop in the log",
			`"last_state":"Consuming","last_since":null`},
		{"killed while it waits for an answer", checking, "", "HeartbeatCheck since 2026-11-22 22:00:01 UTC; no Stop in the log",
			`"last_state":"HeartbeatCheck","last_since":"2026-11-22T22:00:01.02Z"`},
		{"killed while reviving", newPast(t, "orders").connect().fire(time.Second, consumer.ConnectionError, lost), "",
			"Reviving since 2026-11-22 22:00:01 UTC; no Stop in the log", `"last_state":"Reviving"`},
		{"stopped", newPast(t, "orders").connect().fire(time.Second, consumer.Stop, lost), "",
			"Disconnected since 2026-11-22 22:00:01 UTC, after Stop", `"last_state":"Disconnected"`},
		{"gave up", gaveUp, "",
			"Disconnected since 2026-11-22 22:00:01 UTC, after FatalError", `"last_state":"Disconnected"`},
		{"never began", newPast(t, "orders"), "", "Disconnected since 2026-11-22 22:00:00 UTC", `"last_state":"Disconnected"`},
		{"the log goes on", killed, "--until 2026-11-22T22:00:03Z", "Consuming since 2026-11-22 22:00:00 UTC", `"last_state":"Consuming"`},
		{"until a time after the log", killed, "--until 2026-11-22T23:00:00Z",
			"Consuming since 2026-11-22 22:00:00 UTC; no Stop in the log", `"last_state":"Consuming"`},
		{"until a time between the runs", again, "--until 2026-11-22T22:00:30Z",
			"Consuming, or none any more: the run ended without Stop", `"last_state":"Consuming"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"replay", tt.log.logFile(), "--utc", "--summary"}, strings.Fields(tt.args)...)
			if _, stdout, stderr := inProcess(t, args...); !strings.Contains(stdout, "\nat the end        "+tt.want+"\n") {
				t.Errorf("no %q in\n%s%s", tt.want, stdout, stderr)
			}
			if _, stdout, stderr := inProcess(t, append(args, "--json")...); !strings.Contains(stdout, tt.json) {
				t.Errorf("no %q in\n%s%s", tt.json, stdout, stderr)
			}
		})
	}
}

// Several machines with one name: that comes first, before figures that mean nothing.
func TestReplaySummaryOfOverlaps(t *testing.T) {
	a, b := newPast(t, "orders").connect().idle(3), newPast(t, "orders").connect().idle(3)
	mixed := &past{t: t}
	for i := range a.log {
		b.log[i].Run = "another"
		mixed.log = append(mixed.log, a.log[i], b.log[i])
	}
	_, stdout, _ := inProcess(t, "replay", mixed.logFile(), "--summary")
	lines := strings.Split(stdout, "\n")
	if !strings.HasPrefix(lines[2], "warning           not to be trusted: ") || !slices.Contains(lines, "runs              2") {
		t.Error(stdout)
	}
}

// A log of several machines is told in its order: what one does is told after what others did before, folded or not.
func TestReplayTellsMachinesInOrder(t *testing.T) {
	lost := consumer.Evidence{Class: "network"}
	a, b := newPast(t, "orders").connect().idle(40), newPast(t, "mails").connect().idle(3)
	b.fire(time.Second, consumer.ConnectionError, lost)
	for n := range 5 {
		b.fire(time.Second, consumer.ReviveFailed, consumer.Evidence{Class: "network", Attempt: n + 1})
	}
	b.fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 6}).idle(20).fire(time.Second, consumer.Stop, consumer.Evidence{})
	a.fire(time.Second, consumer.Stop, consumer.Evidence{})
	mixed := &past{t: t, log: slices.Concat(a.log, b.log)}
	slices.SortStableFunc(mixed.log, func(x, y fsm.Event) int { return x.Time.Compare(y.Time) })
	_, stdout, _ := inProcess(t, "replay", mixed.logFile(), "--utc", "--no-summary")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if !slices.IsSortedFunc(lines, func(x, y string) int { return strings.Compare(x[:24], y[:24]) }) {
		t.Errorf("not in order:\n%s", stdout)
	}
	for _, want := range []string{"idle x3 ", "ReviveFailed x4 ", "[mails] heartbeats answered", "[orders] heartbeats answered"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}
