package dedup

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noPatience is to be given up with: a redelivery that would have to wait does so at once.
func noPatience() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// waiters starts redeliveries of an id that wait. What each is told comes in the order in which they are.
func waiters(t *testing.T, w *Window, id string, n int, giveUp <-chan struct{}) <-chan string {
	told := make(chan string, n)
	for range n {
		go func() {
			handled, ok := w.Begin(id, true, giveUp)
			told <- fmt.Sprintf("handled=%v ok=%v", handled, ok)
		}()
	}
	synctest.Wait()
	if len(told) != 0 {
		t.Fatal("does not wait")
	}
	return told
}

func checkTold(t *testing.T, told <-chan string, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for len(told) > 0 {
		got = append(got, <-told)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

const (
	goOn     = "handled=false ok=true"
	suppress = "handled=true ok=true"
	gaveUp   = "handled=false ok=false"
)

// The ones that wait see what became of the one before, also if it is not to be remembered.
func TestWindowWaitsForTheEnd(t *testing.T) {
	for memory := range 2 {
		synctest.Test(t, func(t *testing.T) {
			w := New(memory)
			play(t, w, "id", "fresh")
			told := waiters(t, w, "id", 4, nil)
			w.End("id", false)
			checkTold(t, told, goOn)
			w.End("id", false)
			checkTold(t, told, goOn)
			play(t, w, "other", "fresh done")
			w.End("id", true)
			play(t, w, "other", "fresh done")
			checkTold(t, told, suppress, suppress)
			if len(w.marks) != memory {
				t.Errorf("%d marks", len(w.marks))
			}
		})
	}
}

func TestWindowGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, giveUp := New(0), make(chan struct{})
		play(t, w, "id", "fresh")
		impatient, patient := waiters(t, w, "id", 2, giveUp), waiters(t, w, "id", 1, nil)
		close(giveUp)
		checkTold(t, impatient, gaveUp, gaveUp)
		checkTold(t, patient)
		w.End("id", true)
		checkTold(t, patient, suppress)
		play(t, w, "id", "again done") // forgotten
		if len(w.marks) != 0 {
			t.Errorf("%d marks", len(w.marks))
		}
	})
}

// The one that gives up may be the last that needs the mark.
func TestWindowGivesUpAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, giveUp := New(0), make(chan struct{})
		play(t, w, "id", "fresh")
		told := waiters(t, w, "id", 1, giveUp)
		close(giveUp)
		w.End("id", true)
		checkTold(t, told, gaveUp)
		if len(w.marks) != 0 {
			t.Errorf("%d marks", len(w.marks))
		}
	})
}

// A publisher that gives every message the same id keeps somebody always at work under it.
func TestWindowDoesNotWaitForThoseAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(10)
		play(t, w, "id", "fresh fresh")
		told := waiters(t, w, "id", 2, nil)
		play(t, w, "id", "fresh done")
		checkTold(t, told)
		play(t, w, "id", "fresh done") // the second end
		checkTold(t, told, goOn)
		play(t, w, "id", "fresh done done") // the fourth; before the one that went on, there were five
		checkTold(t, told)
		play(t, w, "id", "fresh done")
		checkTold(t, told, goOn)
	})
}

// Many at once: each id is handled to its end once, and the race detector sees that its handlers run one
// after another, without any other lock.
func TestWindowIsALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ids, redeliveries, failures = 200, 16, 3
		w, calls := New(ids+1), make([]int, ids)
		var group sync.WaitGroup
		for range redeliveries {
			group.Go(func() {
				for i := range calls {
					id := fmt.Sprint(i)
					if handled, _ := w.Begin(id, true, nil); !handled {
						calls[i]++
						time.Sleep(time.Millisecond)
						w.End(id, calls[i] > failures)
					}
				}
			})
			group.Go(func() { // in the way
				for range ids {
					w.Begin("shared", false, nil)
					w.End("shared", true)
					if handled, ok := w.Begin("shared", true, noPatience()); ok && !handled {
						w.End("shared", true)
					}
				}
			})
		}
		group.Wait()
		for i, n := range calls {
			if n != failures+1 {
				t.Fatalf("id %d: handled %d times", i, n)
			}
		}
		checkIdle(t, w)
	})
}
