package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/ack"
	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/fsm"
)

const (
	requeuePause  = 3 * time.Millisecond
	retryAfterIn  = 2 * time.Millisecond
	inPlace       = 5 * time.Millisecond
	retryAfterOut = 8 * time.Millisecond
	// soon is how long an acknowledgement may wait for others.
	soon = ack.Longest + time.Millisecond
)

// history is one that is being played.
type history struct {
	*modelBroker
	plan       plan
	d          *dispatcher
	counts     counts
	channel    *modelChannel
	background sync.WaitGroup
	prefetch   int

	// Guarded by modelBroker.mu, so that there is one order of all that happens.
	running   map[*modelDelivery]bool   // true: it obeys its context
	front     map[string]*modelDelivery // by key: the last that a handler began with
	limit     int                       // concurrency
	before    int                       // the last change
	changedAt time.Time
	highest   int       // that the limit ever was
	idleSince time.Time // paused or stopped; zero: it is not
	stopping  bool
	cutAt     time.Time // the handlers' context ended; zero: it has not
	overAt    time.Time
	over      bool // nothing of the caller's may be called any more

	committing bool
	commits    int
	refused    int // commits
	committed  int // the moment when the last one that succeeded began

	republished int // calls of the outbox
	trips       trips
	work        context.Context
	cutWork     context.CancelFunc
}

func playHistory(p plan) *history {
	h := &history{
		modelBroker: &modelBroker{began: time.Now(), places: len(p.messages), writes: p.writes, yields: p.yields},
		plan:        p,
		prefetch:    p.prefetch,
		running:     map[*modelDelivery]bool{},
		front:       map[string]*modelDelivery{},
		limit:       p.concurrency,
		highest:     p.concurrency,
	}
	h.allowed = h.judge
	h.trips.news = make(chan struct{}, 1)
	h.work, h.cutWork = context.WithCancel(context.Background())
	defer h.cutWork()
	h.d = newDispatcher(h.subscription(), environment{
		counts: &h.counts, logger: zerolog.Nop(), inside: &inside.Marks{}, work: h.work, outbox: modelOutbox{h}, onStale: h.stale,
		keepFor: keptFor, tell: func(fsm.Kind, string, Evidence) {}, tripped: h.trip,
	})
	h.play()
	h.audit()
	return h
}

func (h *history) subscription() Subscription {
	s := Subscription{
		Queue: "q", Handler: h.handler, Concurrency: h.plan.concurrency, Prefetch: h.prefetch, AckEach: h.plan.each,
		RequeuePause: requeuePause, Breaker: Breaker{Failures: h.plan.failures},
		Retry: Retry{Attempts: h.plan.attempts, MaxInPlace: inPlace, Poison: h.plan.poison, ParkingQueue: parkingQueue},
		Dedup: Dedup{ID: func(d *Delivery) string { return d.MessageID }},
	}
	if h.plan.keyed {
		s.OrderingKey = func(d *Delivery) string { return d.RoutingKey }
	}
	if h.plan.commit {
		s.Commit = h.commit
	}
	if h.plan.dedup {
		s.Dedup.Window = 100
	}
	return s
}

// play is what a supervisor does.
func (h *history) play() {
	h.d.start()
	h.attach()
	h.background.Go(func() {
		for i, m := range h.plan.messages {
			time.Sleep(h.plan.gaps[i])
			copied := m // a plan can be played again
			h.publish(&copied)
		}
	})
	for _, e := range h.plan.events {
		h.sleep(e.after)
		h.happen(e)
	}
	if !h.plan.stops {
		h.trips.paused = false
		h.untrip()
		h.steer(0)
		h.awaitSettled()
	}
	h.stop()
	time.Sleep(time.Hour) // whatever goes on now is left behind
}

// keptFor is how long what gets no confirm is waited for.
const keptFor = time.Hour

func (h *history) awaitSettled() {
	began := time.Now()
	for !h.settled() {
		passed := time.Since(began)
		if passed > 6*keptFor {
			h.locked(func() { h.fault("messages are left over, and nothing happens") })
			return
		}
		h.sleep(max(5*time.Millisecond, passed/8))
	}
}

func (h *history) locked(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
}

func (h *history) happen(e event) {
	switch e.what {
	case "lose":
		h.lose(e)
	case "cancelled":
		h.channel.cancelled()
		h.sleep(e.pause)
		h.flush()
		h.channel.close()
		h.channel.requeue()
		h.attach()
	case "pause":
		h.trips.paused = true
		h.steer(e.takes)
		h.sleep(e.pause)
	case "resume":
		h.trips.paused = false
		h.untrip()
		h.steer(0)
	case "prefetch":
		h.prefetch = e.number
		if h.idleSince.IsZero() {
			h.channel.cancel()
			time.Sleep(e.takes)
			h.channel.resume(h.prefetch)
			h.d.channel().fit(h.prefetch)
			h.d.resume()
		}
	case "concurrency":
		h.locked(func() {
			h.before, h.limit, h.changedAt = h.limit, e.number, time.Now()
			h.highest = max(h.highest, h.limit)
			h.note("concurrency %d", e.number)
		})
		h.d.resize(e.number)
	}
}

// lose cuts a channel. The client notices in a while, the broker too, whoever comes first.
func (h *history) lose(e event) {
	old := h.channel
	old.sever()
	h.background.Go(func() {
		time.Sleep(time.Duration(e.number-1) * 2 * time.Millisecond)
		old.requeue()
	})
	time.Sleep(e.takes)
	old.close()
	time.Sleep(e.pause)
	h.attach()
}

func (h *history) attach() {
	h.channel = h.open(h.prefetch, h.idleSince.IsZero())
	h.d.attach(h.channel, h.prefetch)
	if h.idleSince.IsZero() {
		h.d.resume()
	}
}

func (h *history) pause(takes time.Duration) {
	h.locked(func() {
		h.idleSince = time.Now()
		h.note("pause")
	})
	h.d.pause()
	time.Sleep(takes)
	h.channel.cancel()
	h.d.crew.fallSilent(h.channel)
}

func (h *history) resume() {
	h.locked(func() {
		h.idleSince = time.Time{}
		h.note("resume")
	})
	h.channel.resume(h.prefetch)
	h.d.channel().fit(h.prefetch)
	h.d.resume()
}

// stop is a soft stop.
func (h *history) stop() {
	h.locked(func() {
		h.note("stop")
		h.stopping = true
		if h.idleSince.IsZero() {
			h.idleSince = time.Now()
		}
	})
	if h.plan.hard && h.plan.grace == 0 {
		h.cut()
	}
	h.d.stop()
	if h.plan.breaks > 0 {
		h.background.Go(func() {
			time.Sleep(h.plan.breaks)
			h.channel.sever()
			time.Sleep(h.plan.breaks)
			h.channel.close()
		})
	}
	h.channel.cancel()
	h.d.giveBack(h.channel)
	if h.finished() {
		h.leftOver()
	}
	h.channel.close()
	h.background.Wait()
	h.channel.requeue()
	time.Sleep(soon) // what was finished on an older channel may wait for so long to be dropped
	h.d.calls.end()
	h.locked(func() { h.over, h.overAt = true, time.Now() })
}

// finished waits for the handlers, as long as a hard stop lets it.
func (h *history) finished() bool {
	done := make(chan struct{})
	go func() {
		h.d.wait()
		h.flush()
		close(done)
	}()
	if !h.plan.hard {
		<-done
		return true
	}
	for _, patience := range []time.Duration{h.plan.grace, cutGrace} {
		select {
		case <-done:
			return true
		case <-time.After(patience):
			h.cut()
		}
	}
	h.locked(func() {
		h.note("handlers are left behind")
		if !slices.Contains(slices.Collect(maps.Values(h.running)), false) {
			h.fault("the workers have not ended, and every handler obeys")
		}
	})
	return false
}

// cut ends the handlers' context.
func (h *history) cut() {
	h.locked(func() {
		if h.cutAt.IsZero() {
			h.cutAt = time.Now()
			h.note("cut short")
		}
	})
	h.cutWork()
}

// flush must leave nothing that has finished before, unless Commit fails.
func (h *history) flush() {
	var refused int
	h.locked(func() {
		h.note("flush")
		refused = h.refused
	})
	h.d.channel().flush()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.channel.deliveries {
		if d.waits() && d.ended.Before(time.Now()) && !h.channel.closed && refused == h.refused {
			h.fault("the flush left %v", d)
		}
	}
}

func (h *history) handler(ctx context.Context, delivery *Delivery) error {
	d, call := h.begin(delivery)
	*delivery = Delivery{} // it is the handler's
	if call.obeys {
		select {
		case <-ctx.Done():
			call.outcome = failed
		case <-time.After(call.took):
		}
	} else {
		time.Sleep(call.took)
	}
	h.locked(func() {
		h.note("%v ends with %s", d, call.outcome)
		d.running, d.last, d.ended, d.endedA = false, call.outcome, time.Now(), h.moment
		delete(h.running, d)
		h.countRow(d)
		if call.outcome != success {
			return
		}
		if d.done, d.doneA = d.done+1, h.moment; d.done > 1 && h.plan.dedup && d.id != sharedID && d.copies == 1 {
			h.fault("%v was handled to its end %d times", d, d.done)
		}
	})
	switch call.outcome {
	case failed:
		return errors.New("failed")
	case panics:
		panic("at random")
	case requeue:
		return Requeue
	case reject:
		return fmt.Errorf("wrapped: %w", Reject)
	case later:
		return RetryAfter(retryAfterIn)
	case muchLater:
		return fmt.Errorf("wrapped: %w", RetryAfter(retryAfterOut))
	case goexit:
		runtime.Goexit()
	}
	return nil
}

func (h *history) commit(context.Context) error {
	var began int
	h.locked(func() {
		h.note("Commit begins")
		if h.committing {
			h.fault("two Commits at once")
		}
		if h.over {
			h.fault("Commit after the end")
		}
		h.committing, began = true, h.moment
	})
	for range h.yields {
		runtime.Gosched()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.committing = false
	h.commits++
	if h.commits <= len(h.plan.unwilling) && h.plan.unwilling[h.commits-1] {
		h.refused++
		h.note("Commit fails")
		return errors.New("not now")
	}
	h.committed = max(h.committed, began)
	h.note("Commit has succeeded")
	return nil
}
