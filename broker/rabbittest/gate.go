package rabbittest

import (
	"sync"
	"sync/atomic"
)

// gate is what a byte passes on its way through the proxy. The zero value is open.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil while open, closed by thaw

	dropping atomic.Bool  // nothing passes but the end
	rate     atomic.Int64 // bytes a second; 0: no limit
}

func (g *gate) freeze() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) thaw() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// pass waits until the gate is open and reports false when done came first.
func (g *gate) pass(done <-chan struct{}) bool {
	for {
		g.mu.Lock()
		shut := g.shut
		g.mu.Unlock()
		if shut == nil {
			return true
		}
		select {
		case <-shut: // and perhaps shut again by now
		case <-done:
			return false
		}
	}
}
