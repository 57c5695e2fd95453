package consumer

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
func waiters(t *testing.T, r *recent, id string, n int, giveUp <-chan struct{}) <-chan string {
	told := make(chan string, n)
	for range n {
		go func() {
			handled, ok := r.begin(id, true, giveUp)
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
func TestRecentWaitsForTheEnd(t *testing.T) {
	for memory := range 2 {
		synctest.Test(t, func(t *testing.T) {
			r := newRecent(memory)
			play(t, r, "id", "fresh")
			told := waiters(t, r, "id", 4, nil)
			r.end("id", false)
			checkTold(t, told, goOn)
			r.end("id", false)
			checkTold(t, told, goOn)
			play(t, r, "other", "fresh done")
			r.end("id", true)
			play(t, r, "other", "fresh done")
			checkTold(t, told, suppress, suppress)
			if len(r.marks) != memory {
				t.Errorf("%d marks", len(r.marks))
			}
		})
	}
}

func TestRecentGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, giveUp := newRecent(0), make(chan struct{})
		play(t, r, "id", "fresh")
		impatient, patient := waiters(t, r, "id", 2, giveUp), waiters(t, r, "id", 1, nil)
		close(giveUp)
		checkTold(t, impatient, gaveUp, gaveUp)
		checkTold(t, patient)
		r.end("id", true)
		checkTold(t, patient, suppress)
		play(t, r, "id", "again done") // forgotten
		if len(r.marks) != 0 {
			t.Errorf("%d marks", len(r.marks))
		}
	})
}

// The one that gives up may be the last that needs the mark.
func TestRecentGivesUpAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, giveUp := newRecent(0), make(chan struct{})
		play(t, r, "id", "fresh")
		told := waiters(t, r, "id", 1, giveUp)
		close(giveUp)
		r.end("id", true)
		checkTold(t, told, gaveUp)
		if len(r.marks) != 0 {
			t.Errorf("%d marks", len(r.marks))
		}
	})
}

// A publisher that gives every message the same id keeps somebody always at work under it.
func TestRecentDoesNotWaitForThoseAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecent(10)
		play(t, r, "id", "fresh fresh")
		told := waiters(t, r, "id", 2, nil)
		play(t, r, "id", "fresh done")
		checkTold(t, told)
		play(t, r, "id", "fresh done") // the second end
		checkTold(t, told, goOn)
		play(t, r, "id", "fresh done done") // the fourth; before the one that went on, there were five
		checkTold(t, told)
		play(t, r, "id", "fresh done")
		checkTold(t, told, goOn)
	})
}

// Many at once: each id is handled to its end once, and the race detector sees that its handlers run one
// after another, without any other lock.
func TestRecentIsALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ids, redeliveries, failures = 200, 16, 3
		r, calls := newRecent(ids+1), make([]int, ids)
		var group sync.WaitGroup
		for range redeliveries {
			group.Go(func() {
				for i := range calls {
					id := fmt.Sprint(i)
					if handled, _ := r.begin(id, true, nil); !handled {
						calls[i]++
						time.Sleep(time.Millisecond)
						r.end(id, calls[i] > failures)
					}
				}
			})
			group.Go(func() { // in the way
				for range ids {
					r.begin("shared", false, nil)
					r.end("shared", true)
					if handled, ok := r.begin("shared", true, noPatience()); ok && !handled {
						r.end("shared", true)
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
		checkRecentIdle(t, r)
	})
}
