//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What another tool's queue has dead-lettered is listed, retried and discarded as what is parked.
func TestParkedDeadLettered(t *testing.T) {
	server := deadLettering(t, "a", "b")
	do := func(want string, args ...string) {
		t.Helper()
		status, stdout, stderr := inProcess(t, append(args, "--url", server.URL())...)
		if status != 0 || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%q: exit status %d, no %q in\n%s%s", args, status, want, stdout, stderr)
		}
	}
	reject := func() {
		t.Helper()
		prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--until-empty", "--exec", "exit 3", "--reject-status", "3").start().wait(0)
	}
	reject()
	do("COUNT  FIRST", "parked", "list", "dead", "--group")
	do(`"error":"rejected","from":"q","times":1`, "parked", "list", "dead", "--output", "jsonl")
	do("2 of 2", "parked", "retry", "dead", "--dry-run")
	do("2 retried, 0 left", "parked", "retry", "dead", "--from-queue", "q", "--yes")
	for _, m := range server.Messages("q") {
		if m.Headers["x-death"] != nil {
			t.Errorf("it still has %v", m.Headers)
		}
	}
	reject()
	do("2 of 2", "parked", "discard", "dead", "--dry-run")
	to := filepath.Join(t.TempDir(), "bin")
	do("2 discarded, 0 left", "parked", "discard", "dead", "--yes", "--to", to)
	if text, err := os.ReadFile(to); err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("%v: %s", err, text)
	}
}
