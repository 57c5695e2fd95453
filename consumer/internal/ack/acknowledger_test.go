package ack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a channel's way to RabbitMQ, and as strict: a tag that is not outstanding is a mistake.
type wire struct {
	mu     sync.Mutex
	sent   []string
	told   map[uint64]bool // tags that were settled
	broken error
	wrong  []string

	acknowledged int
	stale        []Item
	commits      int
	refusal      error // of Commit
}

func (w *wire) send(how string, tag uint64, each func(settle func(uint64))) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	if w.told[tag] {
		w.wrong = append(w.wrong, fmt.Sprintf("%s %d, which is settled", how, tag))
	}
	each(func(tag uint64) { w.told[tag] = true })
	w.sent = append(w.sent, fmt.Sprint(how, " ", tag))
	return nil
}

func one(tag uint64) func(func(uint64)) { return func(settle func(uint64)) { settle(tag) } }

func (w *wire) Ack(tag uint64) error  { return w.send("ack", tag, one(tag)) }
func (w *wire) Nack(tag uint64) error { return w.send("nack", tag, one(tag)) }
func (w *wire) Reject(tag uint64, requeue bool) error {
	return w.send(fmt.Sprintf("reject(%v)", requeue), tag, one(tag))
}

func (w *wire) AckUpTo(tag uint64) error {
	return w.send("up to", tag, func(settle func(uint64)) {
		for t := uint64(1); t <= tag; t++ {
			settle(t)
		}
	})
}

func (w *wire) commit() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits++
	return w.refusal
}

func (w *wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// check compares what was sent so far, separated by commas.
func (w *wire) check(t *testing.T, want string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.sent, ", "); got != want {
		t.Errorf("sent:\n%s\nwant:\n%s", got, want)
	}
	for _, mistake := range w.wrong {
		t.Error(mistake)
	}
}

// open makes an Acknowledger that has received so many.
func open(prefetch, received int, set func(*Options)) (*wire, *Acknowledger) {
	w := &wire{told: map[uint64]bool{}}
	o := Options{
		Prefetch:     prefetch,
		CommitPause:  time.Second,
		Acknowledged: func(n int) { w.set(func() { w.acknowledged += n }) },
		Stale:        func(items []Item, _ error) { w.set(func() { w.stale = append(w.stale, items...) }) },
	}
	if set != nil {
		set(&o)
	}
	a := New(w, o)
	for tag := range received {
		a.Receive(itemOf(uint64(tag + 1)))
	}
	return w, a
}

func finish(a *Acknowledger, from, to uint64) {
	for tag := from; tag <= to; tag++ {
		a.Finish(tag)
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Those that are with handlers have their share of the prefetch: 24 of 88 here.
func TestRunsShareFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(88, 24, nil)
		for tag := uint64(1); tag <= 40; tag++ {
			a.Finish(tag)
			a.Receive(itemOf(tag + 24))
		}
		w.check(t, "up to 16, up to 32") // a quarter of 65
		a.Flush()
		w.check(t, "up to 16, up to 32, up to 40")
		if w.acknowledged != 40 || outstanding(a) != 24 {
			t.Errorf("%d are acknowledged, %d outstanding", w.acknowledged, outstanding(a))
		}
	})
}

// When the prefetch is used up, nothing waits.
func TestNothingWaitsWhenNothingMoreCanCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(64, 64, nil)
		a.Finish(7)
		a.Finish(1)
		a.Finish(2)
		w.check(t, "ack 7, up to 1, up to 2")
	})
}

// Those that are finished behind another one wait for it, but not when it has proved to be slow.
func TestStraysAreSentOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(32, 9, nil) // so that 24 places are free, 25 when another one has finished, and so on
		finish(a, 2, 7)
		w.check(t, "")
		a.Finish(8) // the seventh of 30
		w.check(t, "ack 2, ack 3, ack 4, ack 5, ack 6, ack 7, ack 8")
		a.Finish(9)
		a.Receive(itemOf(10))
		w.check(t, "ack 2, ack 3, ack 4, ack 5, ack 6, ack 7, ack 8, ack 9")
		a.Finish(1) // the run goes up to what was finished last, past what is settled
		a.Finish(10)
		a.Flush()
		w.check(t, "ack 2, ack 3, ack 4, ack 5, ack 6, ack 7, ack 8, ack 9, up to 10")
	})
}

func TestLimits(t *testing.T) {
	for free, want := range map[int]struct{ run, strays, slow int }{
		-5: {1, 1, 1}, 0: {1, 1, 1}, 1: {1, 1, 1}, 7: {1, 1, 1}, 8: {2, 2, 1}, 10: {2, 2, 1}, 23: {2, 5, 1}, 64: {16, 16, 4},
		100: {25, 25, 6}, 250: {62, 62, 15}, 256: {64, 64, 16}, 300: {60, 75, 18}, 1000: {64, 250, 62}, 65535: {64, 16383, 4095},
	} {
		if got := limitsOf(free, false); got != (limits{want.run, want.strays}) {
			t.Errorf("%d free places: %+v, want %+v", free, got, want)
		}
		if got := limitsOf(free, true); got != (limits{want.run, want.slow}) {
			t.Errorf("%d free places, behind a slow one: %+v, want %+v", free, got, want)
		}
	}
}

func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(64, 3, func(o *Options) { o.Each = true })
		a.Finish(2)
		a.Finish(1)
		w.check(t, "ack 2, ack 1")
	})
}

// What nothing follows is sent after a millisecond; what others follow, later.
func TestNothingWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(64, 3, nil)
		a.Finish(1)
		a.Finish(3)
		pass(idleAfter - 1)
		w.check(t, "")
		pass(1)
		w.check(t, "up to 1, ack 3")

		a.Finish(2)
		for tag := uint64(4); tag < 40; tag++ {
			pass(idleAfter / 2)
			a.Receive(itemOf(tag))
		}
		w.check(t, "up to 1, ack 3, up to 2")
	})
}

func TestOthersAreSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(64, 5, nil)
		if err := errors.Join(a.Nack(3), a.Reject(1, false), a.Reject(4, true), a.Ack(2), a.Return(5)); err != nil {
			t.Error(err)
		}
		w.check(t, "nack 3, reject(false) 1, reject(true) 4, ack 2, nack 5")
		if n := outstanding(a); n != 0 {
			t.Errorf("%d are outstanding", n)
		}
	})
}

// Once the channel is gone, every outcome is stale, and told as the delivery came. Only what nobody had begun
// with is nobody's business.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(64, 6, nil)
		a.Finish(1)
		a.Finish(2)
		w.broken = errors.New("gone")
		a.Flush()
		a.Finish(3)
		_ = a.Nack(4)
		if err := errors.Join(a.Reject(5, true), a.Return(6)); err == nil {
			t.Error("no error")
		}
		w.check(t, "")
		want := []Item{itemOf(1), itemOf(2), itemOf(3), itemOf(4), itemOf(5)}
		if !slices.Equal(w.stale, want) {
			t.Errorf("stale are %v, want %v", w.stale, want)
		}
	})
}

func TestCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, a := open(16, 4, nil)
		a.options.Commit = w.commit
		w.refusal = errors.New("not now")
		finish(a, 1, 4)
		w.check(t, "")
		w.set(func() { w.refusal = nil })
		pass(a.options.CommitPause - 1)
		w.check(t, "")
		pass(1)
		w.check(t, "up to 4")
		if w.commits != 2 {
			t.Errorf("%d calls of Commit, want 2", w.commits)
		}
	})
}

// A Commit that fails is not called again for a channel that another one has replaced, nor after the end.
func TestCommitIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		replaced bool
		refusal  error
		stale    int
	}{
		"replaced": {true, errors.New("not now"), 2},
		"ended":    {false, ErrEnded, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, a := open(64, 3, nil)
				a.options.Commit = w.commit
				w.refusal = c.refusal
				if c.replaced {
					a.Replace()
				}
				a.Finish(1)
				a.Finish(2)
				pass(10 * a.options.CommitPause)
				w.check(t, "")
				if w.commits != 1 || len(w.stale) != c.stale || outstanding(a) != 1 {
					t.Errorf("%d commits, %d stale, %d outstanding", w.commits, len(w.stale), outstanding(a))
				}
			})
		})
	}
}

func TestOffsetAndOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := func(a *Acknowledger, want any) {
			t.Helper()
			switch got := a.Offset(); {
			case got == nil && want != nil, got != nil && any(*got) != want:
				t.Errorf("offset %v, want %v", got, want)
			}
		}
		_, a := open(64, 0, nil)
		check(a, nil) // nothing came
		if held, finished, i := a.Look(); held+finished != 0 || i != (Item{}) {
			t.Error("nothing is outstanding")
		}
		a.Receive(itemOf(1))
		a.Receive(itemOf(2))
		check(a, itemOf(1).Offset) // nothing was handled
		a.Finish(2)
		check(a, itemOf(1).Offset)
		if held, finished, i := a.Look(); i != itemOf(1) || held != 1 || finished != 1 {
			t.Errorf("the oldest is %v", i)
		}
		a.Finish(1)
		check(a, itemOf(2).Offset+1)
		a.Flush()
		if _, _, i := a.Look(); i != (Item{}) {
			t.Errorf("the oldest is %v", i)
		}
		from := int64(0)
		_, a = open(64, 2, func(o *Options) { o.From = &from })
		check(a, from)
	})
}

// Many finish at once, in any order, while others come in: every delivery is settled once, and no frame names
// one that was.
func TestAcknowledgerUnderContention(t *testing.T) {
	for _, prefetch := range []int{1, 2, 7, 64, 500} {
		synctest.Test(t, func(t *testing.T) {
			const deliveries, workers = 5000, 8
			w, a := open(prefetch, 0, nil)
			var mu sync.Mutex
			var next uint64
			free := make(chan struct{}, prefetch)
			a.options.Acknowledged = func(n int) {
				for range n {
					<-free
				}
			}
			var group sync.WaitGroup
			for range workers {
				group.Go(func() {
					for {
						free <- struct{}{}
						mu.Lock()
						next++
						tag := next
						if tag <= deliveries {
							a.Receive(itemOf(tag))
						}
						mu.Unlock()
						if tag > deliveries {
							<-free
							return
						}
						if rand.N(50) == 0 {
							time.Sleep(time.Millisecond)
						}
						a.Finish(tag)
					}
				})
			}
			group.Wait()
			a.Flush()
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.told) != deliveries || outstanding(a) != 0 || len(w.wrong) != 0 {
				t.Errorf("prefetch %d: %d are settled, %d outstanding; %v", prefetch, len(w.told), outstanding(a), w.wrong)
			}
			t.Logf("prefetch %d: %d frames", prefetch, len(w.sent))
		})
	}
}

func outstanding(a *Acknowledger) int {
	held, finished, _ := a.Look()
	return held + finished
}
