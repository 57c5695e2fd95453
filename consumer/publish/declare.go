package publish

import (
	"context"
	"errors"
	"sync"

	"github.com/everhop/everhop/broker"
)

// DeclareQueue creates the queue where it is missing, and renews the lease of one that expires unused (x-expires). It waits
// for a connection, while the broker is blocked, and tries again on the next connection if that is lost, until ctx ends. The
// error is ctx's, ErrStopped, or that of broker.Session.DeclareQueue. Calls for one queue at the same time share one
// declaration, the options of which are those of the first.
func (p *Publisher) DeclareQueue(ctx context.Context, name string, o broker.QueueOptions) error {
	for {
		d, mine := p.declarations.join(name)
		if mine {
			d.err = p.declare(ctx, name, o)
			d.own = ctx.Err() != nil // nobody else's
			p.declarations.end(name, d)
			return d.err
		}
		select {
		case <-d.done:
			if !d.own {
				return d.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *Publisher) declare(ctx context.Context, name string, o broker.QueueOptions) error {
	for {
		session, err := p.current.waitUnblocked(ctx)
		if err != nil {
			return err
		}
		err = session.DeclareQueue(ctx, name, o)
		var e *broker.Error
		lost := session.Lost() || errors.As(err, &e) && e.Scope == broker.ScopeConnection // about to be
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case lost:
			p.current.gone(session)
		case e == nil || e.Class != broker.Overdue || !session.Blocked():
			return err
		}
	}
}

// declarations are those that are under way.
type declarations struct {
	mu sync.Mutex
	by map[string]*declaration
}

type declaration struct {
	done chan struct{}
	err  error
	own  bool // the error is that of its caller's ctx
}

// join returns the declaration of a queue; mine says that the caller is to make it.
func (d *declarations) join(queue string) (joined *declaration, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if joined = d.by[queue]; joined != nil {
		return joined, false
	}
	joined = &declaration{done: make(chan struct{})}
	if d.by == nil {
		d.by = map[string]*declaration{}
	}
	d.by[queue] = joined
	return joined, true
}

func (d *declarations) end(queue string, made *declaration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.by, queue)
	close(made.done)
}
