package consumer

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
)

// A state has its own time, whenever one looks.
func TestSinceIsOfTheState(t *testing.T) {
	c, err := New(Config{
		URLs:          []string{"amqp://localhost"},
		Subscriptions: []Subscription{{Queue: "q", Handler: func(context.Context, *Delivery) error { return nil }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.machine.Close()
	type place struct {
		state fsm.State
		since time.Time
	}
	const enough = 1000
	over := make(chan struct{})
	var seen []place
	var count atomic.Int64 // of them
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			s := c.Status()
			if is := (place{s.State, s.Since}); len(seen) == 0 || seen[len(seen)-1] != is {
				seen = append(seen, is)
				count.Add(1)
			}
		}
	})
	been := map[place]bool{}
	for n := 0; n < 50_000 || count.Load() < enough; n++ {
		for _, trigger := range []fsm.Trigger{Connect, Stop} {
			e, err := c.machine.Fire(trigger, fsm.Evidence{})
			if err != nil {
				t.Fatal(err)
			}
			been[place{e.To, e.Time}] = true
			c.board.entered.Store(c.board.entered.Load().follow(&e))
		}
	}
	close(over)
	looking.Wait()
	for _, is := range seen[1:] { // the first may be that before all events
		if !been[is] {
			t.Fatalf("it was said to be %s since %v, and never was", is.state, is.since)
		}
	}
}
