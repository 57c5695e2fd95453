package demo

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// vt is as much of a terminal as the demo needs; anything else it is sent fails the test.
type vt struct {
	t             *testing.T
	mu            sync.Mutex // for what is shown, which another goroutine may write
	columns, rows int
	lines         []string // all that were ever shown; the last rows of them are the screen
	row, column   int      // the cursor, with row among lines
	hidden        bool     // the cursor
	cut           bool     // lines, instead of wrapping them
}

func newVT(t *testing.T, columns, rows int) *vt {
	return &vt{t: t, columns: columns, rows: rows, lines: []string{""}}
}

func (v *vt) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for text := string(p); text != ""; {
		if sequence, rest, ok := strings.Cut(text, "\x1b["); ok && sequence == "" {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' })
			v.control(rest[:end], rest[end])
			text = rest[end+1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		v.print(r)
		text = text[size:]
	}
	return len(p), nil
}

func (v *vt) print(r rune) {
	switch {
	case r == '\r':
		v.column = 0
		return
	case r == '\n': // as the tty driver turns it into "\r\n"
		v.column = 0
		v.down()
		return
	case r < ' ':
		v.t.Errorf("unexpected %q", r)
	case v.column == v.columns && v.cut:
		v.column--
	case v.column == v.columns:
		v.column = 0
		v.down()
	}
	line := []rune(v.lines[v.row])
	for len(line) <= v.column {
		line = append(line, ' ')
	}
	line[v.column] = r
	v.lines[v.row] = string(line)
	v.column++
}

func (v *vt) down() {
	if v.row++; v.row == len(v.lines) {
		v.lines = append(v.lines, "")
	}
}

func (v *vt) control(parameter string, final byte) {
	switch final {
	case 'A':
		n, err := strconv.Atoi(parameter)
		if err != nil || n == 0 {
			v.t.Errorf("cursor up by %q", parameter)
		}
		v.row = max(v.row-n, len(v.lines)-v.rows, 0)
	case 'K':
		v.lines[v.row] = string([]rune(v.lines[v.row])[:min(v.column, len([]rune(v.lines[v.row])))])
	case 'J':
		v.control("", 'K')
		for i := v.row + 1; i < len(v.lines); i++ {
			v.lines[i] = ""
		}
	case 'm':
	case 'l', 'h':
		switch parameter {
		case "?25":
			v.hidden = final == 'l'
		case "?7":
			v.cut = final == 'l'
		default:
			v.t.Errorf("unexpected mode %q", parameter)
		}
	default:
		v.t.Errorf("unexpected control sequence ESC[%s%c", parameter, final)
	}
}

func (v *vt) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return strings.TrimRight(strings.Join(v.lines, "\n"), "\n")
}

// atRest tells whether the cursor is to be seen, where the next line begins.
func (v *vt) atRest() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.hidden && !v.cut && v.column == 0
}

// counting is a region whose lines count how often they were drawn.
func counting(lines, length int) func() []term.Text {
	drawn := 0
	return func() []term.Text {
		drawn++
		var region []term.Text
		for i := range lines {
			region = append(region, term.Plain(fmt.Sprintf("%d:%d%s", i, drawn, strings.Repeat("=", length))))
		}
		return region
	}
}

// After the lines comes the region, once, whatever was there before; and nothing of it stays.
func TestScreen(t *testing.T) {
	v := newVT(t, 20, 10)
	s := &screen{out: term.To(v), live: true, broken: func(error) {}}
	var said []string
	say := func(line string, shown ...string) {
		t.Helper()
		s.say(term.Plain(line))
		said = append(said, shown...)
	}
	check := func(region ...string) {
		t.Helper()
		if diff := cmp.Diff(strings.Join(append(slices.Clone(said), region...), "\n"), v.text()); diff != "" {
			t.Error(diff)
		}
	}
	say("before", "before")
	check()
	s.region = counting(3, 4)
	say("one", "one")
	check("0:1====", "1:1====", "2:1====")
	say("two words and some more", "two words and some m", "ore")
	check("0:2====", "1:2====", "2:2====")
	say(strings.Repeat("endless", 5), strings.Repeat("endless", 5)[:20], strings.Repeat("endless", 5)[20:])
	for i := range 20 {
		say(fmt.Sprint("line ", i), fmt.Sprint("line ", i))
	}
	s.region = counting(2, 100)
	say("long", "long")
	check("0:1=================", "1:1=================")
	s.region = counting(1, 0)
	say("short", "short")
	check("0:1")
	s.region = nil
	say("after", "after")
	check()
}

// The region is drawn by itself, without a cursor in it, and goes without a trace.
func TestScreenAnimated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVT(t, 20, 10)
		s := &screen{out: term.To(v), live: true, broken: func(error) {}}
		stop := s.animate(counting(1, 0))
		if v.atRest() || v.text() != "0:1" {
			t.Errorf("at once: cursor at rest %v, %q", v.atRest(), v.text())
		}
		time.Sleep(1050 * time.Millisecond) // of the bubble
		s.say("line")
		synctest.Wait()
		if got := v.text(); got != "line\n0:12" {
			t.Errorf("after a second: %q", got)
		}
		stop()
		if !v.atRest() || v.text() != "line" {
			t.Errorf("in the end: cursor at rest %v, %q", v.atRest(), v.text())
		}
	})
}

// What is no terminal gets lines as they are.
func TestScreenPlain(t *testing.T) {
	t.Setenv("TERM", "xterm")
	var out strings.Builder
	s := newScreen(term.To(&out))
	stop := s.animate(counting(3, 4))
	long := strings.Repeat("very long ", 20)
	s.say("one", term.Plain(long))
	stop()
	if got, want := out.String(), "one\n"+long+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestScreenBroken(t *testing.T) {
	read, write := io.Pipe()
	full := errors.New("full")
	read.CloseWithError(full)
	var told []error
	s := newScreen(term.To(write))
	s.broken = func(err error) { told = append(told, err) }
	s.say("one")
	s.say("two")
	if !slices.Equal(told, []error{full}) || s.failure() != full {
		t.Errorf("told %v; %v", told, s.failure())
	}
}
