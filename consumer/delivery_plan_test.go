package consumer

import (
	"fmt"
	"time"

	"pgregory.net/rapid"
)

// sharedID is one that a publisher uses for several messages.
const sharedID = "shared"

type traits struct{ keyed, commit, dedup, outbox, breaker bool }

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
	p.dedup = p.dedup || rapid.IntRange(0, 3).Draw(t, "dedup") == 3
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
