package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
)

var (
	// errAlarm means that the broker has stopped reading because of an alarm.
	errAlarm = errors.New("consumer: the broker accepts no messages because of an alarm")
	// errNotRepublishing means that the connection was closed for good.
	errNotRepublishing = errors.New("consumer: the consumer has stopped, and publishes nothing more")
)

// publishing is a connection to publish on. It is opened at the first use, shared by all, and opened again
// when it was lost.
type publishing struct {
	plan   broker.Plan
	logger zerolog.Logger
	life   context.Context // ends with close
	end    context.CancelFunc
	tasks  sync.WaitGroup // what goes on when its caller has left

	mu     sync.Mutex
	link   *link // nil before the first use
	closed bool
}

// link is one such connection, or the attempt to open it.
type link struct {
	opened    chan struct{} // closed when the other two are set
	publisher *broker.Publisher
	err       error
}

// try runs attempt with a publisher, and once more with another one if that one was lost.
func (p *publishing) try(ctx context.Context, attempt func(*broker.Publisher) error) error {
	for again := false; ; again = true {
		publisher, err := p.publisher(ctx)
		if err != nil {
			return err
		}
		if publisher.Blocked() { // or each attempt would leave one more message that the broker reads in the end
			return errAlarm
		}
		err = attempt(publisher)
		if err == nil || again || ctx.Err() != nil || !publisher.Lost() {
			return err
		}
	}
}

// publish waits for the confirm.
func (p *publishing) publish(ctx context.Context, publisher *broker.Publisher, m broker.Message) error {
	confirm, err := publisher.Publish(ctx, m)
	if err != nil {
		return err
	}
	err = confirm.Wait(ctx)
	if err == nil || ctx.Err() == nil {
		return err
	}
	p.background(func() { _ = confirm.Wait(p.life) }) // it keeps its place among the unconfirmed until then
	if publisher.Blocked() {
		return fmt.Errorf("%w: %w", errAlarm, err)
	}
	return err
}

// declare is not ended with ctx, only left: that would end the connection, and with it the publishing of
// everybody else.
func (p *publishing) declare(ctx context.Context, publisher *broker.Publisher, queue string, o broker.QueueOptions) error {
	declared := make(chan error, 1)
	if !p.background(func() { declared <- publisher.DeclareQueue(p.life, queue, o) }) {
		return errNotRepublishing
	}
	select {
	case err := <-declared:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publisher is the one that all use. Where there is none, or it was lost, one caller opens it for all; who
// waits for that waits no longer than ctx.
func (p *publishing) publisher(ctx context.Context) (*broker.Publisher, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errNotRepublishing
	}
	if !p.link.usable() {
		p.open()
	}
	l := p.link
	p.mu.Unlock()
	select {
	case <-l.opened:
		return l.publisher, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ready waits until there is a publisher, or none can be had.
func (p *publishing) ready(ctx context.Context) { _, _ = p.publisher(ctx) }

// usable tells whether it is open, or may come to be.
func (l *link) usable() bool {
	if l == nil {
		return false
	}
	select {
	case <-l.opened:
		return l.err == nil && !l.publisher.Lost()
	default:
		return true
	}
}

// open begins to replace the link; mu is held.
func (p *publishing) open() {
	old, l := p.link, &link{opened: make(chan struct{})}
	p.link = l
	again := old != nil && old.publisher != nil
	if again {
		p.tasks.Go(func() { _ = old.publisher.Close(p.life) }) // it is lost: there is no error worth telling
	}
	p.tasks.Go(func() {
		defer close(l.opened)
		l.publisher, l.err = broker.OpenPublisher(p.life, p.plan)
		if l.err == nil {
			p.logger.Debug().Bool("again", again).Msg("opened a connection to publish messages again")
		}
	})
}

// background runs f, for which close waits; it returns false once closed.
func (p *publishing) background(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.tasks.Go(f)
	}
	return !p.closed
}

// close ends the connection, gracefully within ctx. What is not confirmed by then returns an error.
func (p *publishing) close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	l := p.link
	p.mu.Unlock()
	p.end()
	if l != nil {
		<-l.opened // soon: its context has ended
		if l.publisher != nil {
			_ = l.publisher.Close(ctx) // it is not needed any more, however it ended
		}
	}
	p.tasks.Wait()
}
