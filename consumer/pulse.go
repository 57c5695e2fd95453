package consumer

import (
	"sync"
	"sync/atomic"
	"time"
)

// pulse tells whether the supervisor turns. A process that was stopped, or starved, cannot be told from a supervisor that
// hangs by the clock alone: so a timer beats beside it, which stands still with the process, and only beats count.
type pulse struct {
	epoch  time.Time
	beats  atomic.Int64
	turned instant // last

	mu    sync.Mutex
	timer *time.Timer // nil: it does not beat
}

// instant is a time, by the clock and by beats.
type instant struct{ stamp, beat atomic.Int64 }

func (p *pulse) begin() {
	p.turn()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(lookEvery, p.beat)
}

func (p *pulse) beat() {
	p.beats.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Reset(lookEvery)
	}
}

func (p *pulse) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.timer = nil
}

// turn says that the supervisor begins or ends a turn.
func (p *pulse) turn() { p.note(&p.turned) }

func (p *pulse) note(i *instant) {
	i.beat.Store(p.beats.Load())
	i.stamp.Store(max(1, int64(time.Since(p.epoch))))
}

// since is for how long the process has run since then; 0 if that is shorter than limit.
func (p *pulse) since(i *instant, limit time.Duration) time.Duration {
	age := time.Since(p.epoch) - time.Duration(i.stamp.Load())
	if age < limit || p.beats.Load()-i.beat.Load() < int64(limit/lookEvery) {
		return 0
	}
	return age
}
