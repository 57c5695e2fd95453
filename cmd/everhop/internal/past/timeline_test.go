package past

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gotest.tools/v3/golden"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// toldOn is what a page has of a log.
func toldOn(t *testing.T, log *pasttest.Log, p page) string {
	t.Helper()
	var out bytes.Buffer
	told := newTelling(&Replay{}, bounds{}, term.To(&out))
	told.page = p
	for _, e := range log.Events {
		told.add(e)
	}
	if err := errors.Join(told.finish(), told.flush()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Pages of every width tell the same, and nothing is wider than its page.
func TestReplayPages(t *testing.T) {
	p := pasttest.Night(t)
	for _, tt := range []struct {
		name string
		page page
	}{
		{"pipe", page{}},
		{"wide", page{width: 140}},
		{"narrow", page{width: 80}},
		{"tiny", page{width: 40}},
		{"colours", page{width: 140, ink: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.page.zone = time.UTC
			got := toldOn(t, p, tt.page)
			if tt.page.ink {
				plain, err := os.ReadFile("testdata/wide.txt")
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(plain), escapes.ReplaceAllString(got, "")); diff != "" || !escapes.MatchString(got) {
					t.Errorf("colours are missing, or not all there is to them:\n%s", diff)
				}
				return
			}
			golden.Assert(t, got, tt.name+".txt")
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(line) - 1; tt.page.width > 0 && n > tt.page.width {
					t.Errorf("%d columns: %s", n, line)
				}
				if strings.TrimRight(line, " \n")+"\n" != line {
					t.Errorf("blanks at the end: %q", line)
				}
			}
		})
	}
}

// On a terminal that is watched live, what is being folded is shown, and written over.
func TestReplayPending(t *testing.T) {
	p := pasttest.Night(t)
	var out bytes.Buffer
	told := newTelling(&Replay{NoSummary: true}, bounds{}, term.To(&out))
	told.page, told.live = page{width: 80, redraw: true, zone: time.UTC}, true
	err := told.tell("the night", func(yield func(fsm.Event, error) bool) {
		for _, e := range p.Events {
			told.drawn = time.Time{} // as if it were long ago
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if !strings.Contains(got, "\r\x1b[K22:00:02.020 Consuming (4.0 s): idle x3, ...\r\x1b[K") {
		t.Errorf("nothing is shown before it is complete:\n%.2000q", got)
	}
	want, err := os.ReadFile("testdata/narrow.txt")
	if err != nil {
		t.Fatal(err)
	}
	timeline, _, _ := strings.Cut(string(want), "\nSummary")
	if diff := cmp.Diff(timeline, regexp.MustCompile("[^\n]*\r\x1b\\[K").ReplaceAllString(got, "")); diff != "" {
		t.Error(diff)
	}
}

func TestReplayBounds(t *testing.T) {
	tells(t, pasttest.Night(t), map[string]string{
		"since-until":    "--since 22:39 --until 22:51",
		"since-duration": "--since 15m",
		"since-within":   "--since 01:31 --until 01:31:02",
	})
}

func TestReplayJSON(t *testing.T) {
	tells(t, pasttest.Night(t), map[string]string{
		"json":    "--json",
		"at-json": "--at 01:30 --json",
	})
}

// What a peer has sent must not reach the terminal as a command to it.
func TestReplayControlCharacters(t *testing.T) {
	p := pasttest.New(t, "or\x1b[2Jders").Connect()
	p.Fire(time.Second, consumer.ConnectionError, consumer.Evidence{
		Class: "net\rwork", Error: "gone\x1b]0;title\x07\nagain\u202e\u009b31m", Endpoint: "h\t:1", Queue: "q\x00", Note: "\x7f",
	})
	p.Record(fsm.KindNote, consumer.NoteParked, consumer.Evidence{Queue: "q\x1b[2J", MessageID: "id\x1b]0;\x07\n", Cause: "a\rb", Error: "e\u202e\x1b[1m"})
	p.Record(fsm.KindNote, consumer.NoteOutcomes, consumer.Evidence{Queue: "q\x1b[2J", Parked: 1})
	path := p.Journal()
	if _, err := tell(t, path, "--machine", "x"); term.Clean(said(err)) != said(err) {
		t.Errorf("%q", err)
	}
	for _, args := range [][]string{{}, {"--at", "0s"}, {"--json"}, {"--summary"}, {"--messages"}, {"--outages"}} {
		told, _ := tell(t, append([]string{path}, args...)...)
		for line := range strings.Lines(told) {
			if term.Clean(strings.TrimSuffix(line, "\n"))+"\n" != line && !slices.Contains(args, "--json") || strings.ContainsAny(line, "\x1b\x07\x00\r") {
				t.Errorf("%v: %q", args, line)
			}
		}
	}
	for _, width := range []int{60, 120} { // as it is laid out when it is clean
		for line := range strings.Lines(toldOn(t, p, page{width: width, zone: time.UTC})) {
			if n := utf8.RuneCountInString(line) - 1; n > width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}
