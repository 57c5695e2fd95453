package consumer

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/rs/zerolog"
)

// lines are log lines that wait for the caller's Logger. Its writer is the caller's: it may hang, panic, or call the
// consumer, and none of those who log may wait for that: workers, the supervisor, whoever publishes. So one goroutine
// writes, as long as there is anything to write.
type lines struct {
	to     zerolog.Logger
	inside *inside

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

func newLines(to zerolog.Logger, inside *inside) *lines {
	l := &lines{to: to, inside: inside}
	l.written.L = &l.mu
	return l
}

// logger returns one that never waits.
func (l *lines) logger() zerolog.Logger {
	if !l.to.Error().Enabled() { // the highest level that we have
		return zerolog.Nop()
	}
	return zerolog.New(l).Level(l.to.GetLevel())
}

// Write is for a line without a level, which we have none of.
func (l *lines) Write(text []byte) (int, error) { return l.WriteLevel(zerolog.NoLevel, text) }

// WriteLevel takes a line.
func (l *lines) WriteLevel(level zerolog.Level, text []byte) (int, error) {
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
func (l *lines) run() {
	defer l.inside.enter()()
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

func (l *lines) next() (next line, leftOut int, ok bool) {
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
func (l *lines) pass(write func()) {
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

// wait returns when everything is written.
func (l *lines) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing {
		l.written.Wait()
	}
}
