package glass

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// Options are how consumers are looked at.
type Options struct {
	Timeout  time.Duration // of one look
	Interval time.Duration // between two
	Zone     *time.Location
}

// Ask looks at all of them at once.
func Ask(ctx context.Context, sources []Source, timeout time.Duration) []Look {
	looks := make([]Look, len(sources))
	var all sync.WaitGroup
	for i, s := range sources {
		all.Go(func() { looks[i] = s.Ask(ctx, timeout) })
	}
	all.Wait()
	return looks
}

// Page prints looks, the worst first.
func Page(out *term.Output, looks []Look, zone *time.Location) error {
	return show(out, page{out.Ink(), out.Width(), zone}.lines(looks))
}

func show(out *term.Output, lines []term.Text) error {
	var text term.Text
	for _, line := range lines {
		text += line.TrimRight() + "\n"
	}
	return out.Print(text)
}

// Watch shows them until ctx ends or somebody at the terminal has seen enough. Without a terminal that can be written
// over it prints a page each interval.
func Watch(ctx context.Context, out *term.Output, sources []Source, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{options: o, sources: sources, looks: make([]Look, len(sources)), came: make(chan seen)}
	var screen *term.Screen
	if out.Redraws() {
		var err error
		if screen, err = out.TakeOver(); err != nil {
			cancel()
			return err
		}
		defer screen.Leave() // whatever happens
	}
	var pollers sync.WaitGroup
	defer pollers.Wait()
	defer cancel()
	for i := range sources {
		pollers.Go(func() {
			defer screen.LeaveOnPanic()
			w.poll(ctx, i)
		})
	}
	if screen == nil {
		return w.print(ctx, out)
	}
	return w.live(ctx, out, screen)
}

type watch struct {
	options Options
	sources []Source
	looks   []Look
	came    chan seen
	offset  int // of the first line that is shown
}

// seen is a new look at one of the sources.
type seen struct {
	index int
	look  Look
}

func (w *watch) poll(ctx context.Context, i int) {
	tick := time.NewTicker(w.options.Interval)
	defer tick.Stop()
	for {
		look := w.sources[i].Ask(ctx, w.options.Timeout)
		select {
		case w.came <- seen{i, look}:
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// print waits for a look at each of them, and prints; and again.
func (w *watch) print(ctx context.Context, out *term.Output) error {
	fresh := map[int]bool{}
	for {
		select {
		case s := <-w.came:
			w.take(s)
			if fresh[s.index] = true; len(fresh) < len(w.sources) {
				continue
			}
			clear(fresh)
			if err := show(out, append(page{out.Ink(), out.Width(), w.options.Zone}.lines(w.looks), "")); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// resized is how often the size of the window is looked at.
const resized = 200 * time.Millisecond

func (w *watch) live(ctx context.Context, out *term.Output, screen *term.Screen) error {
	window := time.NewTicker(resized)
	defer window.Stop()
	width, height := out.Size()
	for {
		if err := screen.Draw(w.frame(out.Ink(), width, height)); err != nil {
			return err
		}
		for changed := false; !changed; {
			select {
			case s := <-w.came:
				w.take(s)
				changed = true
			case key := <-screen.Keys():
				if w.press(key, height) {
					return nil
				}
				changed = true
			case <-window.C:
				before, above := width, height
				width, height = out.Size()
				changed = width != before || height != above
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// press tells whether that was the end.
func (w *watch) press(key term.Key, height int) bool {
	switch key {
	case "q", "Q", term.KeyInterrupt:
		return true
	case "j", term.KeyDown:
		w.offset++
	case "k", term.KeyUp:
		w.offset--
	case " ", term.KeyPageDown:
		w.offset += height - 2
	case "b", term.KeyPageUp:
		w.offset -= height - 2
	case "g", term.KeyHome:
		w.offset = 0
	}
	return false
}

// frame is what fits into the window, with a line about the keys at its end.
func (w *watch) frame(ink term.Ink, width, height int) []term.Text {
	var looks []Look
	for _, l := range w.looks {
		if l.Address != "" { // it was looked at
			looks = append(looks, l)
		}
	}
	lines := page{ink, width, w.options.Zone}.lines(looks)
	if len(looks) == 0 {
		lines = []term.Text{"asking …"}
	}
	room := max(1, height-1)
	w.offset = max(0, min(w.offset, len(lines)-room))
	above, below := w.offset, max(0, len(lines)-room-w.offset)
	lines = slices.Clone(lines[w.offset : len(lines)-below])
	for len(lines) < room {
		lines = append(lines, "")
	}
	help := "q ends"
	if above+below > 0 {
		help += fmt.Sprintf("; arrows and space scroll: %d lines above, %d below", above, below)
	}
	return append(lines, ink.Paint(term.Cut(help, width), term.Grey))
}

// take keeps a look. Between two at the same process there are rates.
func (w *watch) take(s seen) {
	before, now := w.looks[s.index], s.look
	switch {
	case now.Doc != nil && before.Doc != nil:
		now.rates = ratesOf(before, now)
	case now.Doc == nil && before.Doc != nil:
		now.last = &before
	case now.Doc == nil:
		now.last = before.last
	}
	w.looks[s.index] = now
}

// ratesOf are those of the messages settled between two looks; none if it is another process, or the same look.
func ratesOf(before, now Look) []float64 {
	a, b := before.Doc, now.Doc
	passed := b.Time.Sub(a.Time).Seconds()
	if passed <= 0 || len(a.Subscriptions) != len(b.Subscriptions) {
		return nil
	}
	rates := make([]float64, len(b.Subscriptions))
	for i, s := range b.Subscriptions {
		done, had := settled(s.Stats), settled(a.Subscriptions[i].Stats)
		if done < had || s.Queue != a.Subscriptions[i].Queue {
			return nil
		}
		rates[i] = float64(done-had) / passed
	}
	return rates
}
