package consumer_test

import (
	"slices"
	"sync"

	"github.com/everhop/everhop/fsm"
)

// transcript is a journal that keeps each event as it was. A ring folds the idle ones, so that the places of the
// others change.
type transcript struct {
	mu     sync.Mutex
	events []fsm.Event
}

func (j *transcript) Append(e fsm.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	return nil
}

func (j *transcript) Last() (fsm.Event, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) == 0 {
		return fsm.Event{}, false
	}
	return j.events[len(j.events)-1], true
}

// Events returns a copy of all of them.
func (j *transcript) Events() []fsm.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}
