package measure

import (
	"sync/atomic"
	"time"
)

// Timing is when a worker's call began and ended last, in memory of its own, which others read. The worker is at work if it
// began later than it ended.
type Timing struct {
	began, ended atomic.Int64
	longest      atomic.Int64 // call, since that was asked for last

	shard *shard // the worker's, once it has handled something
}

// Begin stamps that a call begins.
func (t *Timing) Begin(c *Calls) { t.began.Store(max(c.now(), t.ended.Load()+1)) } // or it would not be later

// End stamps that it has returned, and counts it. The number is the worker's.
func (t *Timing) End(c *Calls, number int) {
	began := t.began.Load()
	at := max(c.now(), began+1)
	t.ended.Store(at)
	took := at - began
	if took > t.longest.Load() {
		t.longest.Store(took)
	}
	if t.shard == nil {
		t.shard = c.shardOf(number)
	}
	t.shard.count(took)
}

// Touch stamps that something was done with that there was no call for.
func (t *Timing) Touch(c *Calls) { t.ended.Store(max(c.now(), t.began.Load()+1)) }

// IsBusy tells whether a call is under way.
func (t *Timing) IsBusy() bool { return t.began.Load() > t.ended.Load() }

// Last are the stamps of when a call began and ended last; 0: none has.
func (t *Timing) Last() (began, ended int64) { return t.began.Load(), t.ended.Load() }

// TakeLongest is how long the longest call took that has returned since this was asked for last.
func (t *Timing) TakeLongest() time.Duration { return time.Duration(t.longest.Swap(0)) }
