//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// briefly is `everhop consume` in this process, with a grace period that is over at once, and a broker
// that is here, too.
type briefly struct {
	*testing.T
	server *brokertest.Server
	c      *consumer.Consumer
	stop   func() // as the first signal does
	ended  chan error
	log    transcript
}

// consumeBriefly begins to consume messages; handling is put in front of what handles them.
func consumeBriefly(t *testing.T, stdout io.Writer, flags []string, handling func(*consumer.Delivery), messages ...string) *briefly {
	t.Helper()
	b := &briefly{T: t, server: oneQueue(t, messages...), ended: make(chan error, 1)}
	f := newConsumption()
	f.grace = time.Millisecond
	if err := f.command().ParseFlags(append([]string{"--queue", "q"}, flags...)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	b.stop = stop
	to := f.destination(stdout, io.Discard, stop)
	sub := f.subscription()
	sub.Commit = to.commit
	sub.Handler = func(ctx context.Context, d *consumer.Delivery) error {
		handling(d)
		return to.handle(ctx, d)
	}
	logger := zerolog.New(&b.log)
	var err error
	if b.c, err = consumer.New(f.config([]string{b.server.URL()}, sub, logger, stop)); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { b.ended <- consume(ctx, context.WithoutCancel(ctx), b.c, to, f.grace, logger) })
	t.Cleanup(func() {
		stop()
		running.Wait() // for what ends its commands
		to.end()
	})
	return b
}

// gaveUp expects an end, exit status 1 for a reason, and all messages in the queue.
func (b *briefly) gaveUp(why string, messages int) {
	b.Helper()
	var stderr bytes.Buffer
	select {
	case err := <-b.ended:
		if status := conclude(err, &stderr); status != 1 || !strings.Contains(stderr.String(), why) {
			b.Errorf("exit status %d, %q; want 1 and %q", status, &stderr, why)
		}
	case <-time.After(patience):
		b.Fatal("it does not end")
	}
	if strings.Contains(b.log.String(), `"stopped"`) {
		b.Errorf("it claims to have stopped:\n%s", &b.log)
	}
	rabbittest.Eventually(b, patience, "its connection is gone", func() bool { return len(b.server.Connections()) == 0 })
	if q, _ := b.server.Queue("q"); q.Ready != messages || q.Acknowledged != 0 {
		b.Errorf("%+v; want %d messages", q, messages)
	}
}

// The reader is stuck, and with it the commit and the handlers.
func TestGraceOverInCommit(t *testing.T) {
	read, write := io.Pipe()
	defer read.Close()
	b := consumeBriefly(t, write, nil, func(*consumer.Delivery) {}, "1", "2", "3")
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.gaveUp("stopped before every handler had finished", 3)
}

// The reader is stuck when all is handled, and no commit comes any more, since the connection is lost:
// what a handler has left is written by finish.
func TestGraceOverInFinish(t *testing.T) {
	read, write := io.Pipe()
	defer read.Close()
	let := map[string]chan struct{}{"1": make(chan struct{}), "2": make(chan struct{})}
	both := make(chan struct{}, 2)
	b := consumeBriefly(t, write, []string{"--concurrency", "2"}, func(d *consumer.Delivery) {
		both <- struct{}{}
		<-let[string(d.Body)]
	}, "1", "2")
	<-both
	<-both
	b.server.StopApp()
	rabbittest.Eventually(t, patience, "the loss is noticed", func() bool { return b.c.State() == consumer.Reviving })

	close(let["1"])
	if _, err := io.ReadFull(read, make([]byte, len("1\n"))); err != nil {
		t.Fatal(err)
	}
	rabbittest.Eventually(t, patience, "the first cannot be acknowledged", func() bool { return b.c.Stats().Stale == 1 })
	close(let["2"])
	rabbittest.Eventually(t, patience, "the second is not even committed", func() bool { return b.c.Stats().Stale == 2 })
	b.stop()
	b.gaveUp("standard output: its reader does not read: the grace period is over; what was not written was not acknowledged", 2)
}

// The command is ended, though nobody sent a second signal.
func TestGraceOverInCommand(t *testing.T) {
	var stdout transcript
	b := consumeBriefly(t, &stdout, []string{"--concurrency", "2", "--exec", "echo begun; sleep 60"}, func(*consumer.Delivery) {}, "1", "2")
	rabbittest.Eventually(t, patience, "both are at work", func() bool { return stdout.String() == "begun\nbegun\n" })
	b.stop()
	b.gaveUp("stopped before ", 2)
}
