package consumer

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// callbacks are the calls of Commit, OnStale and OnSettled, of one subscription. None begins once they are ended.
//
// Each is on a goroutine of its own: so its error, its panic and the end of its goroutine (runtime.Goexit) all
// come back, whoever called: a worker, a timer or the supervisor. Only those that give a name are called in place.
type callbacks struct {
	spec        *Subscription
	env         *environment
	panics      panicLog      // of handlers, too
	committing  chan struct{} // held by the one Commit at a time
	uncommitted repeats       // why nothing could be

	mu    sync.Mutex
	ended bool
	calls sync.WaitGroup
}

// errEnded means that it is too late to call anything.
var errEnded = errors.New("consumer: it has ended, and calls nothing more")

// call calls f, which is to return an error of ours, and waits for it. The name is of what f calls.
func (c *callbacks) call(name string, f func() error) error {
	result := make(chan error, 1)
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return errEnded
	}
	c.calls.Go(func() {
		defer c.env.inside.Enter()()
		err := fmt.Errorf("consumer: %s ended its goroutine instead of returning", name)
		defer func() {
			if r := recover(); r != nil {
				err = errors.New("consumer: " + c.panics.tell(name, r))
			}
			result <- err
		}()
		err = f()
	})
	c.mu.Unlock()
	return <-result
}

// nameOf calls a function of the caller's; if it panics, the name is empty, as is that of what could not be read.
func (c *callbacks) nameOf(function string, name func(*Delivery) string, delivery *Delivery) string {
	if delivery.Unreadable != nil {
		return ""
	}
	defer func() {
		if r := recover(); r != nil {
			about(c.env.logger.Error(), delivery).Msg(c.panics.tell(function, r))
		}
	}()
	return name(delivery)
}

// end has nothing more called; wait returns when those calls have returned that are under way.
func (c *callbacks) end() (wait func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.calls.Wait
}

// unlessEnded counts, unless they are ended: what nobody can be told of any more is not counted, either. It returns
// whether it has.
func (c *callbacks) unlessEnded(counter *atomic.Uint64, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		counter.Add(uint64(n))
	}
	return !c.ended
}
