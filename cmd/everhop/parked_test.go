package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/parked"
)

// parkedQueue has messages of a few bytes, as parkedQueueOf.
func parkedQueue(t *testing.T, n int) *brokertest.Server {
	t.Helper()
	return parkedQueueOf(t, n, "body ")
}

// parkedQueueOf is a broker with the queues q and q.parked; in the latter are n messages, every third with another error, whose
// bodies begin so.
func parkedQueueOf(t *testing.T, n int, body string) *brokertest.Server {
	t.Helper()
	server := oneQueue(t)
	if err := server.DeclareQueue("q.parked", nil); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for i := range n {
		err := fmt.Sprintf("price of %d is bad", i)
		if i%3 == 0 {
			err = "no stock\nstderr: out of 7"
		}
		if err := server.PublishMessage("q.parked", brokertest.Message{
			Body: []byte(fmt.Sprint(body, i)), MessageID: fmt.Sprint("id-", i),
			Headers: map[string]any{
				consumer.HeaderQueue: "q", consumer.HeaderError: err, consumer.HeaderAttempts: int64(8), "tenant": fmt.Sprint(i % 2),
				consumer.HeaderFirstFailed: at, consumer.HeaderLastFailed: at.Add(time.Duration(i) * time.Minute),
			},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return server
}

func wantOutput(t *testing.T, what, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s: no %q in\n%s", what, w, got)
		}
	}
}

func ids(server *brokertest.Server, queue string) (list []string) {
	for _, m := range server.Messages(queue) {
		list = append(list, m.MessageID)
	}
	return list
}

func someIDs(n int, which func(int) bool) (list []string) {
	for i := range n {
		if which(i) {
			list = append(list, fmt.Sprint("id-", i))
		}
	}
	return list
}

func everyID(int) bool { return true }

func wantIDs(t *testing.T, server *brokertest.Server, queue string, want []string) {
	t.Helper()
	if got := ids(server, queue); !slices.Equal(got, want) {
		t.Errorf("%s: %q; want %q", queue, got, want)
	}
}

func TestParkedList(t *testing.T) {
	server := parkedQueue(t, 6)
	url := server.URL()
	tests := []struct {
		args           []string
		stdout, stderr []string
		lines          int
	}{
		{nil, []string{"TIMES", "8      2026-01-31T12:00:00Z  2026-01-31T12:01:00Z  q     id-1  price of 1 is bad\n", "no stock\n"}, []string{"6 of 6"}, 7},
		{[]string{"--error", "stock", "--count", "1"}, []string{"id-0"}, []string{"1 of 6"}, 2},
		{[]string{"--error", "out of"}, []string{"id-0", "id-3"}, []string{"2 of 6"}, 3},
		{[]string{"--since", "2026-01-31T12:04:00Z"}, []string{"id-4", "id-5"}, nil, 3},
		{[]string{"--since", "1h"}, nil, []string{"0 of 6"}, 0},
		{[]string{"--id", "id-2"}, []string{"price of 2"}, nil, 2},
		{[]string{"--header", "tenant=1", "--from-queue", "q"}, []string{"id-1", "id-3", "id-5"}, nil, 4},
		{[]string{"--from-queue", "w"}, nil, []string{"0 of 6"}, 0},
		{[]string{"--group"}, []string{"COUNT", "4 ", "price of ... is bad", "2 ", "2026-01-31T12:05:00Z"}, nil, 3},
		{[]string{"--output", "jsonl"}, []string{`{"error":"price of 1 is bad","from":"q","times":8,"first":"2026-01-31T12:00:00Z",` +
			`"last":"2026-01-31T12:01:00Z","message_id":"id-1","size":6}`}, nil, 6},
		{[]string{"--output", "jsonl", "--group"}, []string{`{"error":"price of ... is bad","count":4,`}, nil, 2},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.args), func(t *testing.T) {
			status, stdout, stderr := inProcess(t, append([]string{"parked", "list", "q.parked", "--url", url}, tt.args...)...)
			if status != 0 || strings.Count(stdout, "\n") != tt.lines {
				t.Errorf("exit status %d\n%s\n%s", status, stdout, stderr)
			}
			wantOutput(t, "stdout", stdout, tt.stdout...)
			wantOutput(t, "stderr", stderr, tt.stderr...)
			wantIDs(t, server, "q.parked", someIDs(6, everyID))
		})
	}
}

func TestParkedShow(t *testing.T) {
	server := parkedQueue(t, 4)
	status, stdout, _ := inProcess(t, "parked", "show", "q.parked", "--url", server.URL(), "--id", "id-3")
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	wantOutput(t, "show", stdout, "id           id-3\n", "error        no stock\n             stderr: out of 7\n", "header       tenant = 1\n", "\n\nbody 3\n")
	status, stdout, _ = inProcess(t, "parked", "show", "q.parked", "--url", server.URL(), "--id", "id-3", "--output", "jsonl")
	var record map[string]any
	if err := json.Unmarshal([]byte(stdout), &record); err != nil || status != 0 || record["body"] != "body 3" {
		t.Errorf("%d, %v: %s", status, err, stdout)
	}
	if status, _, stderr := inProcess(t, "parked", "show", "q.parked", "--url", server.URL(), "--id", "none"); status != 1 {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestParkedRetry(t *testing.T) {
	server := parkedQueue(t, 6)
	retry := func(args ...string) (int, string, string) {
		return inProcess(t, append([]string{"parked", "retry", "q.parked", "--url", server.URL(), "--error", "stock"}, args...)...)
	}
	if status, _, stderr := retry(); status != 2 || !strings.Contains(stderr, "--yes is missing") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if status, stdout, stderr := retry("--dry-run"); status != 0 || strings.Count(stdout, "\n") != 3 || !strings.Contains(stderr, "2 of 6") {
		t.Errorf("exit status %d: %s\n%s", status, stdout, stderr)
	}
	wantIDs(t, server, "q", nil)
	status, _, stderr := retry("--yes", "--rate", "100/s")
	if status != 0 || !strings.Contains(stderr, "2 retried, 4 left") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	stock := func(i int) bool { return i%3 == 0 }
	wantIDs(t, server, "q", someIDs(6, stock))
	wantIDs(t, server, "q.parked", someIDs(6, func(i int) bool { return !stock(i) }))

	server.DeleteQueue("q")
	status, _, stderr = inProcess(t, "parked", "retry", "q.parked", "--url", server.URL(), "--yes", "--count", "2")
	if status != 1 || !strings.Contains(stderr, `message "id-1" stays: unroutable: there is no queue "q"`) || !strings.Contains(stderr, "2 failed") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	wantIDs(t, server, "q.parked", someIDs(6, func(i int) bool { return !stock(i) }))
}

// What is discarded can be published again, and is all that it was.
func TestParkedDiscard(t *testing.T) {
	server := parkedQueue(t, 6)
	to := filepath.Join(t.TempDir(), "discarded.jsonl")
	discard := func(args ...string) (int, string, string) {
		return inProcess(t, append([]string{"parked", "discard", "q.parked", "--url", server.URL()}, args...)...)
	}
	for _, args := range [][]string{{"--yes"}, {"--to", to}} {
		if status, _, stderr := discard(args...); status != 2 {
			t.Errorf("%q: exit status %d: %s", args, status, stderr)
		}
	}
	before := server.Messages("q.parked")
	if status, _, stderr := discard("--yes", "--to", to, "--error", "stock"); status != 0 || !strings.Contains(stderr, "2 discarded, 4 left") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if status, _, stderr := discard("--yes", "--to", to, "--id", "id-1"); status != 0 {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	wantIDs(t, server, "q.parked", []string{"id-2", "id-4", "id-5"})
	lines, err := os.ReadFile(to)
	if err != nil || strings.Count(string(lines), "\n") != 3 {
		t.Fatalf("%v: %s", err, lines)
	}
	publishTo(t, server, string(lines), "--input", "jsonl", "--queue", "q.parked")
	after := server.Messages("q.parked")
	wantIDs(t, server, "q.parked", []string{"id-2", "id-4", "id-5", "id-0", "id-3", "id-1"})
	for i, at := range map[int]int{3: 0, 4: 3, 5: 1} {
		if a, b := fmt.Sprint(after[i].Headers), fmt.Sprint(before[at].Headers); a != b || string(after[i].Body) != string(before[at].Body) {
			t.Errorf("%s: want %s", a, b)
		}
	}

	for name, path := range map[string]string{"no file": "/dev/null", "half a line": filepath.Join(t.TempDir(), "half")} {
		if name == "half a line" {
			if err := os.WriteFile(path, []byte(`{"body":`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if status, _, stderr := discard("--yes", "--to", path); status != 1 {
			t.Errorf("%s: exit status %d: %s", name, status, stderr)
		}
	}
	wantIDs(t, server, "q.parked", []string{"id-2", "id-4", "id-5", "id-0", "id-3", "id-1"})
}

func TestPeek(t *testing.T) {
	server := parkedQueue(t, 20)
	peek := func(args ...string) (int, string, string) {
		return inProcess(t, append([]string{"peek", "--url", server.URL()}, args...)...)
	}
	status, stdout, _ := peek("q.parked")
	if status != 0 || strings.Count(stdout, "\n") != 1+defaultPeek {
		t.Errorf("exit status %d\n%s", status, stdout)
	}
	wantOutput(t, "peek", stdout, "ID ", "id-0", "body 9\n")
	if status, stdout, _ := peek("q.parked", "--count", "2", "--output", "body"); status != 0 || stdout != "body 0\nbody 1\n" {
		t.Errorf("exit status %d\n%s", status, stdout)
	}
	if status, stdout, _ := peek("q.parked", "--count", "1", "--output", "jsonl"); status != 0 || !strings.Contains(stdout, `"body":"body 0"`) {
		t.Errorf("exit status %d\n%s", status, stdout)
	}
	if status, stdout, stderr := peek("q"); status != 0 || stdout != "" || !strings.Contains(stderr, "no messages") {
		t.Errorf("exit status %d\n%s%s", status, stdout, stderr)
	}
	if status, _, stderr := peek("nowhere"); status != 1 || !strings.Contains(stderr, "check the name of the queue") {
		t.Errorf("exit status %d\n%s", status, stderr)
	}
	wantIDs(t, server, "q.parked", someIDs(20, everyID))
}

// Where a look costs a life it says so, and nowhere else. That it could is said where its user may not ask.
func TestPeekTellsLives(t *testing.T) {
	for _, tt := range []struct {
		version, kind, configures string
		want                      [2]string
	}{
		{"3.10", "quorum", ".*", [2]string{"quorum queue a life: the most that one has come back is now once", "now 2 times"}},
		{"3.10", "classic", ".*", [2]string{}},
		{"4.3", "quorum", ".*", [2]string{}},
		{"4.3", "classic", ".*", [2]string{}},
		{"3.10", "quorum", "", [2]string{"If this is a quorum queue", "now 2 times"}},
		{"3.10", "classic", "", [2]string{"If this is a quorum queue", ""}},
	} {
		server := brokertest.NewServer(t, brokertest.Config{
			Version: tt.version, Permissions: map[string]map[string]brokertest.Permissions{"guest": {"/": {Read: ".*", Configure: tt.configures}}},
		})
		if err := server.DeclareQueue("q", map[string]any{"x-queue-type": tt.kind}); err != nil {
			t.Fatal(err)
		}
		if err := server.Publish("q", "a", "b"); err != nil {
			t.Fatal(err)
		}
		for _, words := range tt.want {
			status, _, stderr := inProcess(t, "peek", "q", "--url", server.URL())
			if status != 0 || !strings.Contains(stderr, words) || words == "" && stderr != "" {
				t.Errorf("%+v: exit status %d: %s", tt, status, stderr)
			}
		}
	}
}

// What cannot be written is not discarded.
func TestBinBroken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bin")
	b, err := openBin(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	entry := parked.NewEntry(&consumer.Delivery{Body: []byte("x")})
	if err := b.write([]*parked.Entry{entry}); err == nil {
		t.Error("it was written")
	}
}

// A stream is looked at from an offset on.
func TestPeekStream(t *testing.T) {
	server := oneQueue(t)
	if err := errors.Join(server.DeclareQueue("s", map[string]any{"x-queue-type": "stream"}), server.Publish("s", "0", "1", "2")); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"first": "0\n1\n2\n", "1": "1\n2\n"} {
		status, stdout, stderr := inProcess(t, "peek", "s", "--output", "body", "--stream-offset", from, "--url", server.URL())
		if status != 0 || stdout != want || stderr != "" {
			t.Errorf("from %s: exit status %d, %q; %s", from, status, stdout, stderr)
		}
	}
	if status, _, stderr := inProcess(t, "peek", "s", "--url", server.URL()); status != 1 || !strings.Contains(stderr, "say from where with --stream-offset") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

// Long work tells how far it is, now and then.
func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		cmd := &cobra.Command{}
		cmd.SetErr(&said)
		step := newSteps(cmd, "retried")
		for range 25 {
			time.Sleep(time.Second)
			step.tick()
		}
		step.end()
		if got, want := said.String(), "10 retried\n20 retried\n"; got != want {
			t.Errorf("%q; want %q", got, want)
		}
	})
}
