//go:build unix

package consumer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
)

// With killedURL set, the test is the process that consumes, until it is killed.
const (
	killedURL      = "EVERHOP_TEST_KILLED_URL"
	killedQueue    = "EVERHOP_TEST_KILLED_QUEUE"
	killedPrefetch = 64
)

// The consuming process is killed at random moments, and started again: nothing is lost, on a queue of
// either type. What it had handled and not acknowledged comes again, at most the prefetch for each kill.
func TestKilledProcessLosesNothing(t *testing.T) {
	if url := os.Getenv(killedURL); url != "" {
		consumeUntilKilled(t, url, os.Getenv(killedQueue))
		return
	}
	t.Parallel()
	for _, kind := range []string{"classic", "quorum"} {
		t.Run("killed-"+kind, func(t *testing.T) {
			t.Parallel()
			killProcesses(t, kind)
		})
	}
}

func killProcesses(t *testing.T, kind string) {
	const messages, kills = 5000, 8
	r := newRig(t)
	r.remake(kind, nil)
	r.load(messages)
	handled := tally{times: map[string]int{}}
	for range kills {
		p := r.spawn()
		handled.read(p, handled.lines+1+rand.IntN(messages/kills))
		r.must(p.Process.Kill())
		handled.read(p, endOfOutput)
		if err := p.Wait(); p.ProcessState.Success() {
			t.Fatalf("a process ended before it was killed: %v", err)
		}
	}
	p := r.spawn()
	handled.readUntil(p, func() bool { return len(handled.times) == messages })
	r.awaitDepth(r.queue, 0, 0)
	r.must(p.Process.Signal(syscall.SIGTERM))
	handled.read(p, endOfOutput)
	again := handled.lines - len(handled.times)
	t.Logf("%d messages, %d kills, %d handled again", len(handled.times), kills, again)
	if len(handled.times) != messages {
		t.Errorf("%d messages were handled, want %d", len(handled.times), messages)
	}
	if again > kills*killedPrefetch {
		t.Errorf("%d were handled again, and at most %d can have been unacknowledged", again, kills*killedPrefetch)
	}
	r.must(p.Wait())
}

// consumeUntilKilled writes the id of each message into file 3 before it is acknowledged. SIGTERM ends it
// in good order.
func consumeUntilKilled(t *testing.T, url, queue string) {
	handled := os.NewFile(3, "handled")
	defer handled.Close()
	c, err := consumer.New(consumer.Config{
		URLs: []string{url},
		Subscriptions: []consumer.Subscription{{
			Queue: queue, Concurrency: 8, Prefetch: killedPrefetch,
			Handler: func(_ context.Context, d *consumer.Delivery) error {
				<-time.After(rand.N(4 * time.Millisecond)) // the work
				_, err := io.WriteString(handled, d.MessageID+"\n")
				return err
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// spawned is a consuming process.
type spawned struct {
	*exec.Cmd
	handled *bufio.Scanner // the ids that it writes
}

// spawn starts this test in a process of its own.
func (r *rig) spawn() spawned {
	r.Helper()
	self, err := os.Executable()
	r.must(err)
	read, write, err := os.Pipe()
	r.must(err)
	r.Cleanup(func() { read.Close() })
	cmd := exec.Command(self, "-test.run=^TestKilledProcessLosesNothing$", "-test.timeout="+fmt.Sprint(2*patience))
	cmd.Env = append(os.Environ(), killedURL+"="+r.node.URL(), killedQueue+"="+r.queue)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{write}
	r.must(cmd.Start())
	write.Close() // the process has its own, and the reader sees its end
	r.Cleanup(func() {
		cmd.Process.Kill() // if the test has failed, and not come to that
		cmd.Wait()
	})
	return spawned{Cmd: cmd, handled: bufio.NewScanner(read)}
}

// tally counts what was handled, over all processes.
type tally struct {
	times map[string]int // by id
	lines int
}

const endOfOutput = -1

// read reads on until so many lines were read over all, or the process has ended.
func (y *tally) read(p spawned, lines int) {
	y.readUntil(p, func() bool { return y.lines == lines })
}

func (y *tally) readUntil(p spawned, enough func() bool) {
	for !enough() && p.handled.Scan() {
		y.times[p.handled.Text()]++
		y.lines++
	}
}
