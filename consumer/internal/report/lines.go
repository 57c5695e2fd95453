package report

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/inside"
)

// Lines are log lines that wait for the caller's Logger. Its writer is the caller's: it may hang, panic, or call
// Stop, and none of those who log may wait for that: workers, the supervisor, whoever publishes. So one goroutine
// writes, as long as there is anything to write.
//
// All methods may be called from any goroutine.
type Lines struct {
	to    zerolog.Logger
	marks *inside.Marks

	mu      sync.Mutex
	written sync.Cond
	waiting []line
	leftOut int
	writing bool
}

type line struct {
	level zerolog.Level
	text  []byte
}

// mostLines is how many wait. What comes then is left out, and counted.
const mostLines = 1024

// NewLines returns those for a logger, whose writer, and hooks, run inside.
func NewLines(to zerolog.Logger, marks *inside.Marks) *Lines {
	l := &Lines{to: to, marks: marks}
	l.written.L = &l.mu
	return l
}

// Logger returns one that never waits. It has the level of the caller's; fields and hooks of that come when it is
// written.
func (l *Lines) Logger() zerolog.Logger {
	if !l.to.Error().Enabled() { // the highest level that we have
		return zerolog.Nop()
	}
	return zerolog.New(queue{l}).Level(l.to.GetLevel())
}

// queue is what a line is written to first.
type queue struct{ *Lines }

// Write is for a line without a level, which we have none of.
func (l queue) Write(text []byte) (int, error) { return l.WriteLevel(zerolog.NoLevel, text) }

// WriteLevel takes a line.
func (l queue) WriteLevel(level zerolog.Level, text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= mostLines {
		l.leftOut++
		return len(text), nil
	}
	l.waiting = append(l.waiting, line{level, bytes.Clone(text)})
	if !l.writing {
		l.writing = true
		go l.run()
	}
	return len(text), nil
}

// run writes until nothing waits.
func (l *Lines) run() {
	defer l.marks.Enter()()
	done := false
	defer func() {
		if !done { // the writer has ended the goroutine
			go l.run()
		}
	}()
	for {
		next, leftOut, ok := l.next()
		if !ok {
			done = true
			return
		}
		if leftOut > 0 {
			l.pass(func() {
				l.to.Warn().Int("left_out", leftOut).Msg("log lines were left out: the writer of the log was too slow")
			})
		}
		l.pass(func() { next.writeTo(l.to) })
	}
}

func (l *Lines) next() (next line, leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.writing = false
		l.written.Broadcast()
		return next, 0, false
	}
	next, leftOut = l.waiting[0], l.leftOut
	l.waiting[0] = line{}
	l.waiting, l.leftOut = l.waiting[1:], 0
	return next, leftOut, true
}

// pass keeps a writer that panics from taking the process along. There is nowhere to say so.
func (l *Lines) pass(write func()) {
	defer func() { _ = recover() }()
	write()
}

// writeTo writes a line with the logger's own fields and hooks.
func (n line) writeTo(to zerolog.Logger) {
	event := to.WithLevel(n.level)
	in := json.NewDecoder(bytes.NewReader(n.text))
	if _, err := in.Token(); err != nil {
		event.Msg(string(n.text))
		return
	}
	var message string
	for in.More() {
		var value json.RawMessage
		key, err := in.Token()
		if err != nil || in.Decode(&value) != nil {
			break
		}
		switch name, _ := key.(string); name {
		case zerolog.LevelFieldName:
		case zerolog.MessageFieldName:
			_ = json.Unmarshal(value, &message)
		default:
			event.RawJSON(name, value)
		}
	}
	event.Msg(message)
}

// Wait returns when everything is written.
func (l *Lines) Wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing {
		l.written.Wait()
	}
}
