package broker

import (
	"context"
	"errors"
	"sync"
)

// request is what is asked of the broker about one queue, on a channel of its own. A queue without a majority of its
// nodes, or whose process hangs, does not answer, while all else on the connection goes on. A call into amqp091-go
// takes no context, has no time limit and ends with an answer or with its connection. So it is made on a goroutine
// which can be left behind, together with the channel:
//
//	caller -- ask --+-- the answer -------------------> result
//	                +-- CallTimeout, or ctx ends -----> Overdue
//	                      |
//	                      +-- an answer after all ----> the channel is closed, and what it had consumed goes back
//	                      +-- the connection ends ----> there is no channel
//
// If the broker goes silent meanwhile, the connection is aborted, as it is for any other call.
type request struct {
	session *Session
	queue   string
	calls   func() error // into amqp091-go, one after the other
	after   func()       // what is left to do when they have returned, if anything is

	mu       sync.Mutex
	op       string       // what is being asked
	abandon  func(*Error) // called with mu held when the caller leaves; nil: nothing
	answered bool
	left     bool // by the caller
}

// errLeft ends the calls of a request whose caller has left.
var errLeft = errors.New("nobody waits for it any more")

// ask makes the calls and waits for them, until ctx ends or they are overdue.
func (s *Session) ask(ctx context.Context, r *request) error {
	r.session = s
	done := make(chan error, 1)
	if !s.spawn(func() { r.run(done) }) {
		return s.newError(r.op, ScopeConnection, r.queue, errAborted)
	}
	ctx, cancel := s.limited(ctx, errOverdue)
	defer cancel()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if err := r.leave(context.Cause(ctx)); err != nil {
		return err
	}
	return <-done
}

// run makes the calls. The guard stays as long as any is under way, whether or not somebody waits for it.
func (r *request) run(done chan<- error) {
	ctx, returned := context.WithCancel(context.Background())
	var guard sync.WaitGroup
	guard.Go(func() { r.session.guard(ctx) })
	err := r.calls()
	r.mu.Lock()
	r.answered = true
	left := r.left
	r.mu.Unlock()
	done <- err
	if r.after != nil {
		r.after()
	}
	returned()
	guard.Wait()
	if left {
		r.session.abandoned.Add(-1)
	}
}

// leave abandons the channel. It returns nil, and does nothing, if the calls have returned meanwhile, or are about to
// because the connection has ended.
func (r *request) leave(cause error) *Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.session
	if r.answered || s.broken() {
		return nil
	}
	r.left = true
	s.abandoned.Add(1)
	err := &Error{Op: r.op, Scope: ScopeChannel, Class: Overdue, Endpoint: s.link.endpoint.String(), Queue: r.queue, Err: cause}
	if r.abandon != nil {
		r.abandon(err)
	}
	return err
}

// unlessLeft does something of which the caller learns, in time or not at all.
func (r *request) unlessLeft(do func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left {
		return errLeft
	}
	do()
	return nil
}

// step says what is asked next. It returns an error when nothing more is to be asked.
func (r *request) step(op string) error {
	return r.unlessLeft(func() { r.op = op })
}
