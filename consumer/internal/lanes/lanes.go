// Package lanes keeps the order of each key: what has the same key is handled one after another, in the
// order of the calls of Begin, while other keys go on in parallel.
//
//	            Begin("a", 1) -> mine             key a:  1 at work | 2  4     what waits in its lane
//	a1 a2 b3 a4 Begin("a", 2) -> not mine         key b:  3 at work |
//	            Begin("b", 3) -> mine
//	            Begin("a", 4) -> not mine         Next("a") -> 2, Next("a") -> 4, Next("a") -> none: a is free
//
// No worker ever waits for another: what cannot be handled yet is left in its key's lane, for the worker
// that is busy with the key.
package lanes

import "sync"

// Lanes holds an entry for each key that is being handled, so no more than there are workers, and room for
// as many items as ever waited at once. The empty key is a key like any other: what needs no order is not
// to come here.
//
// The zero value is ready for use. All methods may be called from any goroutine.
type Lanes[T any] struct {
	mu    sync.Mutex
	busy  map[string]lane[T] // by key; absent: nobody is at work on it
	spare *place[T]          // to be used again
}

// lane is what waits for one key, the first to come in front; the zero lane is empty.
type lane[T any] struct {
	first, last *place[T]
}

type place[T any] struct {
	item   T
	behind *place[T]
}

// Begin tells whether the caller may handle the item now. If so, it must call Next when it has finished,
// however that ended. If not, the item is no longer the caller's: whoever is at work on the key will get it.
func (l *Lanes[T]) Begin(key string, item T) (mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, busy := l.busy[key]
	if !busy {
		if l.busy == nil {
			l.busy = map[string]lane[T]{}
		}
		l.busy[key] = lane[T]{}
		return true
	}
	p := l.take()
	p.item = item
	queue.append(p)
	l.busy[key] = queue
	return false
}

// Next is called when an item of the key is finished. It hands over the one that has waited longest, to be
// handled as if Begin had allowed it; with false, none waits and the key is free again.
func (l *Lanes[T]) Next(key string) (item T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.busy[key]
	p := queue.first
	if p == nil {
		delete(l.busy, key)
		return item, false
	}
	queue.first = p.behind
	l.busy[key] = queue
	item = p.item
	l.release(p)
	return item, true
}

// Remove takes out what waits and is to go, each key's in its order. What is at work stays at work.
func (l *Lanes[T]) Remove(goes func(T) bool) (items []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, queue := range l.busy {
		var stay lane[T]
		for p := queue.first; p != nil; {
			behind := p.behind
			if goes(p.item) {
				items = append(items, p.item)
				l.release(p)
			} else {
				p.behind = nil
				stay.append(p)
			}
			p = behind
		}
		l.busy[key] = stay
	}
	return items
}

// Waiting is how many items of the key wait.
func (l *Lanes[T]) Waiting(key string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := l.busy[key].first; p != nil; p = p.behind {
		n++
	}
	return n
}

// Size is how many keys are being handled, and how many items wait.
func (l *Lanes[T]) Size() (keys, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.busy {
		for p := queue.first; p != nil; p = p.behind {
			waiting++
		}
	}
	return len(l.busy), waiting
}

func (q *lane[T]) append(p *place[T]) {
	if q.first == nil {
		q.first = p
	} else {
		q.last.behind = p
	}
	q.last = p
}

// take gives an empty place, a used one if there is one.
func (l *Lanes[T]) take() *place[T] {
	p := l.spare
	if p == nil {
		return &place[T]{}
	}
	l.spare = p.behind
	p.behind = nil
	return p
}

// release keeps a place for later, and forgets the item, which may be big.
func (l *Lanes[T]) release(p *place[T]) {
	*p = place[T]{behind: l.spare}
	l.spare = p
}
