//go:build unix

package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
	"github.com/everhop/everhop/consumer"
)

// What there is to say about the journal does not keep the demo from ending when nobody reads it.
func TestDemoStopsUnread(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tear(t, makeJournal(t, dir, consumer.Lifecycle(), consumer.Connect))
	p := prepareAlone(t, "demo", "--journal", dir)
	p.cmd.Stderr = deadend.FullPipe(t)
	p.start()
	rabbittest.Eventually(t, patience, "it is at work", func() bool { return p.stdout.String() != "" })
	p.signal(syscall.SIGTERM)
	p.wait(0)
}

// A graph that could not be written is no success.
func TestDemoFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full, which only Linux has: ", err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var stdout, stderr transcript
	status := run(ctx, []string{"demo", "--dot", "/dev/full"}, nil, &stdout, &stderr)
	if got := stderr.String(); status != 1 || !strings.HasPrefix(got, "everhop: write /dev/full: ") ||
		strings.Contains(stdout.String(), "Where to go next") {
		t.Errorf("exit status %d, standard output\n%s\nstandard error\n%s", status, &stdout, got)
	}
}
