package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// children are the commands that everhop has started. A few goroutines start all of them, each on a thread of its own:
// Linux kills a command with the thread that has started it (see killedWithUs), and Go ends threads when it likes.
type children struct {
	requests chan request
	over     chan struct{}
	owned    sync.WaitGroup

	starting sync.RWMutex // locked, none is being started: what is there and not among pids is not ours
	pids     sync.Map
}

type request struct {
	cmd *exec.Cmd
	err chan<- error
}

// newChildren must be ended. As the first process of a container, everhop waits for orphans, too, which nobody else
// would do: those that commands leave behind.
func newChildren() *children {
	c := &children{requests: make(chan request), over: make(chan struct{})}
	for range runtime.GOMAXPROCS(0) {
		c.owned.Go(c.serve)
	}
	if os.Getpid() == 1 {
		c.owned.Go(c.reapOrphans)
	}
	return c
}

func (c *children) serve() {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	for {
		select {
		case r := <-c.requests:
			r.err <- c.begin(r.cmd)
		case <-c.over:
			return
		}
	}
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
	c.starting.RLock()
	defer c.starting.RUnlock()
	err := cmd.Start()
	if err == nil {
		c.pids.Store(cmd.Process.Pid, nil)
	}
	return err
}

// wait waits for one that was started.
func (c *children) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	c.pids.Delete(cmd.Process.Pid)
	return err
}
