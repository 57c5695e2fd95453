//go:build unix

package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm/journal"
)

// A process that was stopped (SIGSTOP) says so in its journal, and for how long: it was down meanwhile.
func TestConsumeFrozen(t *testing.T) {
	t.Parallel()
	const frozen, drainTimeout = 6 * time.Second, 2 * time.Second
	dir := t.TempDir()
	p := prepare(t, "consume", "--queue", newQueue(t), "--journal", dir, "--log-format", "json", "--listen", "0").start()
	p.logs(`"to":"Consuming"`)
	p.signal(syscall.SIGSTOP)
	<-time.After(frozen) // there is nothing to wait for: it stands still
	p.signal(syscall.SIGCONT)
	p.logs(`"name":"` + consumer.NoteStalled + `"`)
	url := shownAt.FindStringSubmatch(p.stderr.String())[1]
	if _, page, stderr := inProcess(t, "status", url); !strings.Contains(page, " ! PROCESS STOOD STILL: for ") {
		t.Errorf("everhop status does not say that it stood still: %s\n%s", stderr, page)
	}
	p.signal(syscall.SIGTERM)
	p.wait(0)

	var told int64
	var happened history.Summary
	for e, err := range journal.Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		happened.Apply(e)
		if e.Name == consumer.NoteStalled {
			told += consumer.EvidenceOf(e).StalledMS
		}
	}
	if least := frozen - drainTimeout - 100*time.Millisecond; told < least.Milliseconds() {
		t.Errorf("it stood still for %v, and says so of %d ms", frozen, told)
	}
	if r := happened.Report(); r.Down.Milliseconds() < told || r.Revivals[history.Stalled] == 0 {
		t.Errorf("of that it was down for %v: %+v", r.Down, r)
	}
	for want, args := range map[string][]string{
		"the process stood still": {"replay", dir, "--outages"},
		"stood still  ":           {"replay", dir},
		"stood still 1×":          {"graph", "--journal", dir},
	} {
		if status, stdout, stderr := inProcess(t, args...); status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("everhop %v does not say %q: %d, %s\n%s", args, want, status, stderr, stdout)
		}
	}
}

// Likewise one that publishes.
func TestPublishFrozen(t *testing.T) {
	t.Parallel()
	const frozen, lookEvery = 8 * time.Second, 5 * time.Second
	dir := t.TempDir()
	queue := newQueue(t)
	p := prepare(t, "publish", "--queue", queue, "--journal", dir, "--log-format", "json")
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	fmt.Fprintln(stdin, "a line")
	holds(t, queue, 1)
	p.signal(syscall.SIGSTOP)
	<-time.After(frozen)
	p.signal(syscall.SIGCONT)
	p.logs(`"name":"` + publish.NoteStalled + `"`)
	stdin.Close()
	p.wait(0)
	var happened history.Summary
	for e, err := range journal.Read(dir) {
		if err != nil {
			t.Fatal(err)
		}
		happened.Apply(e)
	}
	if r := happened.Report(); r.Down < frozen-lookEvery-100*time.Millisecond || r.Revivals[history.Stalled] == 0 {
		t.Errorf("it stood still for %v, and was down for %v: %+v", frozen, r.Down, r)
	}
}
