package consumer

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/consumer/internal/measure"
)

// view is what the workers go by; a change replaces it.
type view struct {
	channel     *channel // to receive from; nil while there is none
	paused      bool     // receive and begin nothing
	returning   bool     // and give back what was not begun
	over        bool     // likewise, and end
	trying      bool     // call one handler at a time, until one has had what it needs
	concurrency int
	silent      chan struct{} // closed when the broker sends nothing more, since it is paused or over
	changed     chan struct{} // closed when this is not the view any more
}

// idle: nothing is received or begun.
func (v *view) idle() bool { return v.paused || v.over }

// leaving: what is not begun goes back.
func (v *view) leaving() bool { return v.returning || v.over }

// crew are the workers of a subscription, and the view that they go by. Both are changed under one lock: so no worker
// begins once it is over. To read the view takes none.
type crew struct {
	hire     func(number int) *worker
	measures *measure.Calls
	begun    sync.WaitGroup // the workers, and what was begun beside them
	current  atomic.Pointer[view]

	mu      sync.Mutex // guards changes of view, and:
	running int        // workers
	all     []*worker
	hired   int // so many there were
	retired retired
}

func (c *crew) view() *view { return c.current.Load() }

// size is how many workers there are to be.
func (c *crew) size() int { return c.view().concurrency }

// change replaces the view, and begins with the workers that it asks for.
func (c *crew) change(edit func(*view)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.view()
	v := *old
	v.changed = make(chan struct{})
	edit(&v)
	c.current.Store(&v)
	close(old.changed)
	for ; !v.over && c.running < v.concurrency; c.running++ {
		w := c.hire(c.hired)
		c.hired++
		c.all = append(c.all, w)
		c.begun.Go(w.run)
	}
}

// rest has nothing more received or begun, as edit says, until the broker sends nothing more.
func (c *crew) rest(edit func(*view)) {
	c.change(func(v *view) {
		if !v.idle() {
			v.silent = make(chan struct{})
		}
		edit(v)
	})
}

// rouse has all of them look again.
func (c *crew) rouse() { c.change(func(*view) {}) }

// fallSilent says that the broker sends nothing more on the channel, and returns it if it is in view.
func (c *crew) fallSilent(s source) *channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view()
	if v.channel == nil || v.channel.source != s || !v.idle() {
		return nil
	}
	select {
	case <-v.silent:
	default:
		close(v.silent)
	}
	return v.channel
}

// beside begins what is waited for as the workers are. It returns false if those are over.
func (c *crew) beside(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view().over {
		return false
	}
	c.begun.Go(f)
	return true
}

// stay gives a worker the current view, or nil if it is not needed any more.
func (c *crew) stay(w *worker) *view {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view()
	if v.over || c.running > v.concurrency {
		c.running--
		c.all = slices.DeleteFunc(c.all, func(other *worker) bool { return other == w })
		c.retired.add(w)
		return nil
	}
	return v
}

// awaitChannel waits until a source is received from, and returns nil if that will not be.
func (c *crew) awaitChannel(s source) *channel {
	for {
		v := c.view()
		if v.channel != nil && v.channel.source == s {
			return v.channel
		}
		if v.over {
			return nil
		}
		select {
		case <-v.changed:
		case <-s.Lost():
			return nil
		}
	}
}

// hands calls see for what each handler has, which is locked meanwhile.
func (c *crew) hands(see func(*hand)) {
	c.mu.Lock()
	all := slices.Clone(c.all)
	c.mu.Unlock()
	for _, w := range all {
		w.hand.mu.Lock()
		if w.hand.busy {
			see(&w.hand)
		}
		w.hand.mu.Unlock()
	}
}

// handling is what the calls of a subscription's handler came to.
type handling struct {
	calls   uint64
	total   time.Duration
	longest time.Duration // since it was asked for last
	oldest  time.Duration // for which the longest call under way has lasted; 0: none is
}

// handling asks the workers, with those that have ended.
func (c *crew) handling() (h handling) {
	h.calls, h.total = c.measures.Sum()
	c.mu.Lock()
	defer c.mu.Unlock()
	h.longest, c.retired.longest = c.retired.longest, 0
	for _, w := range c.all {
		h.longest = max(h.longest, w.timing.TakeLongest())
		if began, ended := w.timing.Last(); began > ended {
			h.oldest = max(h.oldest, c.measures.Since(began))
		}
	}
	return h
}

// retired is what the workers have measured that have ended: stamps, and a duration.
type retired struct {
	began, ended int64
	longest      time.Duration // since it was asked for last
}

// add keeps what a worker that ends has measured.
func (r *retired) add(w *worker) {
	began, ended := w.timing.Last()
	r.began, r.ended = max(r.began, began), max(r.ended, ended)
	r.longest = max(r.longest, w.timing.TakeLongest())
}

// atWork is what the workers have in hand, and when their handlers began and ended last; stamps of measures.
type atWork struct {
	withHandlers, waitForTurn, waitForRetry int
	began, ended                            int64
	oldest                                  int64 // when the oldest one that is at work began
}

// look looks at the workers.
func (c *crew) look() (is atWork) {
	c.mu.Lock()
	defer c.mu.Unlock()
	is.began, is.ended = c.retired.began, c.retired.ended
	for _, w := range c.all {
		b, e := w.timing.Last()
		is.began, is.ended = max(is.began, b), max(is.ended, e)
		switch {
		case b > e:
			is.withHandlers++
			if is.oldest == 0 || b < is.oldest {
				is.oldest = b
			}
		case w.waits.Load() == waitsForTurn:
			is.waitForTurn++
		case w.waits.Load() == waitsForRetry:
			is.waitForRetry++
		}
	}
	return is
}
