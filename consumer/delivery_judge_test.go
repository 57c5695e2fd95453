package consumer

import (
	"fmt"
	"time"
)

// waits: it is to be acknowledged.
func (d *modelDelivery) waits() bool { return d.last == success && !d.running && d.told == "" }

// leftOver looks for what nobody has settled when all workers are gone.
func (h *history) leftOver() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.d.channel().look().all(); n > 0 && !h.channel.ended && h.refused == 0 {
		h.fault("%d deliveries count as outstanding", n)
	}
	if keys, waiting := h.d.lanes.Size(); keys+waiting > 0 {
		h.fault("%d keys are taken, and %d deliveries wait", keys, waiting)
	}
	for _, d := range h.channel.deliveries {
		dropped := d.stale > 0 || h.refused > 0 && (d.done > 0 || d.deduplicated())
		if d.told == "" && !d.waits() && !dropped && !h.channel.ended {
			h.fault("%v was neither handled nor given back", d)
		}
	}
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
	if d.calls > 1 || h.plan.keyed || h.plan.dedup {
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
	aside := func(d *modelDelivery) bool { // it lets others pass
		if h.plan.keyed {
			return h.moves(d) && time.Since(d.ended) >= movePatience
		}
		return d.before > 0 || h.keepable(d) || h.moves(d)
	}
	if last := h.front[key]; last != nil && !aside(d) &&
		(last.channel.generation > d.channel.generation || last.channel == d.channel && last.tag > d.tag) {
		h.fault("%v begins after %v", d, last)
	} else if last != nil && last != d && last.channel == d.channel && !d.channel.ended && last.told == "" && last.last != success && !aside(last) {
		h.fault("%v begins before %v is settled, whose last call ended with %q", d, last, last.last)
	}
	h.front[key] = d
}

// checkRetry: one delivery's handler is called again after failures and short delays, and is told how often it was
// called before; or after it was kept, and then it is told what it was told first, unless it was to be delayed.
func (h *history) checkRetry(d *modelDelivery, delivery *Delivery) {
	got := Attempts(delivery)
	waits := d.last == muchLater && d.never
	if d.calls > d.before && (got == d.attempts || waits) {
		if !h.keepable(d) {
			h.fault("%v begins anew, and %s", d, d.ending())
		}
		if time.Since(d.ended) < requeuePause {
			h.fault("%v begins anew, and was not kept for a while", d)
		}
		if waits {
			if want := d.tried(); got != want {
				h.fault("%v begins anew, and is told of %d calls before, want %d", d, got, want)
			}
			d.attempts = got
		}
		d.before, d.never = d.calls, false
		return
	}
	if want := d.tried(); got != want {
		h.fault("%v begins, and is told of %d calls before, want %d", d, got, want)
	}
	switch {
	case d.calls == d.before:
	case !d.failed() && d.last != later:
		h.fault("%v begins again, and its last call ended with %q", d, d.last)
	case d.failed() && d.tried() >= h.plan.attempts:
		h.fault("%v begins again, and %d calls have failed", d, d.tried())
	case h.tripping(d):
		h.fault("%v begins again, and the breaker is open", d)
	}
}

// keepable tells whether it is to be kept in memory after its last call.
func (h *history) keepable(d *modelDelivery) bool {
	switch {
	case d.last == requeue, d.last == muchLater && d.never:
		return true
	case d.failed():
		return h.plan.breaker || h.plan.poison == PutBack && d.tried() >= h.plan.attempts
	}
	return false
}

// moves tells whether it is published again after its last call, which takes no worker.
func (h *history) moves(d *modelDelivery) bool {
	return d.last == muchLater || h.poison(d, Park)
}

// failed: the last call did, and Retry says what becomes of it.
func (d *modelDelivery) failed() bool {
	return d.last == failed || d.last == panics || d.last == goexit
}

// tried is how often a handler was called for it, since it was kept and before it was published again.
func (d *modelDelivery) tried() int { return d.attempts + d.calls - d.before }

// checkWanted: nothing is begun in vain, nor tried again.
func (h *history) checkWanted(d *modelDelivery) {
	if d.channel.ended && d.channel.lostAt.Before(time.Now()) {
		h.fault("%v begins, and its channel is lost", d)
	}
	if !h.idleSince.IsZero() && h.idleSince.Before(time.Now()) {
		h.fault("%v begins, and it is paused or stopping", d)
	}
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
	if d.copied != acknowledged && how != acked {
		return fmt.Sprintf("it is %s, and was to be acknowledged alone", d.copied)
	}
	switch how {
	case acked, ackedTo:
		return h.judgeAck(d, how)
	case nacked:
		if d.last == success || d.last == reject {
			return d.ending()
		}
		if !h.stopping && !d.channel.ended && !(h.moves(d) && time.Since(d.came) >= keptFor) {
			return "nobody stops, and it may wait in memory"
		}
	case killed:
		if d.last != reject && !h.poison(d, DeadLetter) {
			return d.ending()
		}
	case repelled:
		if !h.poison(d, PutBack) {
			return d.ending()
		}
		if !h.stopping && !d.channel.ended {
			return "nobody stops, and it may wait in memory"
		}
		if !h.cutAt.IsZero() && d.ended.After(h.cutAt) {
			return "it had to stop, and that is no fault of the message's"
		}
	}
	return ""
}

func (d *modelDelivery) ending() string {
	return fmt.Sprintf("the last of %d calls ended with %q", d.calls, d.last)
}

// poison tells whether the message is, and such is to become of it.
func (h *history) poison(d *modelDelivery, what Poison) bool {
	toldToStop := !h.cutAt.IsZero() && d.ended.After(h.cutAt) // and may not have had a chance
	return h.plan.poison == what && d.failed() && d.tried() >= h.plan.attempts && !toldToStop && !h.tripping(d)
}

func (h *history) judgeAck(d *modelDelivery, how settlement) string {
	ended := d.endedA
	switch {
	case d.deduplicated():
		ended = d.doneA
		if d.done == 0 {
			d.taken++
		}
	case d.copied != acknowledged:
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

// deduplicated tells whether it needs no handler. Where an id is shared, another message may vouch for it;
// for a first delivery nobody can.
func (d *modelDelivery) deduplicated() bool {
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
	told, stale, deduplicated := map[settlement]uint64{}, uint64(0), uint64(0)
	copied := map[verdict]uint64{}
	for _, c := range h.channels {
		for _, d := range c.deliveries {
			switch {
			case d.told == nacked && d.calls > 0:
				told[repelled]++
			case d.told == acked && d.copied != acknowledged:
				copied[d.copied]++
			default:
				told[d.told]++
			}
			stale += uint64(d.stale)
			if d.calls == 0 && (d.stale > 0 || d.told == acked || d.told == ackedTo) {
				deduplicated++
			}
			h.auditDelivery(d)
		}
	}
	h.auditCount("handled", h.counts.acknowledged.Load(), told[acked]+told[ackedTo])
	if h.refused == 0 {
		h.auditCount("deduplicated", h.counts.deduplicated.Load(), deduplicated)
	}
	h.auditCount("requeued", h.counts.requeued.Load(), told[repelled])
	h.auditCount("parked", h.counts.parked.Load(), copied[parked])
	h.auditCount("delayed", h.counts.delayed.Load(), copied[delayed])
	h.auditCount("rejected", h.counts.rejected.Load(), told[killed])
	h.auditCount("given back", h.counts.returnedUnstarted.Load(), told[nacked])
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
	case h.keepable(d) && d.channel.ended: // it was kept, and came again
	case d.calls > 0 && d.told == "" && d.stale == 0 && h.refused == 0:
		h.fault("%v has an outcome that is neither settled nor stale", d)
	}
}
