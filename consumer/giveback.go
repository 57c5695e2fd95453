package consumer

import (
	"slices"
	"time"
)

// giveBack returns to the queue what waits in its lane, what is kept, and what the broker has sent and nobody has
// received. The workers do so, too, with what they have in hand. The channel must have been cancelled, after stop or
// pause; if another one is in its place, or the pause is over, nothing happens.
func (d *dispatcher) giveBack(s source) {
	d.crew.change(func(v *view) {
		if v.channel != nil && v.channel.source == s {
			v.returning = v.paused
		}
	})
	c := d.crew.fallSilent(s)
	if c == nil || d.staysWithChannel() {
		return
	}
	ofChannel := func(j job) bool { return j.channel == c }
	waiting := d.lanes.Remove(ofChannel) // behind others of their keys
	for _, j := range slices.Concat(d.kept.remove(ofChannel), waiting) {
		d.returnUnseen(j)
	}
	for {
		delivery, ok := c.receive(nil)
		if !ok {
			return
		}
		d.returnUnseen(job{delivery: delivery, channel: c})
	}
}

// noteUnreceived takes note of what a stream has delivered and nobody has received: where it goes on is known by that. The
// channel must have been cancelled, after pause.
func (d *dispatcher) noteUnreceived(s source) {
	c := d.crew.fallSilent(s)
	for ok := c != nil; ok; {
		_, ok = c.receive(nil)
	}
}

// returnUnseen returns to its queue what no handler has begun with, and what is unknown to recent. That is told
// first: when the broker has it back, it may be handled on another worker at once.
func (d *dispatcher) returnUnseen(j job) {
	if d.recent != nil && !j.delivery.Redelivered { // or another one of its id would speak for it
		var id string
		// On a goroutine of its own, since whoever gives back must not be ended.
		_ = d.calls.call("Dedup.ID", func() error {
			id = d.calls.nameOf("Dedup.ID", d.spec.Dedup.ID, j.delivery)
			return nil
		})
		d.recent.Begin(id, false, nil)
		d.recent.End(id, false)
	}
	d.returnUnstarted(j)
}

// returnUnstarted returns to its queue what no handler has begun with, or is not to begin with again, unless it goes
// with its channel.
func (d *dispatcher) returnUnstarted(j job) {
	if d.staysWithChannel() || j.channel.acks.Return(j.delivery.DeliveryTag) != nil {
		return
	}
	if j.again {
		d.env.counts.requeued.Add(1)
	} else {
		d.env.counts.returnedUnstarted.Add(1)
	}
}

// silencePatience is how long one waits for a silence. Nobody does so behind the end of cutGrace.
const silencePatience = cutGrace / 2

// awaitSilence waits, when it is paused or over, until the broker has heard of it: what goes back before that, it
// would send again at once, and each time counts towards a quorum queue's delivery limit.
func (w *worker) awaitSilence() {
	d, c := w.dispatcher, w.job.channel
	if !d.crew.view().idle() || d.staysWithChannel() {
		return
	}
	timer := time.NewTimer(silencePatience)
	defer timer.Stop()
	for v := d.crew.view(); v.idle(); v = d.crew.view() {
		select {
		case <-v.silent:
			return
		case <-c.source.Lost():
			return
		case <-timer.C:
			d.crew.fallSilent(c.source) // the others have waited, too
			return
		case <-v.changed:
		}
	}
}

// finishPatience is how long what has come is waited for when a consumer is to be replaced by another one.
const finishPatience = 10 * time.Second

// ending is how that went.
type ending int

const (
	finished ending = iota
	unfinished
	ended // the dispatcher stops
)

// finish waits until what a consumer has sent is settled, for a while. The channel must have been cancelled. A stream
// goes on at any time, behind what was handled.
func (d *dispatcher) finish(s source) ending {
	const look = 10 * time.Millisecond
	for range finishPatience / look {
		v := d.crew.view()
		switch {
		case v.over:
			return ended
		case d.kind.isStream():
			d.pause()
			d.noteUnreceived(s)
			return finished
		case v.channel == nil, v.channel.source != s, d.channel().look().all() == 0, isLost(s):
			return finished
		}
		time.Sleep(look)
	}
	return unfinished
}
