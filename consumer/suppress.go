package consumer

import "sync"

// recent knows, by their ids, which messages were handled lately and which are being handled. After the
// connection was lost, the broker delivers again what was being handled, and what was acknowledged in vain:
// recent tells which of that needs no handler any more.
//
// Only redeliveries are ever suppressed: a first delivery is a message of its own, whatever its id. Where
// messages share an id, a redelivery may be of any of them, so it is suppressed only if all of them were
// handled to their end. All means those that came to begin and are not forgotten: a message that was lost on
// its way here, and comes as a redelivery, is taken for the one whose id it has. Ids should be unique.
//
// It remembers the ids whose handlers returned last, up to a number. One that is handled again is young
// again; one that is suppressed is not. Failures are remembered as well, or else a message that was
// handled would speak for one of the same id that was not.
type recent struct {
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

// newRecent remembers so many ids. With none, it still knows what is being handled.
func newRecent(memory int) *recent {
	r := &recent{memory: memory, marks: map[string]*mark{}}
	r.ring.older, r.ring.younger = &r.ring, &r.ring
	return r
}

// begin is called before the handler. If handled, the delivery is to be acknowledged without calling the
// handler. If not, but ok, end must follow the handler, however that ended.
//
// A redelivery waits until those have ended that were being handled under its id when it came, and every
// redelivery that went before it: of several, one goes at a time, and the next one sees what became of it.
// If giveUp is closed meanwhile, ok is false: nothing was begun. It does not wait for what comes later, so
// that nobody waits for ever where a publisher has one id for everything.
//
// The empty id is not tracked: ok at once.
func (r *recent) begin(id string, redelivered bool, giveUp <-chan struct{}) (handled, ok bool) {
	if id == "" {
		return false, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mark(id)
	if !redelivered {
		m.shared = m.shared || m.begun > 0
		m.begun++
		return false, true
	}
	if !r.await(m, giveUp) {
		r.release(m)
		return false, false
	}
	if m.settled() {
		r.release(m)
		return true, true
	}
	m.begun++
	m.retried = m.begun
	return false, true
}

// end is called after the handler, once for each begin that let it go ahead. done: the message was handled
// to its end.
func (r *recent) end(id string, done bool) {
	if id == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.marks[id]
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
	r.remember(m)
}

// settled: whichever message a redelivery is of, it was handled to its end.
func (m *mark) settled() bool { return m.begun > 0 && m.begun == m.ended && !m.failed }

// await waits until as many have ended as had begun: whose end it is that comes, nobody can tell. It lets go
// of the lock meanwhile.
func (r *recent) await(m *mark, giveUp <-chan struct{}) (ok bool) {
	for before := m.begun; m.ended < max(before, m.retried); {
		if m.change == nil {
			m.change = make(chan struct{})
		}
		change := m.change
		m.waiting++
		r.mu.Unlock()
		select {
		case <-change:
			ok = true
		case <-giveUp:
			ok = false
		}
		r.mu.Lock()
		m.waiting--
		if !ok {
			return false
		}
	}
	return true
}

// remember makes the mark the youngest. If that is one too many, the oldest is forgotten.
func (r *recent) remember(m *mark) {
	r.unlink(m)
	m.older, m.younger = r.ring.older, &r.ring
	m.older.younger, m.younger.older = m, m
	if r.length++; r.length > r.memory {
		oldest := r.ring.younger
		r.unlink(oldest)
		r.release(oldest)
	}
}

func (r *recent) unlink(m *mark) {
	if m.older == nil {
		return
	}
	m.older.younger, m.younger.older = m.younger, m.older
	m.older, m.younger = nil, nil
	r.length--
}

// mark finds the mark of an id, or makes one.
func (r *recent) mark(id string) *mark {
	m := r.marks[id]
	if m != nil {
		return m
	}
	if m = r.spare; m != nil {
		r.spare = m.younger
	} else {
		m = &mark{}
	}
	m.id, m.younger = id, nil
	r.marks[id] = m
	return m
}

// release forgets a mark that is neither remembered nor in use.
func (r *recent) release(m *mark) {
	if m.older != nil || m.begun > m.ended || m.waiting > 0 {
		return
	}
	delete(r.marks, m.id)
	*m = mark{younger: r.spare} // forgets the id
	r.spare = m
}
