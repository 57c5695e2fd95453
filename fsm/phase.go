package fsm

// The phases of a machine. It is a word and not a mutex because nobody waits for
// it: a second caller of Fire or Record is refused, and Close leaves word.
const (
	idle    int32 = iota
	busy          // within Fire or Record
	closing       // busy, and Close was called meanwhile
	closed
)

// acquire makes the caller the owner.
func (m *Machine) acquire() error {
	if m.phase.CompareAndSwap(idle, busy) {
		return nil
	}
	if m.phase.Load() >= closing {
		return ErrClosed
	}
	return ErrReentrant
}

// release ends what acquire began, and finishes a Close that came meanwhile.
func (m *Machine) release() {
	if !m.phase.CompareAndSwap(busy, idle) {
		m.phase.Store(closed)
		m.endFeeds()
	}
}

// Close ends the machine: Fire and Record return [ErrClosed] from now on, and
// each feed ends after what it holds was read. An event being committed
// meanwhile is still committed and told. Close does not wait and may be called
// again.
func (m *Machine) Close() {
	for m.phase.Load() < closing {
		if m.phase.CompareAndSwap(busy, closing) {
			return // release ends the feeds
		}
		if m.phase.CompareAndSwap(idle, closed) {
			m.endFeeds()
		}
	}
}
