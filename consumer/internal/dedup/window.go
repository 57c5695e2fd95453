// Package dedup knows, by their ids, which messages were handled lately and which are being handled. After
// the connection was lost, the broker delivers again what was being handled, and what was acknowledged in
// vain: a Window tells which of that needs no handler any more.
//
//	            on the first connection      on the next one
//	m1          Begin: go ahead, End(done)
//	m2          Begin: go ahead ............................... End(done)
//	m1 again                                 Begin: handled
//	m2 again                                 Begin waits ................ handled
//
// Only redeliveries are ever deduplicated: a first delivery is a message of its own, whatever its id. Where
// messages share an id, a redelivery may be of any of them, so it is deduplicated only if all of them were
// handled to their end. All means those that came to begin and are not forgotten: a message that was lost on
// its way here, and comes as a redelivery, is taken for the one whose id it has. Ids should be unique.
//
// What is remembered are the ids whose handlers returned last, up to a number. One that is handled again is
// young again; one that is deduplicated is not. Failures are remembered as well, or else a message that was
// handled would speak for one of the same id that was not.
package dedup

import "sync"

// Window is what is known of the ids. Its methods may be called from any goroutine.
type Window struct {
	mu     sync.Mutex
	memory int
	marks  map[string]*mark // remembered, or in use
	ring   mark             // of those remembered: the oldest is its younger, the youngest its older
	length int              // of the ring
	spare  *mark            // to be used again, linked by younger
}

// mark is what is known of an id. It lives while it is remembered or in use.
type mark struct {
	id     string
	shared bool // by several messages
	failed bool // one of them was not handled to its end, as far as can be told

	begun, ended int           // handlers so far
	retried      int           // begun, when the last redelivery went to its handler
	waiting      int           // redeliveries
	change       chan struct{} // closed by the next end; nil: nobody waits for it

	older, younger *mark // nil: not remembered
}

// New makes a Window that remembers so many ids. With none, it still knows what is being handled.
func New(memory int) *Window {
	w := &Window{memory: memory, marks: map[string]*mark{}}
	w.ring.older, w.ring.younger = &w.ring, &w.ring
	return w
}

// Begin is called before the handler. If handled, the delivery is to be acknowledged without calling the
// handler. If not, but ok, End must follow the handler, however that ended.
//
// A redelivery waits until those have ended that were being handled under its id when it came, and every
// redelivery that went before it: of several, one goes at a time, and the next one sees what became of it.
// If giveUp is closed meanwhile, ok is false: nothing was begun. It does not wait for what comes later, so
// that nobody waits for ever where a publisher has one id for everything.
//
// The empty id is not tracked: ok at once.
func (w *Window) Begin(id string, redelivered bool, giveUp <-chan struct{}) (handled, ok bool) {
	if id == "" {
		return false, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.mark(id)
	if !redelivered {
		m.shared = m.shared || m.begun > 0
		m.begun++
		return false, true
	}
	if !w.await(m, giveUp) {
		w.release(m)
		return false, false
	}
	if m.settled() {
		w.release(m)
		return true, true
	}
	m.begun++
	m.retried = m.begun
	return false, true
}

// Again is called before the handler is called again for a delivery whose End said that it was not done. End must
// follow.
func (w *Window) Again(id string) {
	if id == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark(id).begun++
}

// End is called after the handler, once for each Begin that let it go ahead, and each Again. done: the message was handled
// to its end.
func (w *Window) End(id string, done bool) {
	if id == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.marks[id]
	m.ended++
	if !done {
		m.failed = true
	} else if !m.shared { // it was this one that had failed
		m.failed = false
	}
	if m.change != nil {
		close(m.change)
		m.change = nil
	}
	w.remember(m)
}

// settled: whichever message a redelivery is of, it was handled to its end.
func (m *mark) settled() bool { return m.begun > 0 && m.begun == m.ended && !m.failed }

// await waits until as many have ended as had begun: whose end it is that comes, nobody can tell. It lets go
// of the lock meanwhile.
func (w *Window) await(m *mark, giveUp <-chan struct{}) (ok bool) {
	for before := m.begun; m.ended < max(before, m.retried); {
		if m.change == nil {
			m.change = make(chan struct{})
		}
		change := m.change
		m.waiting++
		w.mu.Unlock()
		select {
		case <-change:
			ok = true
		case <-giveUp:
			ok = false
		}
		w.mu.Lock()
		m.waiting--
		if !ok {
			return false
		}
	}
	return true
}

// remember makes the mark the youngest. If that is one too many, the oldest is forgotten.
func (w *Window) remember(m *mark) {
	w.unlink(m)
	m.older, m.younger = w.ring.older, &w.ring
	m.older.younger, m.younger.older = m, m
	if w.length++; w.length > w.memory {
		oldest := w.ring.younger
		w.unlink(oldest)
		w.release(oldest)
	}
}

func (w *Window) unlink(m *mark) {
	if m.older == nil {
		return
	}
	m.older.younger, m.younger.older = m.younger, m.older
	m.older, m.younger = nil, nil
	w.length--
}

// mark finds the mark of an id, or makes one.
func (w *Window) mark(id string) *mark {
	m := w.marks[id]
	if m != nil {
		return m
	}
	if m = w.spare; m != nil {
		w.spare = m.younger
	} else {
		m = &mark{}
	}
	m.id, m.younger = id, nil
	w.marks[id] = m
	return m
}

// release forgets a mark that is neither remembered nor in use.
func (w *Window) release(m *mark) {
	if m.older != nil || m.begun > m.ended || m.waiting > 0 {
		return
	}
	delete(w.marks, m.id)
	*m = mark{younger: w.spare} // forgets the id
	w.spare = m
}
