package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// logOf makes of events what a container's log has.
func logOf(t *testing.T, events []fsm.Event, prefix string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(prefix + "starting up {not json}\n\n")
	for i, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(prefix + strings.Replace(string(text), "{", `{"level":"info",`, 1) + "\n")
		if i%10 == 0 {
			b.WriteString(prefix + `{"level":"info","time":"2026-11-22T22:00:00Z","kind":"request","seq":1,"message":"GET /"}` + "\n")
		}
	}
	return b.String()
}

func TestReplayLogs(t *testing.T) {
	p := night(t)
	_, want, _ := inProcess(t, "replay", p.journal(), "--utc")
	text := logOf(t, p.log, "[pod/orders-1] ")
	path := newFile(t, "pod.log", text)
	for name, args := range map[string][]string{"file": {"replay", path, "--utc"}, "standard input": {"replay", "-", "--utc"}} {
		status, got, stderr := withInput(t, text, args...)
		if diff := cmp.Diff(want, got); diff != "" || status != 0 || stderr != "" {
			t.Errorf("%s: exit status %d, %s\n%s", name, status, stderr, diff)
		}
	}
	routine := func(e fsm.Event) bool {
		return e.Trigger == consumer.DrainTimeout || e.Trigger == consumer.HeartbeatOK || e.Trigger == consumer.ReviveFailed && attempt(e)&(attempt(e)-1) != 0
	}
	_, got, _ := withInput(t, logOf(t, slices.DeleteFunc(p.log, routine), ""), "replay", "-", "--utc")
	golden.Assert(t, got, "replay/log-info.txt")
}

func attempt(e fsm.Event) int { return consumer.EvidenceOf(e).Attempt }
