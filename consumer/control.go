package consumer

import (
	"errors"
	"fmt"
	"strings"
)

// Handle is how a queue's subscriptions are changed and looked at while the consumer runs. Its methods may
// be called from any goroutine, handlers among them.
//
// Pause, Resume, SetPrefetch and SetConcurrency return before the broker has answered. The change holds
// over revivals, and an event note says when it is done (see [NotePaused] and those beside it). They return
// ErrNotRunning before Run and when the consumer is stopping; a queue that no subscription has, and a
// number out of range, are other errors.
type Handle struct {
	consumer *Consumer
	queue    string
}

// Subscription returns the handle for a queue. If several subscriptions have the same queue, it is for all of
// them. A queue that the broker names is "" here, as it is in Subscription.Queue.
func (c *Consumer) Subscription(queue string) *Handle { return &Handle{c, queue} }

// Pause ends the subscription's consumer at the broker: nothing new comes in or is begun, and handlers at work
// finish. What they have not begun with waits in memory for Resume; it goes back to the queue when the consumer
// stops, and after three quarters of ConsumerTimeout (see [NoteReleased]). The consumer's state stays what it is;
// events tell of the pause. If the queue has a single active consumer, another one takes its role, and gets what
// is behind those.
//
// A queue that is declared AutoDelete goes with its last consumer, and its messages with it: do not pause
// it, change its prefetch, or give it a Breaker.
func (h *Handle) Pause() error {
	return h.adjust(NotePauseRequested, func(sub *subscription) Evidence {
		sub.paused = true
		return Evidence{Note: "to be paused"}
	})
}

// Resume consumes again after Pause, and at once if it was the Breaker that paused.
func (h *Handle) Resume() error {
	return h.adjust(NoteResumeRequested, func(sub *subscription) Evidence {
		sub.paused = false
		sub.untrip()
		return Evidence{Note: "to be resumed"}
	})
}

// SetPrefetch changes how many deliveries may be unacknowledged at once, 1 to 65535. The broker wants a
// new consumer for that: until what came before is settled, it may be as many more. With PrefetchBytes it
// is the most that is asked for, and may change nothing at once.
func (h *Handle) SetPrefetch(prefetch int) error {
	if prefetch < 1 || prefetch > maxPrefetch {
		return fmt.Errorf("consumer: SetPrefetch: %d is not between 1 and %d", prefetch, maxPrefetch)
	}
	return h.adjust(NotePrefetchRequested, func(sub *subscription) Evidence {
		sub.prefetch, sub.asked = prefetch, true
		sub.window.setMost(prefetch)
		return Evidence{Prefetch: prefetch, Note: fmt.Sprintf("prefetch to be %d", prefetch)}
	})
}

// SetConcurrency changes how many deliveries are handled at once. When it shrinks, handlers at work finish first. It
// does not change the prefetch (but see PrefetchBytes). More than the Breaker's Failures allow is an error.
func (h *Handle) SetConcurrency(concurrency int) error {
	if concurrency < 1 || concurrency > maxConcurrency {
		return fmt.Errorf("consumer: SetConcurrency: %d is not between 1 and %d", concurrency, maxConcurrency)
	}
	for _, i := range h.indexes() {
		if problem := h.consumer.config.Subscriptions[i].breakerProblem(concurrency); problem != "" {
			return errors.New("consumer: SetConcurrency: " + problem)
		}
	}
	return h.adjust(NoteConcurrencyRequested, func(sub *subscription) Evidence {
		sub.dispatch.resize(concurrency)
		sub.window.setLeast(concurrency)
		return Evidence{Concurrency: concurrency, Note: fmt.Sprintf("concurrency %d", concurrency)}
	})
}

// Stats are those of the queue since New; zero for a queue that no subscription has.
func (h *Handle) Stats() (sum Stats) {
	for _, i := range h.indexes() {
		sum.Add(h.consumer.counts[i].stats())
	}
	return sum
}

// indexes are the places in Config.Subscriptions of those that have the queue.
func (h *Handle) indexes() (indexes []int) {
	for i, s := range h.consumer.config.Subscriptions {
		if s.Queue == h.queue {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

func (h *Handle) adjust(name string, edit func(*subscription) Evidence) error {
	c, indexes := h.consumer, h.indexes()
	if len(indexes) == 0 {
		return fmt.Errorf("consumer: there is no subscription of queue %q, only of: %s", h.queue, strings.Join(c.queues(), ", "))
	}
	if !c.started.Load() {
		return ErrNotRunning
	}
	reply := make(chan error, 1)
	select {
	case c.inbox <- adjustment{indexes, name, edit, reply}:
		return <-reply
	case <-c.gone: // an observer may be looking at the last event still
		return ErrNotRunning
	case <-c.done:
		return ErrNotRunning
	}
}

// queues are the queues of all subscriptions, quoted.
func (c *Consumer) queues() []string {
	var queues []string
	for _, s := range c.config.Subscriptions {
		queues = append(queues, fmt.Sprintf("%q", s.Queue))
	}
	return queues
}

// adjustment is a change of a queue's subscriptions while the consumer runs.
type adjustment struct {
	indexes []int
	name    string // of the note
	edit    func(*subscription) Evidence
	reply   chan<- error
}

func (a adjustment) apply(s *supervisor) error {
	if s.stopping {
		a.reply <- ErrNotRunning
		return nil
	}
	for _, i := range a.indexes {
		sub := s.subscriptions[i]
		tripped := sub.tripped
		s.noteOf(sub, a.name, a.edit(sub))
		if tripped && !sub.tripped {
			s.noteOf(sub, NoteBreakerClosed, Evidence{Note: "the breaker is closed by Resume"})
		}
		s.steer(sub)
	}
	a.reply <- nil
	return nil
}
