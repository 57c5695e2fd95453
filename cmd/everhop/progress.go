package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

const (
	// progressInterval is long enough that short input shows none.
	progressInterval = 500 * time.Millisecond
	// rateTicks is over how many of them the rate is.
	rateTicks = 10
)

// progress is a line at the end of a terminal that tells how far publishing is. Lines that are written to it come above.
// Where there is no terminal to redraw, they are all that there is.
type progress struct {
	out *term.Output

	mu   sync.Mutex
	line term.Text // on the screen; "": none is
}

func newProgress(out *term.Output) *progress { return &progress{out: out} }

// Write is for lines that are clean, of a [term.Output] on top.
func (p *progress) Write(lines []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != "" {
		_ = p.out.Print(term.ClearLine)
	}
	n, err := term.Below(p.out).Write(lines)
	if p.line != "" {
		_ = p.out.Print(p.line)
	}
	return n, err
}

// Unwrap is the writer below.
func (p *progress) Unwrap() io.Writer { return p.out }

func (p *progress) draw(line term.Text) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != "" || line != "" {
		_ = p.out.Print(term.ClearLine + line)
	}
	p.line = line
}

// show draws the line until the returned function is called.
func (p *progress) show(state func() fsm.State, stats func() publish.Stats, stopping <-chan struct{}) (hide func()) {
	if !p.out.Redraws() {
		return func() {}
	}
	hidden := make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() {
		defer p.draw("")
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		l := glance{before: []uint64{0}}
		for {
			select {
			case <-ticker.C:
				l.see(state(), stats())
				text := l.text()
				select {
				case <-stopping:
					text += ", stopping (a second signal stops at once)"
				default:
				}
				p.draw(term.Plain(term.Cut(text, p.out.Width()-1)))
			case <-hidden:
				return
			}
		}
	})
	return func() {
		close(hidden)
		teller.Wait()
	}
}

// glance is what is to be seen of a publisher.
type glance struct {
	state  fsm.State
	since  time.Time
	stats  publish.Stats
	before []uint64 // how many were confirmed at the last ticks, this one included
}

func (g *glance) see(state fsm.State, stats publish.Stats) {
	if g.state != state {
		g.state, g.since = state, time.Now()
	}
	g.stats = stats
	if g.before = append(g.before, stats.Confirmed); len(g.before) > rateTicks+1 {
		g.before = g.before[1:]
	}
}

func (g *glance) text() string {
	over := time.Duration(len(g.before)-1) * progressInterval
	rate := float64(g.stats.Confirmed-g.before[0]) / over.Seconds()
	text := fmt.Sprintf("%s, %.0f/s", messagesConfirmed(g.stats.Confirmed), rate)
	if waiting := g.stats.Unconfirmed + g.stats.Waiting; waiting > 0 {
		text += fmt.Sprintf(", %d waiting", waiting)
	}
	switch since := g.stats.BlockedSince; {
	case !since.IsZero():
		text += ", blocked by the broker since " + since.Format(time.TimeOnly)
	case g.state != publish.Publishing:
		text += fmt.Sprintf(", %s for %v", g.state, time.Since(g.since).Round(time.Second))
	}
	return text
}

func messagesConfirmed(n uint64) string {
	if n == 1 {
		return "1 message confirmed"
	}
	return fmt.Sprintf("%d messages confirmed", n)
}
