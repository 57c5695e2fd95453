package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// The control sequences of the demo, which terminals have known since the VT100.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	cutLines   = "\x1b[?7l" // what does not fit into the window is not shown
	wrapLines  = "\x1b[?7h"
	eraseLine  = "\x1b[K" // from the cursor on
	eraseBelow = "\x1b[J"
)

// ink paints text, or leaves it as it is.
type ink bool

// Colours and weights of text.
const (
	bold   = "1"
	grey   = "90"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (on ink) paint(text string, how ...string) string {
	if !on || text == "" {
		return text
	}
	return "\x1b[" + strings.Join(how, ";") + "m" + text + "\x1b[0m"
}

// screen shows lines that stay, and on a terminal a region below them that is drawn again and again.
//
//	lines, scrolling up
//	region            <- drawn in place, from here
//	                  <- the cursor, at rest
type screen struct {
	w      io.Writer
	ink    ink
	live   bool        // there is a region
	broken func(error) // called once, when w cannot be written any more

	mu     sync.Mutex
	region func() []string // nil while there is none to show
	drawn  int             // how many lines of it are on the terminal
	err    error           // that broke w
}

func newScreen(w io.Writer, terminal bool) *screen {
	term := os.Getenv("TERM")
	live := terminal && term != "" && term != "dumb"
	return &screen{w: w, live: live, ink: ink(live && os.Getenv("NO_COLOR") == ""), broken: func(error) {}}
}

// say adds lines that stay.
func (s *screen) say(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame(lines)
}

// animate shows a region, which always has the same height, until stop is called, which removes it.
func (s *screen) animate(region func() []string) (stop func()) {
	if !s.live {
		return func() {}
	}
	s.show(region, hideCursor)
	done := make(chan struct{})
	var painter sync.WaitGroup
	painter.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				s.say()
			}
		}
	})
	return func() {
		close(done)
		painter.Wait()
		s.show(nil, showCursor)
	}
}

func (s *screen) show(region func() []string, cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.region = region
	s.frame(nil)
	s.write(cursor)
}

// frame writes lines where the region begins, and the region below them, all in one piece so that nobody
// sees half of it.
func (s *screen) frame(lines []string) {
	text := ""
	if s.drawn > 0 {
		text = fmt.Sprintf("\r\x1b[%dA", s.drawn) // up to its first line
		if len(lines) > 0 || s.region == nil {
			text += eraseBelow
		}
		s.drawn = 0
	}
	for _, line := range lines {
		text += line + "\n"
	}
	if s.region != nil {
		text += cutLines
		for _, line := range s.region() {
			text += eraseLine + line + "\n"
			s.drawn++
		}
		text += wrapLines
	}
	s.write(text)
}

func (s *screen) write(text string) {
	if s.err != nil || text == "" {
		return
	}
	if _, s.err = io.WriteString(s.w, text); s.err != nil {
		s.broken(s.err)
	}
}

// failure is the error that broke the output, nil if none did.
func (s *screen) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
