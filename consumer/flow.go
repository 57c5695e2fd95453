package consumer

import (
	"errors"
	"fmt"
)

// Pause ends a subscription's consumer at the broker: nothing new is begun, handlers at work finish, and
// what they have not begun with goes back to the queue. The index is the place in
// Config.Subscriptions. The consumer's state stays what it is; events tell of the pause.
//
// A queue that is declared AutoDelete goes with its last consumer, and its messages with it: do not pause
// it, change its prefetch, or give it a Breaker.
//
// Pause, Resume, SetPrefetch and SetConcurrency return before the broker has answered. The change holds
// over revivals, and an event note says when it is done. They return ErrNotRunning before Run and when
// the consumer is stopping; an index that is not in Config.Subscriptions, and a number out of range, are
// errors.
func (c *Consumer) Pause(index int) error {
	return c.adjust(index, NotePauseRequested, func(sub *subscription) Evidence {
		sub.paused = true
		return Evidence{Note: "to be paused"}
	})
}

// Resume consumes again after Pause, and at once if it was the Breaker that paused.
func (c *Consumer) Resume(index int) error {
	return c.adjust(index, NoteResumeRequested, func(sub *subscription) Evidence {
		sub.paused = false
		sub.untrip()
		return Evidence{Note: "to be resumed"}
	})
}

// SetPrefetch changes how many deliveries may be unacknowledged at once, 1 to 65535. The broker wants a
// new consumer for that: until what came before is settled, it may be as many more.
func (c *Consumer) SetPrefetch(index, prefetch int) error {
	if prefetch < 1 || prefetch > maxPrefetch {
		return fmt.Errorf("consumer: SetPrefetch: %d is not between 1 and %d", prefetch, maxPrefetch)
	}
	return c.adjust(index, NotePrefetchRequested, func(sub *subscription) Evidence {
		sub.prefetch = prefetch
		return Evidence{Prefetch: prefetch, Note: fmt.Sprintf("prefetch to be %d", prefetch)}
	})
}

// SetConcurrency changes how many deliveries are handled at once. When it shrinks, handlers at work
// finish first. It does not change the prefetch. More than the Breaker's Failures allow is an error.
func (c *Consumer) SetConcurrency(index, concurrency int) error {
	if concurrency < 1 || concurrency > maxConcurrency {
		return fmt.Errorf("consumer: SetConcurrency: %d is not between 1 and %d", concurrency, maxConcurrency)
	}
	if index >= 0 && index < len(c.config.Subscriptions) {
		if problem := c.config.Subscriptions[index].breakerProblem(concurrency); problem != "" {
			return errors.New("consumer: SetConcurrency: " + problem)
		}
	}
	return c.adjust(index, NoteConcurrencyRequested, func(sub *subscription) Evidence {
		sub.dispatch.resize(concurrency)
		return Evidence{Concurrency: concurrency, Note: fmt.Sprintf("concurrency %d", concurrency)}
	})
}

// adjustment is a change of a subscription while the consumer runs.
type adjustment struct {
	sub   int
	name  string // of the note
	edit  func(*subscription) Evidence
	reply chan<- error
}

func (c *Consumer) adjust(i int, name string, edit func(*subscription) Evidence) error {
	if i < 0 || i >= len(c.config.Subscriptions) {
		return fmt.Errorf("consumer: there is no subscription %d, but %d of them", i, len(c.config.Subscriptions))
	}
	if !c.started.Load() {
		return ErrNotRunning
	}
	reply := make(chan error, 1)
	select {
	case c.inbox <- adjustment{i, name, edit, reply}:
		return <-reply
	case <-c.done:
		return ErrNotRunning
	}
}

func (a adjustment) apply(s *supervisor) error {
	if s.draining {
		a.reply <- ErrNotRunning
		return nil
	}
	sub := s.subscriptions[a.sub]
	tripped := sub.tripped
	s.noteOf(sub, a.name, a.edit(sub))
	if tripped && !sub.tripped {
		s.noteOf(sub, NoteBreakerClosed, Evidence{Note: "the breaker is closed by Resume"})
	}
	s.steer(sub)
	a.reply <- nil
	return nil
}
