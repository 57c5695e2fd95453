package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/everhop/everhop/fsm"
)

// These tests play random histories of one dispatcher, in synthetic time, against a model of RabbitMQ
// that holds every settlement against what the handler had said by then.

func TestDeliveries(t *testing.T) {
	t.Parallel()
	for name, traits := range map[string]traits{
		"in any order": {},
		"by key":       {keyed: true},
		"Commit":       {commit: true},
		"Suppress":     {suppress: true},
		"outbox":       {outbox: true},
		"Breaker":      {breaker: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := 1
			checkMany(t, 170, func(r *rapid.T) {
				p := drawPlan(r, traits)
				for range tries {
					rapid.SyncTest(r, func(r *rapid.T) {
						h := playHistory(p)
						if len(h.wrong) == 0 {
							return
						}
						if tries == 1 {
							t.Logf("first seen in:\n%s", h.story())
						}
						tries = 20 // the scheduler is not drawn, and may have had a part in it
						r.Logf("minimized:\n%s", h.story())
						r.Fatal(h.wrong[0])
					})
				}
			})
		})
	}
}

const (
	requeuePause  = 3 * time.Millisecond
	retryAfterIn  = 2 * time.Millisecond
	inPlace       = 5 * time.Millisecond
	retryAfterOut = 8 * time.Millisecond
	// soon is how long an acknowledgement may wait for others.
	soon = idleAfter + 2*busyAfter + time.Millisecond
)

const (
	success   modelOutcome = "nil"
	failed    modelOutcome = "an error"
	panics    modelOutcome = "a panic"
	requeue   modelOutcome = "Requeue"
	reject    modelOutcome = "Reject"
	later     modelOutcome = "RetryAfter"
	muchLater modelOutcome = "RetryAfter, too long for its place"
	goexit    modelOutcome = "runtime.Goexit"
)

// sharedID is one that a publisher uses for several messages.
const sharedID = "shared"

type traits struct{ keyed, commit, suppress, outbox, breaker bool }

// plan is a history before it is played: all that is random about it is drawn.
type plan struct {
	traits
	each                            bool
	concurrency, prefetch, attempts int
	poison                          Poison
	writes                          []time.Duration
	yields                          int
	messages                        []modelBody
	gaps                            []time.Duration // before each of them is published
	unwilling                       []bool          // of the first Commits; the others succeed
	events                          []event
	answers                         []outboxAnswer // of the outbox's first calls; the others succeed
	failures                        int            // in a row, that open the breaker
	rest                            time.Duration  // that it takes then
	stops                           bool           // early; otherwise when everything is handled
	hard                            bool           // it also cancels the handlers' context:
	grace                           time.Duration  // so long after the stop; 0: at once
	breaks                          time.Duration  // the channel is lost so long after the stop; 0: it is not
}

type event struct {
	after  time.Duration
	what   string
	number int
	takes  time.Duration // until the client has noticed, or the broker has answered
	pause  time.Duration // until what comes next
}

var (
	drawSpan  = drawTime(0, 0, 100, 500, 1000, 3000, 9000)
	drawShort = drawTime(0, 0, 0, 100, 800, 2000)
	drawWhat  = rapid.SampledFrom([]string{"lose", "lose", "cancelled", "pause", "resume", "concurrency", "prefetch"})
	drawEnd   = rapid.SampledFrom([]modelOutcome{failed, requeue, later, reject, panics, goexit})
	// drawLong is for where there is an outbox.
	drawLong      = rapid.SampledFrom([]modelOutcome{failed, muchLater, requeue, later, reject, panics, goexit, muchLater, failed})
	drawMoreCalls = rapid.SampledFrom([]int{0, 1, 1, 2, 2, 3})
	drawCalls     = rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 2, 3})
)

// drawTime draws one of a few, so that much happens at the same moment.
func drawTime(micros ...time.Duration) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.SampledFrom(micros), func(n time.Duration) time.Duration { return n * time.Microsecond })
}

func drawPlan(t *rapid.T, traits traits) plan {
	flip := func(name string) bool { return rapid.Bool().Draw(t, name) }
	p := plan{
		traits:      traits,
		each:        rapid.IntRange(0, 3).Draw(t, "each") == 3,
		concurrency: rapid.IntRange(1, 4).Draw(t, "concurrency"),
		prefetch:    rapid.SampledFrom([]int{1, 2, 4, 8, 12, 24, 64}).Draw(t, "prefetch"),
		attempts:    rapid.IntRange(1, 3).Draw(t, "attempts"),
		poison:      rapid.SampledFrom([]Poison{DeadLetter, PutBack}).Draw(t, "poison"),
		yields:      rapid.IntRange(0, 4).Draw(t, "yields"),
		writes:      []time.Duration{drawShort.Draw(t, "write"), drawShort.Draw(t, "write")},
		stops:       flip("stops"),
	}
	p.keyed = p.keyed || flip("keyed")
	p.suppress = p.suppress || rapid.IntRange(0, 3).Draw(t, "suppress") == 3
	p.hard = p.stops && rapid.IntRange(0, 2).Draw(t, "hard") == 2
	if p.hard {
		p.grace = drawSpan.Draw(t, "grace")
	}
	if p.outbox = p.outbox || rapid.IntRange(0, 7).Draw(t, "outbox") == 7; p.outbox {
		p.drawOutbox(t)
	}
	if p.breaker = p.breaker || rapid.IntRange(0, 7).Draw(t, "breaker") == 7; p.breaker {
		p.failures = rapid.SampledFrom([]int{1, 2, 2, 3, 4}).Draw(t, "in a row")
		p.rest = drawRest.Draw(t, "rest")
	}
	if p.commit {
		p.unwilling = rapid.SliceOfN(rapid.Bool(), 0, 4).Draw(t, "unwilling")
	}
	if rapid.IntRange(0, 31).Draw(t, "steady") == 31 {
		p.steady()
		return p
	}
	for i := range rapid.IntRange(1, 14).Draw(t, "messages") {
		p.messages = append(p.messages, p.drawMessage(t, i))
		p.gaps = append(p.gaps, drawShort.Draw(t, "gap"))
	}
	for range rapid.IntRange(0, 4).Draw(t, "events") {
		p.events = append(p.events, event{
			after: drawSpan.Draw(t, "after"), what: drawWhat.Draw(t, "what"), number: rapid.IntRange(1, 4).Draw(t, "number"),
			takes: drawShort.Draw(t, "takes"), pause: drawSpan.Draw(t, "pause"),
		})
	}
	if p.stops && flip("breaks") {
		p.breaks = drawSpan.Draw(t, "breaks after")
	}
	return p
}

// steady is a flow that never pauses for as long as a subscription needs to be idle. Its first message
// takes long.
func (p *plan) steady() {
	p.stops, p.hard = false, false
	p.prefetch, p.concurrency = 64, max(2, p.concurrency)
	for i := range 30 {
		m := modelBody{name: fmt.Sprint("m", i+1), key: fmt.Sprint(min(i, 1))}
		m.id, m.calls = m.name, []modelCall{{outcome: success}}
		p.messages = append(p.messages, m)
		p.gaps = append(p.gaps, 800*time.Microsecond)
	}
	if p.yields > 0 {
		p.messages[0].calls[0].took = 30 * time.Millisecond
	}
}

func (p *plan) drawMessage(t *rapid.T, place int) modelBody {
	m := modelBody{name: fmt.Sprint("m", place+1), key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")}
	m.id = m.name
	if rapid.IntRange(0, 15).Draw(t, "shared") == 15 {
		m.id = sharedID
	}
	outcomes, calls := drawEnd, drawCalls
	if p.outbox {
		outcomes = drawLong
	}
	if p.breaker {
		calls = drawMoreCalls
	}
	for range calls.Draw(t, "failures") {
		m.calls = append(m.calls, p.drawCall(t, outcomes.Draw(t, "outcome")))
	}
	m.calls = append(m.calls, p.drawCall(t, success))
	return m
}

func (p *plan) drawCall(t *rapid.T, o modelOutcome) modelCall {
	c := modelCall{took: drawSpan.Draw(t, "took"), outcome: o}
	if p.hard {
		switch rapid.IntRange(0, 7).Draw(t, "manners") {
		case 0, 1, 2:
			c.obeys = true
		case 3:
			c.obeys, c.took = true, stuck
		case 4:
			c.took = stuck
		}
	}
	return c
}

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
	h.d = newDispatcher(h.subscription(), shared{
		counts: &h.counts, logger: zerolog.Nop(), work: h.work, outbox: modelOutbox{h}, onStale: h.stale,
		dropped: func(fsm.Evidence) {}, tripped: h.trip,
	})
	h.play()
	h.audit()
	return h
}

func (h *history) subscription() Subscription {
	s := Subscription{
		Queue: "q", Handler: h.handler, Concurrency: h.plan.concurrency, Prefetch: h.prefetch, AckEach: h.plan.each,
		RequeuePause: requeuePause, Breaker: Breaker{Failures: h.plan.failures},
		Retry: Retry{Attempts: h.plan.attempts, InPlace: inPlace, Poison: h.plan.poison, ParkingQueue: parkingQueue},
		ID:    func(d *Delivery) string { return d.MessageID },
	}
	if h.plan.keyed {
		s.Key = func(d *Delivery) string { return d.RoutingKey }
	}
	if h.plan.commit {
		s.Commit = h.commit
	}
	if h.plan.suppress {
		s.Suppress = 100
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

func (h *history) awaitSettled() {
	began := time.Now()
	for !h.settled() {
		passed := time.Since(began)
		if passed > 5*republishTimeout {
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
			h.d.view.Load().acks.fit(h.prefetch)
			h.d.change(func(v *view) { v.paused = false })
		}
	case "concurrency":
		h.locked(func() {
			h.before, h.limit, h.changedAt = h.limit, e.number, time.Now()
			h.highest = max(h.highest, h.limit)
			h.note("concurrency %d", e.number)
		})
		h.d.change(func(v *view) { v.concurrency = e.number })
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
	h.d.change(func(v *view) { v.paused = !h.idleSince.IsZero() })
}

func (h *history) pause(takes time.Duration) {
	h.locked(func() {
		h.idleSince = time.Now()
		h.note("pause")
	})
	h.d.change(func(v *view) { v.paused = true })
	time.Sleep(takes)
	h.channel.cancel()
	h.d.giveBackRest(h.d.view.Load().acks)
}

func (h *history) resume() {
	h.locked(func() {
		h.idleSince = time.Time{}
		h.note("resume")
	})
	h.channel.resume(h.prefetch)
	h.d.view.Load().acks.fit(h.prefetch)
	h.d.change(func(v *view) { v.paused = false })
}

// stop drains.
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
	h.d.giveBackRest(h.d.view.Load().acks)
	if h.drained() {
		h.leftOver()
	}
	h.channel.close()
	h.background.Wait()
	h.channel.requeue()
	time.Sleep(soon) // what was finished on an older channel may wait for so long to be dropped
	h.d.ended.Store(true)
	h.locked(func() { h.over, h.overAt = true, time.Now() })
}

// drained waits for the handlers, as long as a hard stop lets it.
func (h *history) drained() bool {
	done := make(chan struct{})
	go func() {
		h.d.workers.Wait()
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
	h.d.flush()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.channel.deliveries {
		if d.waits() && d.ended.Before(time.Now()) && !h.channel.closed && refused == h.refused {
			h.fault("the flush left %v", d)
		}
	}
}

// waits: it is to be acknowledged.
func (d *modelDelivery) waits() bool { return d.last == success && !d.running && d.told == "" }

// leftOver looks for what nobody has settled when all workers are gone.
func (h *history) leftOver() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.d.view.Load().acks.outstanding(); n > 0 && !h.channel.ended && h.refused == 0 {
		h.fault("%d deliveries count as outstanding", n)
	}
	if n := len(h.d.lanes.busy); n > 0 {
		h.fault("%d keys are taken", n)
	}
	for _, d := range h.channel.deliveries {
		dropped := d.stale > 0 || h.refused > 0 && (d.done > 0 || d.suppressed())
		if d.told == "" && !d.waits() && !dropped && !h.channel.ended {
			h.fault("%v was neither handled nor given back", d)
		}
	}
}

func (h *history) handler(ctx context.Context, delivery *Delivery) error {
	d, call := h.begin(delivery)
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
		if d.done, d.doneA = d.done+1, h.moment; d.done > 1 && h.plan.suppress && d.id != sharedID && d.copies == 1 {
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

// begin notes that a handler begins, and what is wrong with that.
func (h *history) begin(delivery *Delivery) (*modelDelivery, modelCall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.channels[delivery.Generation-1].deliveries[delivery.DeliveryTag-1]
	call := modelCall{outcome: success}
	if d.begun < len(d.modelBody.calls) {
		call = d.modelBody.calls[d.begun]
	}
	h.checkRetry(d, delivery)
	d.begun++
	d.calls++
	h.note("%v begins", d)
	for other := range h.running {
		if h.plan.keyed && other.key == d.key || other == d {
			h.fault("%v begins while %v is with its handler", d, other)
		}
	}
	h.running[d] = call.obeys
	d.running = true
	h.checkLimit(d)
	h.checkOrder(d)
	h.checkWanted(d)
	h.checkTrip(d)
	return d, call
}

// checkLimit: a delivery that was begun before the limit shrank may be tried again, and those of its key
// may follow it.
func (h *history) checkLimit(d *modelDelivery) {
	limit := h.limit
	if h.changedAt.Equal(time.Now()) {
		limit = max(limit, h.before)
	}
	if d.calls > 1 || h.plan.keyed || h.plan.suppress {
		limit = h.highest
	}
	if len(h.running) > limit {
		h.fault("%v is one of %d with their handlers, and concurrency is %d", d, len(h.running), limit)
	}
}

// checkOrder: tags are in the order of the queue, and an older channel comes first.
func (h *history) checkOrder(d *modelDelivery) {
	if !h.plan.keyed && h.highest > 1 {
		return
	}
	key := ""
	if h.plan.keyed {
		key = d.key
	}
	if last := h.front[key]; last != nil &&
		(last.channel.generation > d.channel.generation || last.channel == d.channel && last.tag > d.tag) {
		h.fault("%v begins after %v", d, last)
	} else if last != nil && last != d && last.channel == d.channel && !d.channel.ended && last.told == "" && last.last != success {
		h.fault("%v begins before %v is settled, whose last call ended with %q", d, last, last.last)
	}
	h.front[key] = d
}

// checkRetry: one delivery's handler is called again after failures and short delays only, and is told how
// often it was called before.
func (h *history) checkRetry(d *modelDelivery, delivery *Delivery) {
	if got, want := Attempts(delivery), d.attempts+d.calls; got != want {
		h.fault("%v begins, and is told of %d calls before, want %d", d, got, want)
	}
	switch {
	case d.calls == 0:
	case !d.failed() && d.last != later:
		h.fault("%v begins again, and its last call ended with %q", d, d.last)
	case d.failed() && d.tried() >= h.plan.attempts:
		h.fault("%v begins again, and %d calls have failed", d, d.tried())
	case h.tripping(d):
		h.fault("%v begins again, and the breaker is open", d)
	}
}

// failed: the last call did, and Retry says what becomes of it.
func (d *modelDelivery) failed() bool { return d.last == failed || d.last == panics }

// tried is how often a handler was called for it, here and before it was published again.
func (d *modelDelivery) tried() int { return d.attempts + d.calls }

// checkWanted: nothing is begun in vain, nor tried again.
func (h *history) checkWanted(d *modelDelivery) {
	if d.channel.ended && d.channel.lostAt.Before(time.Now()) {
		h.fault("%v begins, and its channel is lost", d)
	}
	if !h.idleSince.IsZero() && h.idleSince.Before(time.Now()) {
		h.fault("%v begins, and it is paused or stopping", d)
	}
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

// stale hears of outcomes that were dropped.
func (h *history) stale(s Stale) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.channels[s.Generation-1].deliveries[s.DeliveryTag-1]
	h.note("%v is stale", d)
	if h.over {
		h.fault("%v is stale after the end", d)
	}
	if d.stale++; d.stale > 1 || d.told != "" {
		h.fault("%v is stale for the %d. time; told was %q", d, d.stale, d.told)
	}
	if !d.channel.closed && !h.stopping { // what the last flush cannot send may be dropped at once
		h.fault("%v is stale, and its channel is not gone", d)
	}
}

// judge holds a settlement against what the handler has said.
func (h *history) judge(d *modelDelivery, how settlement) (problem string) {
	if d.running {
		return "it is with its handler"
	}
	if d.copied != handled && how != acked {
		return fmt.Sprintf("it is %s, and was to be acknowledged alone", d.copied)
	}
	switch how {
	case acked, ackedTo:
		return h.judgeAck(d, how)
	case nacked:
		if d.last == success || d.last == reject || h.quiet() && d.last != requeue && !d.never {
			return d.ending()
		}
	case killed:
		if d.last != reject && !h.poison(d, DeadLetter) {
			return d.ending()
		}
	case repelled:
		if d.last != goexit && !h.poison(d, PutBack) {
			return d.ending()
		}
		if !h.cutAt.IsZero() && d.ended.After(h.cutAt) {
			return "it had to stop, and that is no fault of the message's"
		}
	}
	if how != killed && h.quiet() && time.Since(d.ended) < requeuePause {
		return "it was not kept for a while"
	}
	return ""
}

func (d *modelDelivery) ending() string {
	return fmt.Sprintf("the last of %d calls ended with %q", d.calls, d.last)
}

// quiet: nobody interferes, and each message takes the way that its handler's outcome says.
func (h *history) quiet() bool { return len(h.plan.events) == 0 && !h.stopping && !h.plan.breaker }

// poison tells whether the message is, and such is to become of it.
func (h *history) poison(d *modelDelivery, what Poison) bool {
	toldToStop := !h.cutAt.IsZero() && d.ended.After(h.cutAt) // and may not have had a chance
	return h.plan.poison == what && d.failed() && d.tried() >= h.plan.attempts && !toldToStop && !h.tripping(d)
}

func (h *history) judgeAck(d *modelDelivery, how settlement) string {
	ended := d.endedA
	switch {
	case d.suppressed():
		ended = d.doneA
		if d.done == 0 {
			d.taken++
		}
	case d.copied != handled:
		return "" // judged before
	case d.calls == 0:
		return "no handler has begun with it"
	case d.last != success:
		return d.ending()
	case h.plan.each && how == ackedTo:
		return "it was to be acknowledged alone"
	case h.overdue(d, time.Now()):
		return fmt.Sprintf("it was handled %v ago", time.Since(d.ended))
	}
	if h.plan.commit && h.committed < ended {
		return "no Commit has begun and succeeded since it was handled"
	}
	return ""
}

// suppressed tells whether it needs no handler. Where an id is shared, another message may vouch for it;
// for a first delivery nobody can.
func (d *modelDelivery) suppressed() bool {
	return d.calls == 0 && d.again && (d.done > 0 || d.id == sharedID)
}

// overdue tells whether an acknowledgement comes too late, or has not come.
func (h *history) overdue(d *modelDelivery, now time.Time) bool {
	limit := soon
	if h.plan.each {
		limit = 0
	}
	return h.refused == 0 && now.Sub(d.ended) > limit
}

// audit is after the end.
func (h *history) audit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.plan.stops {
		for _, m := range h.messages {
			if m.gone == "" {
				h.fault("%s was not handled", m.name)
			}
		}
	}
	for _, m := range h.bodies {
		if m.lost() || !h.plan.stops && m.ends() == 0 {
			h.fault("%s is lost", m.name)
		}
	}
	told, stale, suppressed := map[settlement]uint64{}, uint64(0), uint64(0)
	copied := map[verdict]uint64{}
	for _, c := range h.channels {
		for _, d := range c.deliveries {
			switch {
			case d.told == nacked && d.calls > 0:
				told[repelled]++
			case d.told == acked && d.copied != handled:
				copied[d.copied]++
			default:
				told[d.told]++
			}
			stale += uint64(d.stale)
			if d.calls == 0 && (d.stale > 0 || d.told == acked || d.told == ackedTo) {
				suppressed++
			}
			h.auditDelivery(d)
		}
	}
	h.auditCount("handled", h.counts.handled.Load(), told[acked]+told[ackedTo])
	if h.refused == 0 {
		h.auditCount("suppressed", h.counts.suppressed.Load(), suppressed)
	}
	h.auditCount("requeued", h.counts.requeued.Load(), told[repelled])
	h.auditCount("parked", h.counts.parked.Load(), copied[parked])
	h.auditCount("delayed", h.counts.delayed.Load(), copied[delayed])
	h.auditCount("rejected", h.counts.rejected.Load(), told[killed])
	h.auditCount("given back", h.counts.givenBack.Load(), told[nacked])
	h.auditCount("stale", h.counts.stale.Load(), stale)
}

func (h *history) auditCount(what string, got, want uint64) {
	if got != want {
		h.fault("%d are counted as %s, want %d", got, what, want)
	}
}

func (h *history) auditDelivery(d *modelDelivery) {
	switch {
	case d.outstanding:
		h.fault("%v is outstanding", d)
	case d.running:
		h.fault("%v is with its handler", d)
	case d.waits() && h.overdue(d, d.channel.endedAt):
		h.fault("%v was never acknowledged", d)
	case d.ended.After(h.overAt): // left behind
	case d.calls > 0 && d.told == "" && d.stale == 0 && h.refused == 0:
		h.fault("%v has an outcome that is neither settled nor stale", d)
	}
}
