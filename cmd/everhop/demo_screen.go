package main

import (
	"io"
	"os"
	"sync"
	"time"
)

// screen shows lines that stay, and on a terminal a region below them that is drawn again and again.
//
//	lines, scrolling up
//	region            <- drawn in place, from here
//	                  <- the cursor, at rest
type screen struct {
	w      io.Writer
	ink    ink
	live   bool // there is a region
	size   func() (columns, rows int)
	broken func() // called once, when w cannot be written any more

	mu     sync.Mutex
	region func(columns int) []string // nil while there is none to show
	drawn  []int                      // the widths of the region's lines that are on the terminal
	err    error
}

// newScreen finds out what w is able to show.
func newScreen(w io.Writer, broken func()) *screen {
	term := os.Getenv("TERM")
	live := isTerminal(w) && term != "" && term != "dumb"
	return &screen{
		w:      w,
		ink:    ink(live && os.Getenv("NO_COLOR") == ""),
		live:   live,
		size:   func() (int, int) { return windowSize(w) },
		broken: broken,
	}
}

// say adds lines that stay.
func (s *screen) say(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame(lines)
}

// animate shows a region until stop is called, which removes it.
func (s *screen) animate(region func(columns int) []string) (stop func()) {
	if !s.live {
		return func() {}
	}
	const interval = 100 * time.Millisecond
	s.mu.Lock()
	s.region = region
	s.write(hideCursor)
	s.frame(nil)
	s.mu.Unlock()
	done := make(chan struct{})
	var painter sync.WaitGroup
	painter.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				s.say()
			}
		}
	})
	return func() {
		close(done)
		painter.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.region = nil
		s.frame(nil)
		s.write(showCursor)
	}
}

// frame writes lines where the region begins, and the region below them, all in one piece so that nobody
// sees half of it. A line is erased before it is written: erasing the rest of it, from the last column,
// would take the character there along.
func (s *screen) frame(lines []string) {
	columns, rows := s.window()
	before, erase, after := "", "", ""
	if len(s.drawn) > 0 {
		before, erase, after = "\r"+cursorUp(s.height(columns)), eraseLine, eraseBelow
	}
	text := before
	for _, line := range lines {
		parts := []string{line}
		if s.live {
			parts = wrap(line, columns)
		}
		for _, part := range parts {
			text += erase + part + "\n"
		}
	}
	s.drawn = s.drawn[:0]
	if s.region != nil {
		region := s.region(columns)
		for _, line := range region[max(0, len(region)-rows+1):] {
			line = cut(line, columns-1)
			text += erase + line + "\n"
			s.drawn = append(s.drawn, width(line))
		}
	}
	s.write(text + after)
}

// window is the terminal's size, or what is usual.
func (s *screen) window() (columns, rows int) {
	columns, rows = s.size()
	if columns <= 0 || rows <= 0 {
		return 80, 24
	}
	return columns, rows
}

// height is how many rows the region takes now: in a window that was made narrower since, its lines have
// been wrapped.
func (s *screen) height(columns int) (rows int) {
	for _, width := range s.drawn {
		rows += max(1, (width+columns-1)/columns)
	}
	return rows
}

func (s *screen) write(text string) {
	if s.err != nil || text == "" {
		return
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		s.err = &outputError{err}
		s.broken()
	}
}

// failure is the error that broke the output, nil if none did.
func (s *screen) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
