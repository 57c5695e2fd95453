package fsm

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// Feed is a bounded queue between a [Machine] and one reader: every event
// committed since the feed was opened, in order, at the reader's pace. A slow
// reader never delays the machine. When the feed is full, the oldest unread
// events make room, and in their place the reader gets one KindGap event:
//
//   - Seq is the first missing number, the next event's Seq is one past the last;
//   - From and To are the state after the missing events;
//   - Note says how many they were.
//
// One goroutine reads, with Next or All. Any may call Close.
type Feed struct {
	machine *Machine
	wake    chan struct{} // holds a token when there is news; closed at the end

	mu     sync.Mutex // guards what follows; held for a copy only
	unread queue
	lost   Gap
	ended  bool
}

// Feed opens a feed that holds up to capacity events, about 270 bytes each and their
// texts. It begins with the next event. Capacity defaults to 1024 when it is not
// positive. The feed of a closed machine has ended.
func (m *Machine) Feed(capacity int) *Feed {
	f := &Feed{machine: m, wake: make(chan struct{}, 1), unread: newQueue(capacity)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		f.end()
	} else {
		m.feeds = append(m.feeds, f)
	}
	return f
}

// Next waits for the next event. It returns false when ctx has ended, and when
// the machine or the feed was closed and there is nothing left to read.
func (f *Feed) Next(ctx context.Context) (Event, bool) {
	for ctx.Err() == nil {
		e, ok, ended := f.take()
		if ok || ended {
			return e, ok
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
	}
	return Event{}, false
}

// All returns the events that Next returns, until it returns false. The feed
// stays open when the loop is left early.
func (f *Feed) All(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			if e, ok := f.Next(ctx); !ok || !yield(e) {
				return
			}
		}
	}
}

// Close detaches the feed from the machine and drops what was not read. It may
// be called again.
func (f *Feed) Close() {
	m := f.machine
	m.mu.Lock()
	m.feeds = slices.DeleteFunc(m.feeds, func(other *Feed) bool { return other == f })
	m.mu.Unlock()

	f.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unread, f.lost = queue{}, Gap{} // nobody pushes any more
}

// take returns the oldest unread event, or the gap before it.
func (f *Feed) take() (e Event, ok, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.lost.Count > 0:
		e = f.lost.Event(fmt.Sprintf("%d events not seen", f.lost.Count))
		f.lost = Gap{}
		return e, true, false
	case f.unread.size > 0:
		return f.unread.pop(), true, false
	}
	return Event{}, false, f.ended
}

func (f *Feed) push(e *Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	if f.unread.full() {
		f.lost.Add(f.unread.pop())
	}
	f.unread.push(e)
	select {
	case f.wake <- struct{}{}:
	default: // the reader has a token already
	}
}

// end lets the reader read what is left, and wait no more.
func (f *Feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.ended = true
		close(f.wake)
	}
}

// tell shows a committed event to every feed.
func (m *Machine) tell(e *Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.feeds {
		f.push(e)
	}
}

func (m *Machine) endFeeds() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	for _, f := range m.feeds {
		f.end()
	}
	m.feeds = nil
}
