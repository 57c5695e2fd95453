//go:build unix

package handlers

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/consumer"
)

func TestExecFinish(t *testing.T) {
	for n, want := range []string{
		"", "stopped before a command had finished; its message goes back to the queue",
		"stopped before 2 commands had finished; their messages go back to the queue",
	} {
		c := Command{stdout: &shared{}}
		c.ended.Store(int64(n))
		if err := c.Finish(t.Context()); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%d ended: %v", n, err)
		}
	}
}

// What was not written is an error beside that, unless its reader had had enough: who has stopped knows that.
func TestExecFinishOutputLost(t *testing.T) {
	for _, tt := range []struct {
		lost  error
		ended int64
		want  bool
	}{{syscall.EPIPE, 0, true}, {syscall.EPIPE, 1, false}, {syscall.ENOSPC, 0, true}, {syscall.ENOSPC, 1, true}} {
		c := Command{stdout: &shared{}}
		c.stdout.failed.Store(&tt.lost)
		c.ended.Store(tt.ended)
		if err := c.Finish(t.Context()); err == nil || errors.Is(err, tt.lost) != tt.want {
			t.Errorf("%v, %d ended: %v", tt.lost, tt.ended, err)
		}
	}
}

// What is lost of a command's output comes again, however the command has ended.
func TestOutcomeOfLostOutput(t *testing.T) {
	err := (&Command{}).outcome(1, errors.New("exit status 1"), syscall.EPIPE, "")
	if !errors.Is(err, consumer.Requeue) {
		t.Errorf("%v", err)
	}
}

// Whatever keeps a command from being started, there is something to do.
func TestUnavailable(t *testing.T) {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ENOENT, syscall.EACCES, syscall.E2BIG, syscall.EIO,
	} {
		err := unavailable(&os.PathError{Op: "fork/exec", Path: "/bin/sh", Err: errno})
		_, advice, _ := strings.Cut(err.Error(), errno.Error()+"; ")
		if kind := fmt.Sprintf("%T", err); kind != "*consumer.unavailable" || advice == "" || (advice == "it is tried again and again") != (errno == syscall.EIO) {
			t.Errorf("%v: %s: %v", errno, kind, err)
		}
	}
}
