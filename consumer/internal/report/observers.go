package report

import (
	"context"
	"sync"
	"time"

	"github.com/everhop/everhop/fsm"
)

// Observers run each observer on a goroutine of its own, fed from a machine's events. So one that is slow, hangs,
// panics or calls Stop keeps nothing else from going on.
type Observers struct {
	log   *Lines
	list  []func(fsm.Event)
	feeds []*fsm.Feed
	group sync.WaitGroup
}

// Observe attaches the observers, so that they miss nothing from here on. Panics are told to the log.
func Observe(m *fsm.Machine, log *Lines, list []func(fsm.Event)) *Observers {
	o := &Observers{log: log, list: list}
	for range list {
		o.feeds = append(o.feeds, m.Feed(0))
	}
	return o
}

// Start shows them what has happened, and what happens until the machine is closed. It is called once.
func (o *Observers) Start() {
	for i, see := range o.list {
		o.group.Go(func() {
			defer o.log.marks.Enter()()
			for event := range o.feeds[i].All(context.Background()) {
				o.show(see, event)
			}
		})
	}
}

// show keeps a panicking observer from taking the process along.
func (o *Observers) show(see func(fsm.Event), event fsm.Event) {
	defer func() {
		if r := recover(); r != nil {
			logger := o.log.Logger()
			logger.Error().Uint64(fsm.FieldSeq, event.Seq).Msgf("an observer panicked: %v", r)
		}
	}()
	see(event)
}

// Finish is called when the machine is closed. It waits until the observers have seen the last event, and the log lines
// are written, but not for ever: one that blocks must not keep Run from returning.
func (o *Observers) Finish() {
	const most = time.Second
	done := make(chan struct{})
	go func() {
		o.group.Wait()
		o.log.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(most):
	}
}
