package consumer

import (
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// panicLog tells of each panic, but of the stacks only one of each place and minute: a handler may panic for every message.
type panicLog struct {
	mu   sync.Mutex
	seen map[string]*panicked // by their place
}

type panicked struct {
	at      time.Time // the last one that was told in full
	leftOut int       // since then
}

const (
	panicEvery  = time.Minute
	panicPlaces = 1000 // to be remembered
)

// tell is called where the panic was recovered.
func (p *panicLog) tell(what string, cause any) string {
	place := placeOfPanic()
	text := fmt.Sprintf("%s panicked: %v", what, cause)
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.seen[place]
	if last != nil && time.Since(last.at) < panicEvery {
		last.leftOut++
		return text + " (" + place + ", as before)"
	}
	if last != nil && last.leftOut > 0 {
		text += fmt.Sprintf(" (%d more since %v, without their stacks)", last.leftOut, last.at.Format(time.TimeOnly))
	}
	if p.seen == nil || len(p.seen) >= panicPlaces {
		p.seen = map[string]*panicked{}
	}
	p.seen[place] = &panicked{at: time.Now()}
	return fmt.Sprintf("%s\n%s", text, debug.Stack())
}

// placeOfPanic is the line of code that has panicked.
func placeOfPanic() string {
	const deepest = 64
	counters := make([]uintptr, deepest)
	frames := runtime.CallersFrames(counters[:runtime.Callers(0, counters)])
	for panicking, more := false, true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line)
		}
	}
	return "unknown place"
}
