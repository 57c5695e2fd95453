package handlers

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// children are the commands that everhop has started. Linux kills a command with the thread that has started it (see
// killedWithUs), and Go ends threads when it likes: who starts one keeps its thread until it has waited for it.
type children struct {
	over  chan struct{}
	owned sync.WaitGroup

	starting sync.RWMutex // locked, none is being started: what is there and not among pids is not ours
	pids     sync.Map
}

// newChildren must be ended. As the first process of a container, everhop waits for orphans, too, which nobody else
// would do: those that commands leave behind.
func newChildren() *children {
	c := &children{over: make(chan struct{})}
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

// start starts a command. The same goroutine must wait for it.
func (c *children) start(cmd *exec.Cmd) error {
	select {
	case <-c.over:
		return errEnding
	default:
	}
	c.starting.RLock()
	defer c.starting.RUnlock()
	runtime.LockOSThread()
	err := cmd.Start()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	c.pids.Store(cmd.Process.Pid, nil)
	return nil
}

// wait waits for one that was started, and passes on what it writes.
func (c *children) wait(cmd *exec.Cmd, outputs commandOutputs) error {
	attend(cmd, outputs)
	err := cmd.Wait()
	runtime.UnlockOSThread()
	c.pids.Delete(cmd.Process.Pid)
	return err
}
