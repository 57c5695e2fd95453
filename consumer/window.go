package consumer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
)

// window is how many deliveries a subscription asks the broker for, out of its Prefetch. RabbitMQ bounds their
// number and not their bytes, so the number is chosen such that as many of the largest recent ones fit:
//
//	Concurrency <= window <= Prefetch       window x largest <= PrefetchBytes, if Concurrency permits
//
// It begins with Concurrency, since nothing is known of the sizes and nothing that was sent can be called back. It
// doubles at most, once as many deliveries as it holds have come; when they get larger, it shrinks at once.
//
// Without PrefetchBytes it is Prefetch. But a quorum queue counts each loss of a connection against all that was
// prefetched: so it begins with Concurrency, too, after losses in a row, and doubles likewise.
//
// It decides nothing: whenever another size is wanted, wake has the supervisor look, and that steers. All methods may
// be called from any goroutine.
type window struct {
	limit int64 // PrefetchBytes; 0: none
	kind  *queueKind
	wake  chan<- struct{}
	held  atomic.Bool // cancelled, and not to be resumed before there is room

	mu          sync.Mutex
	least, most int  // Concurrency and Prefetch
	grows       bool // it began small, and has not come to its end; always with PrefetchBytes
	size        int  // what the broker was asked for last
	came        int  // deliveries, since then
	told        int  // what wake was last sent for
	recent      recent
	slowUntil   time.Time // until when it stays at its least, since handlers took too long; 0: they did not
}

func newWindow(spec Subscription, kind *queueKind, wake chan<- struct{}) *window {
	w := &window{limit: spec.PrefetchBytes, kind: kind, wake: wake, least: spec.Concurrency, most: spec.Prefetch}
	w.size = w.most
	if w.limit > 0 {
		w.begin()
	}
	w.told = w.size
	return w
}

// begin has it grow from its least. It is called with mu held, or before anybody else has the window.
func (w *window) begin() { w.grows, w.size, w.came = true, min(w.least, w.most), 0 }

// restart is for when what was prefetched is lost again and again. It returns false if that is no news.
func (w *window) restart() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.size
	w.begin()
	w.told = w.size
	return w.size < was
}

// watches tells whether it needs to know what arrives.
func (w *window) watches() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grows
}

// arrived is told by the connection's reader how much memory a delivery takes. As long as the queue may be a stream
// nothing is changed: to consume one again on the same channel could pass messages over.
func (w *window) arrived(d *Delivery, bytes int64) {
	if w.kind.see(d); w.kind.v.Load() == kindUnknown {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.grows {
		return
	}
	if w.limit > 0 {
		w.recent.see(bytes, time.Now)
	}
	w.came++
	if next := w.choose(); next != w.told {
		w.told = next
		w.rouse()
	}
}

// handled is told that a delivery is done with, by a worker or beside the workers.
func (w *window) handled() {
	if w.isHeld() {
		w.rouse()
	}
}

// rouse has the supervisor look.
func (w *window) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // there is a token
	}
}

// next is what is to be asked for.
func (w *window) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.choose()
}

// choose is called with mu held. So that it does not go up and down with every other message, it leaves some room
// when it shrinks, and does not grow by less than a half, unless there is room in abundance.
func (w *window) choose() int {
	if !w.slowUntil.IsZero() {
		return min(w.least, w.most)
	}
	if !w.grows {
		return w.most
	}
	least, fit := min(w.least, w.most), w.fit()
	size := min(max(w.size, least), w.most)
	switch {
	case fit < size:
		return max(least, fit-fit/8)
	case w.came < w.size, size != w.size:
		return size
	}
	grown := min(2*size, fit, w.most)
	if grown-size < (size+1)/2 && fit/2 < w.most {
		return size
	}
	return grown
}

// fit is how many of the largest recent ones PrefetchBytes has room for. It is called with mu held.
func (w *window) fit() int {
	const plenty = 4 * maxPrefetch // more than is ever asked for
	if largest := w.recent.largest(); largest > 0 {
		return int(min(w.limit/largest, plenty))
	}
	return plenty
}

// admits tells what to ask for when so many deliveries have come that no handler has finished with, and whether to
// do so now. What came before does not count for the broker: so it is the sum that must fit. What handlers hold
// does not wait.
func (w *window) admits(unfinished int) (prefetch int, now bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	prefetch = w.choose()
	if w.limit == 0 { // or each pause could add to what waits
		return prefetch, unfinished <= prefetch
	}
	return prefetch, unfinished <= w.least+max(0, min(w.fit(), w.most)-prefetch)
}

// ask says that the broker is about to be asked for so many, or was. What comes from then on counts.
func (w *window) ask(prefetch int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if prefetch != w.size {
		w.came = 0
	}
	w.size, w.told = prefetch, prefetch
	w.grows = w.limit > 0 || w.grows && w.size < w.most
}

// opened says that the consumer is as it was asked for.
func (w *window) opened(in broker.Intake) {
	w.held.Store(false)
	if !in.Paused {
		w.ask(in.Prefetch)
	}
}

// hold says that nothing is asked for until there is room. It returns false if that is no news.
func (w *window) hold() bool { return !w.held.Swap(true) }

func (w *window) isHeld() bool { return w.held.Load() }

// calmDown keeps it at its least for a while. It returns false if that is no news.
func (w *window) calmDown(period time.Duration) (prefetch int, lowered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.choose()
	w.slowUntil = time.Now().Add(period)
	return w.choose(), w.choose() < was
}

// isCalm tells, once, that the while is over.
func (w *window) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slowUntil.IsZero() || time.Now().Before(w.slowUntil) {
		return false
	}
	w.slowUntil = time.Time{}
	return true
}

// setLeast says how many handlers there are.
func (w *window) setLeast(concurrency int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.least = concurrency
}

// setMost says what the caller's prefetch is.
func (w *window) setMost(prefetch int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most, w.slowUntil = prefetch, time.Time{}
}

// reason says in words why it is what it is.
func (w *window) reason() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch largest := w.recent.largest(); {
	case !w.slowUntil.IsZero():
		return "handlers took too long"
	case largest > 0:
		return "messages of up to " + inBytes(largest)
	case w.limit > 0:
		return "messages of unknown size"
	case w.grows:
		return "after losses in a row"
	}
	return "more has come than the prefetch"
}

// inBytes is a size for people.
func inBytes(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// recent is the largest size of the recent deliveries. They are forgotten after a while, but not before many
// others have come: that nothing came says nothing about what comes.
type recent struct {
	now, before int64 // of this period and of the last one
	count       int   // in this period
	since       time.Time
}

const (
	periodDeliveries = 1000
	periodTime       = time.Minute
)

func (r *recent) see(size int64, clock func() time.Time) {
	if r.count == 0 {
		r.since = clock()
	}
	r.count++
	r.now = max(r.now, size)
	if r.count >= periodDeliveries && r.count%64 == 0 && clock().Sub(r.since) >= periodTime {
		*r = recent{before: r.now}
	}
}

func (r *recent) largest() int64 { return max(r.now, r.before) }

// hasRoom tells whether a consumer that is held may go on.
func (sub *subscription) hasRoom() bool {
	_, now := sub.window.admits(sub.dispatch.channel().look().unfinished())
	return now
}

// admit decides, when the broker sends nothing more, what to ask for and whether to do so now.
func (o *steered) admit() (now bool) {
	w := o.sub.window
	if o.crowded { // what was put aside does not count
		o.intake.Prefetch = w.next()
		w.ask(o.intake.Prefetch)
		return true
	}
	if o.intake.Prefetch, now = w.admits(o.sub.dispatch.channel().look().unfinished()); now {
		w.ask(o.intake.Prefetch)
	}
	return now
}

// lookAtWindows has each subscription ask for what its window wants.
func (s *supervisor) lookAtWindows() error {
	for _, sub := range s.subscriptions {
		s.steer(sub)
	}
	return nil
}

// inARow is within which time of its beginning a loss is one in a row.
const inARow = time.Minute

// slowDown has a subscription begin small when it is consumed again, if its queue has a limit for what is lost with a
// channel, and it is lost again and again. A single active consumer would lose its role to grow again.
func (s *supervisor) slowDown(sub *subscription, worked time.Duration) {
	if worked >= inARow {
		sub.losses = 0
	}
	sub.losses++
	if sub.losses < 2 || !sub.dispatch.rescues.loseLives() || sub.spec.isSingleActive() {
		return
	}
	if sub.window.restart() {
		prefetch := sub.window.next()
		s.noteOf(sub, NotePrefetchLowered, Evidence{
			Prefetch: prefetch, Note: fmt.Sprintf("lost again, after %v: prefetch %d of %d at first", roughly(worked), prefetch, sub.prefetch),
		})
	}
}

// prefetchBytesProblem says why PrefetchBytes would not do.
func (s Subscription) prefetchBytesProblem() string {
	switch {
	case s.PrefetchBytes < 0:
		return fmt.Sprintf("%d is negative", s.PrefetchBytes)
	case s.PrefetchBytes == 0:
	case s.kind() == kindStream:
		return "not for a stream, which delivers in chunks, whatever is asked for"
	case s.Declare != nil && s.Declare.AutoDelete:
		return "not for a queue that is AutoDelete, which would go whenever the prefetch is changed"
	}
	return ""
}
