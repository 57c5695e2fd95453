package consumer

// What is put back waits in memory, unacknowledged. For the broker it fills the prefetch: as many messages as that, put
// back again and again, would be all that is ever handled. So when a handler is free, and everything that the broker
// may send has been put aside, the queue is consumed once more on the same channel, with the same prefetch: what came
// before does not count for the broker then. Nothing is published or given back, and no key loses its turn.
//
// Where a basic.cancel costs more than that, everything waits: a single active consumer would lose its role, and others
// would get what is behind these messages; an AutoDelete queue would be gone.

// mostAside is how many deliveries may be put aside beside the prefetch. More than that go on filling it.
const mostAside = 1024

// aside is how many deliveries of the channel in view nobody can handle now: they were put back, wait behind such a one
// for the turn of their key, or are held back.
func (r *waitingRoom) aside() int {
	kept, behind := r.putAside()
	return int(r.heldBack.Load()) + kept + behind
}

// putAside is how many deliveries were put back, and how many wait behind such a one for the turn of their key.
func (r *waitingRoom) putAside() (kept, behind int) {
	if r.isEmpty() {
		return 0, 0
	}
	var keys []string
	r.mu.Lock()
	for _, j := range r.jobs {
		kept++
		if j.inLane {
			keys = append(keys, j.key)
		}
	}
	r.mu.Unlock()
	for _, key := range keys {
		behind += r.lanes.Waiting(key)
	}
	return kept, behind
}

// isCrowded tells whether a handler is free, and nothing comes since everything that may was put aside.
func (sub *subscription) isCrowded() bool {
	aside := sub.dispatch.kept.aside()
	if aside == 0 || sub.live == nil || !sub.spec.canBeConsumedAnew() || sub.kind.isStream() {
		return false
	}
	free, outstanding := sub.dispatch.crew.free(sub.live, aside)
	full := sub.window.isHeld() || outstanding >= sub.applied.Prefetch
	return free > 0 && full && sub.window.spares(aside)
}

// free is how many workers have nothing to do and get nothing, since so much was put aside, and how much is outstanding of
// the current basic.consume. It is 0 if they are to do nothing.
func (c *crew) free(live source, aside int) (workers, outstanding int) {
	v := c.view()
	if v.channel == nil || v.channel.source != live || v.idle() || v.trying {
		return 0, 0
	}
	is := v.channel.look()
	if is.unreceived > 0 {
		return 0, 0
	}
	return v.concurrency - (is.held - aside), v.channel.acks.HeldFrom(v.channel.begins.Load())
}

// spares tells whether there is room for as much again beside what was put aside.
func (w *window) spares(aside int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit > 0 {
		return aside+w.choose() <= w.fit()
	}
	return aside <= mostAside
}

// canBeConsumedAnew tells whether nothing but a round trip is lost by a basic.cancel.
func (s Subscription) canBeConsumedAnew() bool {
	return !s.isSingleActive() && (s.Declare == nil || !s.Declare.AutoDelete)
}
