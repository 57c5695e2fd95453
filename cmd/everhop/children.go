package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// children are the commands that everhop has started. One goroutine starts all of them, on a thread of its own: Linux
// kills a command with the thread that has started it (see killedWithUs), and Go ends threads when it likes.
type children struct {
	requests chan request
	over     chan struct{}
	owned    sync.WaitGroup

	mu   sync.Mutex // held while one is started: what is there and not among pids is not ours
	pids map[int]struct{}
}

type request struct {
	cmd *exec.Cmd
	err chan<- error
}

// newChildren must be ended. As the first process of a container, everhop waits for orphans, too, which nobody else
// would do: those that commands leave behind.
func newChildren() *children {
	c := &children{requests: make(chan request), over: make(chan struct{}), pids: map[int]struct{}{}}
	c.owned.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		for {
			select {
			case r := <-c.requests:
				r.err <- c.begin(r.cmd)
			case <-c.over:
				return
			}
		}
	})
	if os.Getpid() == 1 {
		c.owned.Go(c.reapOrphans)
	}
	return c
}

func (c *children) end() {
	close(c.over)
	c.owned.Wait()
}

var errEnding = errors.New("everhop ends")

func (c *children) start(cmd *exec.Cmd) error {
	err := make(chan error, 1)
	select {
	case c.requests <- request{cmd, err}:
		return <-err
	case <-c.over:
		return errEnding
	}
}

func (c *children) begin(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := cmd.Start()
	if err == nil {
		c.pids[cmd.Process.Pid] = struct{}{}
	}
	return err
}

// wait waits for one that was started.
func (c *children) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pids, cmd.Process.Pid)
	return err
}
