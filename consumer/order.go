package consumer

import "sync"

// lanes keeps the order of each key: what has the same key is handled one after another, in the order of
// the calls of begin, while other keys go on in parallel. No worker ever waits for another: what cannot be
// handled yet is left in its key's lane, for the worker that is busy with the key.
//
// The empty key is a key like any other: what needs no order is not to come here.
//
// It holds an entry for each key that is being handled, so no more than there are workers, and room for as
// many items as ever waited at once. The zero value is ready for use.
type lanes[T any] struct {
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

// begin tells whether the caller may handle the item now. If so, it must call next when it has finished,
// however that ended. If not, the item is no longer the caller's: whoever is at work on the key will get it.
func (l *lanes[T]) begin(key string, item T) (mine bool) {
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
	p := l.place()
	p.item = item
	if queue.first == nil {
		queue.first = p
	} else {
		queue.last.behind = p
	}
	queue.last = p
	l.busy[key] = queue
	return false
}

// next is called when an item of the key is finished. It hands over the one that has waited longest, to be
// handled as if begin had allowed it; with false, none waits and the key is free again.
func (l *lanes[T]) next(key string) (item T, ok bool) {
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
	*p = place[T]{behind: l.spare} // forgets the item: it may be big
	l.spare = p
	return item, true
}

// takeAll takes out what waits, key by key.
func (l *lanes[T]) takeAll() (items []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, queue := range l.busy {
		for p := queue.first; p != nil; p = p.behind {
			items = append(items, p.item)
		}
		l.busy[key] = lane[T]{}
	}
	return items
}

// place gives an empty place, a used one if there is one.
func (l *lanes[T]) place() *place[T] {
	p := l.spare
	if p == nil {
		return &place[T]{}
	}
	l.spare = p.behind
	p.behind = nil
	return p
}
