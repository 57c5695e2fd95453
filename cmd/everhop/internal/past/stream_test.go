package past

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// What is spooled can be read as often as one likes.
func TestSpool(t *testing.T) {
	p := pasttest.Outage(t)
	s := Source{Path: "-", Stdin: strings.NewReader(p.Lines())}
	if !s.isStream() {
		t.Error("it is no stream")
	}
	s, done, err := s.spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if s.isStream() {
		t.Error("it still is a stream")
	}
	for range 2 {
		n := 0
		for _, err := range s.events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != len(p.Events) {
			t.Errorf("%d events, want %d", n, len(p.Events))
		}
	}
}

// A stream that cannot be read is told of, by its name.
func TestStreamFails(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("hello\n"), brokenReader{})
	for e, err := range (Source{Path: "-", Stdin: broken}).events(t.Context()) {
		if err == nil || err.Error() != "standard input: broken" {
			t.Errorf("%v, %v", e, err)
		}
	}
	if _, _, err := (Source{Path: "-", Stdin: brokenReader{}}).spool(t.Context()); err == nil || err.Error() != "standard input: broken" {
		t.Errorf("spooling: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }
