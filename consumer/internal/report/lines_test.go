package report

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/inside"
)

// Lines that the writer of the log does not take in time are counted, and the others come as they were, in order.
func TestLinesThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		var got []string
		l := NewLines(zerolog.New(writerFunc(func(p []byte) (int, error) {
			<-hangs
			got = append(got, string(p))
			return len(p), nil
		})).With().Str("own", "field").Logger(), &inside.Marks{})
		log := l.Logger()
		const tooMany = 10
		for n := range mostLines + 1 + tooMany {
			log.Error().Int("n", n).Msg("line")
			if n == 0 {
				synctest.Wait() // it is being written
			}
		}
		close(hangs)
		l.Wait()
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
