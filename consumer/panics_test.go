package consumer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
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

// Lines that the writer of the log does not take in time are counted, and the others come as they were, in order.
func TestLinesThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		var got []string
		l := newLines(zerolog.New(writerFunc(func(p []byte) (int, error) {
			<-hangs
			got = append(got, string(p))
			return len(p), nil
		})).With().Str("own", "field").Logger(), &inside{})
		log := l.logger()
		const tooMany = 10
		for n := range mostLines + 1 + tooMany {
			log.Error().Int("n", n).Msg("line")
			if n == 0 {
				synctest.Wait() // it is being written
			}
		}
		close(hangs)
		l.wait()
		if want := mostLines + 2; len(got) != want {
			t.Fatalf("%d lines, want %d", len(got), want)
		}
		if want := `{"level":"error","own":"field","n":0,"message":"line"}` + "\n"; got[0] != want {
			t.Errorf("got %s, want %s", got[0], want)
		}
		if !strings.Contains(got[1], `"left_out":10`) || !strings.Contains(got[2], `"n":1,`) {
			t.Errorf("got %s and %s", got[1], got[2])
		}
	})
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }
