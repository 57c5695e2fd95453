package consumer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r repeats
		told := func(text string, n int) (all []int) {
			for i := range n {
				if times, tell := r.count(fmt.Sprintf(text, i)); tell {
					all = append(all, times)
				}
			}
			return all
		}
		want := func(got []int, want string) {
			t.Helper()
			if fmt.Sprint(got) != want {
				t.Errorf("%v, want %s", got, want)
			}
		}
		want(told("message size %d is too large", 20), "[1 2 4 8 16]")
		want(told("message size %d is too large", 20), "[32]")
		want(told("there is no exchange: %d", 1), "[1]")
		time.Sleep(repeatsEnd - time.Second)
		want(told("message size %d is too large", 1), "[]")
		time.Sleep(repeatsEnd + time.Second)
		want(told("message size %d is too large", 1), "[1]")
		for i := range 10 * mostRepeats {
			r.count(string(rune('a' + i)))
		}
		if len(r.by) > mostRepeats {
			t.Errorf("%d are remembered", len(r.by))
		}
	})
}
