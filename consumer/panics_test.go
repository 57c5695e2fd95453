package consumer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Of the panics of one place only one in a minute is told with its stack, and how many were not; another place has its
// own.
func TestStacksAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p panicLog
		tell := func(f func()) (text string) {
			defer func() { text = p.tell("it", recover()) }()
			f()
			return ""
		}
		one := func() { panic("one") }
		other := func() { panic("other") }
		isFull := func(text string) bool { return strings.Contains(text, "goroutine ") }
		if text := tell(one); !isFull(text) || !strings.HasPrefix(text, "it panicked: one\n") {
			t.Error(text)
		}
		for range 5 {
			if text := tell(one); isFull(text) || !strings.Contains(text, "panics_test.go:") {
				t.Error(text)
			}
		}
		if text := tell(other); !isFull(text) {
			t.Error(text)
		}
		time.Sleep(panicEvery)
		if text := tell(one); !isFull(text) || !strings.Contains(text, "5 more since") {
			t.Error(text)
		}
	})
}
