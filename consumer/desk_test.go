package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// desk is where handlers wait until they are let go. The end of their context does not help them.
type desk struct {
	let chan struct{} // each value lets one go; closed, all

	mu         sync.Mutex
	busy, most int // handlers at once
}

func newDesk() *desk { return &desk{let: make(chan struct{})} }

func (d *desk) handle(context.Context, *consumer.Delivery) error {
	d.count(+1)
	defer d.count(-1)
	<-d.let
	return nil
}

func (d *desk) count(by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy += by
	d.most = max(d.most, d.busy)
}

// forget begins to count anew how many handlers there are at once.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.most = d.busy
}

func (d *desk) atWork() (busy, most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.busy, d.most
}

func (r *rig) awaitBusy(d *desk, n int) {
	r.Helper()
	r.await(fmt.Sprintf("%d handlers at work", n), func() bool {
		busy, _ := d.atWork()
		return busy == n
	})
}

// awaitNote waits until the journal holds a note of that name after the first n events.
func (r *rig) awaitNote(n int, name string) fsm.Event {
	r.Helper()
	var found fsm.Event
	r.await("the note "+name, func() bool {
		for _, e := range r.journal.Events()[n:] {
			if e.Kind == fsm.KindNote && e.Name == name {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// desks is a rig whose handlers wait at a desk, and whose queue holds so many messages.
func desks(t *testing.T, messages, concurrency, prefetch int) (*rig, *desk) {
	r, d := newRig(t), newDesk()
	rabbittest.NeedsControl(t)
	s := &r.config.Subscriptions[0]
	s.Handler, s.Concurrency, s.Prefetch = d.handle, concurrency, prefetch
	r.load(messages)
	return r, d
}

// wantStats waits for them: an outcome may be counted when the broker has it already.
func (r *rig) wantStats(want consumer.Stats) {
	r.Helper()
	defer func() {
		if got := r.c.Stats(); got != want {
			r.Errorf("%+v, want %+v", got, want)
		}
	}()
	r.await("these numbers", func() bool { return r.c.Stats() == want })
}

func (r *rig) lastEvent() fsm.Event {
	events := r.journal.Events()
	return events[len(events)-1]
}
