package consumer_test

import (
	"slices"
	"sync"

	"github.com/everhop/everhop/fsm"
)

// book is a journal in memory that keeps every event as it was, for tests that look at each. A ring folds the
// heartbeats.
type book struct {
	mu     sync.Mutex
	events []fsm.Event
}

func (b *book) Append(e fsm.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	return nil
}

func (b *book) Last() (fsm.Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) == 0 {
		return fsm.Event{}, false
	}
	return b.events[len(b.events)-1], true
}

// Events returns a copy.
func (b *book) Events() []fsm.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}
