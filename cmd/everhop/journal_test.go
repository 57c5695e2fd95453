package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// What consume has put into a journal, verify finds right and replay tells.
func TestConsumeJournal(t *testing.T) {
	server := brokertest.NewServer(t)
	if err := errors.Join(server.DeclareQueue("q", nil), server.Publish("q", "1", "2", "3", "4")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "journal")
	for range 2 {
		status, _, stderr := inProcess(t, "consume", "--url", server.URL(), "--queue", "q", "--count", "2", "--journal", dir)
		if status != 0 {
			t.Fatal(stderr)
		}
	}
	status, stdout, stderr := inProcess(t, "verify", dir)
	if status != 0 || !strings.HasPrefix(stdout, "checked           8 events, seq 1 to 8, of 2 runs\n") {
		t.Errorf("verify: exit status %d\n%s%s", status, stdout, stderr)
	}
	status, stdout, stderr = inProcess(t, "replay", dir)
	if status != 0 || strings.Count(stdout, "Consuming") < 4 {
		t.Errorf("replay: exit status %d\n%s%s", status, stdout, stderr)
	}

	status, stdout, stderr = inProcess(t, "graph", "--journal", dir)
	if status != 0 || !strings.Contains(stdout, `"Connecting" -> "Consuming" [label="Connected 2×`) {
		t.Errorf("graph: exit status %d\n%s%s", status, stdout, stderr)
	}
	status, stdout, stderr = inProcess(t, "graph", "--journal", dir, "--format", "mermaid")
	if status != 0 || !strings.Contains(stdout, "Connecting --> Consuming : Connected 2#215;") {
		t.Errorf("graph: exit status %d\n%s%s", status, stdout, stderr)
	}

	segments, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	unsealed := strings.Replace(string(text), `"crc"`, `"crd"`, 1) // line 1 looks like one of a log
	if err := os.WriteFile(segments[0], []byte(unsealed), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := inProcess(t, "verify", dir); status != 3 || !strings.Contains(stderr, segments[0]+":1 is damaged") {
		t.Errorf("verify of a damaged first line: exit status %d, %s", status, stderr)
	}
	changed := strings.Replace(string(text), "Connected", "connected", 1)
	if err := os.WriteFile(segments[0], []byte(changed), 0o600); err != nil { // line 1 is a snapshot
		t.Fatal(err)
	}
	if status, _, stderr := inProcess(t, "verify", dir); status != 3 || !strings.Contains(stderr, segments[0]+":4 is damaged") {
		t.Errorf("verify of a damaged journal: exit status %d, %s", status, stderr)
	}
}

func TestJournalInUse(t *testing.T) {
	dir := t.TempDir()
	journal, err := fsm.OpenJournal(dir, fsm.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	status, _, stderr := inProcess(t, "consume", "--url", "amqp://127.0.0.1:1", "--queue", "q", "--journal", dir)
	if status != 1 || !strings.Contains(stderr, "--journal: ") || !strings.Contains(stderr, "pid") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"65536": 65536, "64KB": 65536, "64k": 65536, "64MB": 64 << 20, "2g": 2 << 30,
		"64 MB": 0, "63KB": 0, "-1": 0, "": 0, "MB": 0, "1025GB": 0, "9999999999999GB": 0, "1.5MB": 0,
	} {
		var got int64
		err := size(&got, leastRetain).Set(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestVerifyRepair(t *testing.T) {
	dir := t.TempDir()
	journal, err := fsm.OpenJournal(dir, fsm.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := fsm.New(consumer.Lifecycle(), fsm.Options{Journal: journal})
	if err != nil {
		t.Fatal(err)
	}
	_, fired := machine.Fire(consumer.Connect, fsm.Evidence{})
	if err := errors.Join(fired, journal.Close()); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(dir, "00000000000000000001.jsonl")
	text, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segment, append(text, `{"v":1,"ki`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := inProcess(t, "verify", dir); status != 3 || !strings.Contains(stderr, "damaged") {
		t.Errorf("torn: exit status %d, %s", status, stderr)
	}
	if status, stdout, _ := inProcess(t, "replay", dir); status != 0 || !strings.Contains(stdout, "Connecting") {
		t.Errorf("replay of a torn journal: exit status %d, %s", status, stdout)
	}
	status, stdout, stderr := inProcess(t, "verify", "--repair", dir)
	if status != 0 || !strings.HasPrefix(stdout, "checked           2 events") || !strings.Contains(stderr, segment+".torn") {
		t.Errorf("repaired: exit status %d\n%s%s", status, stdout, stderr)
	}
	if status, _, stderr := inProcess(t, "verify", "--repair", segment); status != 1 || !strings.Contains(stderr, "is not the directory of a journal") {
		t.Errorf("a file: exit status %d, %s", status, stderr)
	}
}

func TestGraphWithoutGraphviz(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	status, _, stderr := inProcess(t, "graph", "--format", "svg")
	if status != 1 || !strings.Contains(stderr, "--format svg: Graphviz is not installed") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}
