package demo

import (
	"sync"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// screen shows lines that stay, and on a terminal a region below them that is drawn again and again.
//
//	lines, scrolling up
//	region            <- drawn in place, from here
//	                  <- the cursor, at rest
type screen struct {
	out    *term.Output
	ink    term.Ink
	live   bool        // there is a region
	broken func(error) // called once, when out cannot be written any more

	mu     sync.Mutex
	region func() []term.Text // nil while there is none to show
	drawn  int                // how many lines of it are on the terminal
	err    error              // that broke out
}

func newScreen(out *term.Output) *screen {
	return &screen{out: out, live: out.Redraws(), ink: out.Ink(), broken: func(error) {}}
}

// say adds lines that stay.
func (s *screen) say(lines ...term.Text) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame(lines)
}

// animate shows a region, which always has the same height, until stop is called, which removes it.
func (s *screen) animate(region func() []term.Text) (stop func()) {
	if !s.live {
		return func() {}
	}
	s.show(region, term.HideCursor)
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
		s.show(nil, term.ShowCursor)
	}
}

func (s *screen) show(region func() []term.Text, cursor term.Text) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.region = region
	s.frame(nil)
	s.write(cursor)
}

// frame writes lines where the region begins, and the region below them, all in one piece so that nobody
// sees half of it.
func (s *screen) frame(lines []term.Text) {
	var text term.Text
	if s.drawn > 0 {
		text = term.Up(s.drawn) // to its first line
		if len(lines) > 0 || s.region == nil {
			text += term.EraseBelow
		}
		s.drawn = 0
	}
	for _, line := range lines {
		text += line + "\n"
	}
	if s.region != nil {
		text += term.CutLines
		for _, line := range s.region() {
			text += term.EraseLine + line + "\n"
			s.drawn++
		}
		text += term.WrapLines
	}
	s.write(text)
}

func (s *screen) write(text term.Text) {
	if s.err != nil || text == "" {
		return
	}
	if s.err = s.out.Print(text); s.err != nil {
		s.broken(s.err)
	}
}

// failure is the error that broke the output, nil if none did.
func (s *screen) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
