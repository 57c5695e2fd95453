package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// observers runs each observer on a goroutine of its own, fed from the machine's events.
type observers struct {
	list  []func(fsm.Event)
	feeds []*fsm.Feed
	group sync.WaitGroup
}

// observe attaches the observers, so that they miss nothing from here on.
func observe(m *fsm.Machine, list []func(fsm.Event)) *observers {
	o := &observers{list: list}
	for range list {
		o.feeds = append(o.feeds, m.Feed(0))
	}
	return o
}

func (o *observers) start() {
	for i, see := range o.list {
		o.group.Go(func() {
			for event := range o.feeds[i].All(context.Background()) {
				protect(see, event)
			}
		})
	}
}

// protect keeps a panicking observer from taking the process along.
func protect(see func(fsm.Event), event fsm.Event) {
	defer func() { _ = recover() }()
	see(event)
}

// finish waits until the observers have seen the last event, but not for ever: one that blocks must
// not keep Run from returning.
func (o *observers) finish() {
	done := make(chan struct{})
	go func() {
		o.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// logEvents is the projection of the events onto log lines: one per event, with the journal's field
// names.
func logEvents(logger zerolog.Logger) func(fsm.Event) {
	return func(e fsm.Event) {
		line := logger.WithLevel(level(e))
		if line == nil {
			return
		}
		line.Int(fsm.FieldVersion, e.V).
			Str(fsm.FieldKind, string(e.Kind)).
			Uint64(fsm.FieldSeq, e.Seq).
			Str(fsm.FieldRun, e.Run).
			Str(fsm.FieldMachine, e.Machine).
			Str(fsm.FieldFrom, string(e.From)).
			Str(fsm.FieldTo, string(e.To)).
			Int64(fsm.FieldInStateMS, e.InStateMS).
			Int64(fsm.FieldMonoNS, e.MonoNS)
		text := func(field, value string) {
			if value != "" {
				line.Str(field, value)
			}
		}
		number := func(field string, value int64) {
			if value != 0 {
				line.Int64(field, value)
			}
		}
		text(fsm.FieldTrigger, string(e.Trigger))
		number(fsm.FieldGeneration, int64(e.Generation))
		number(fsm.FieldAttempt, int64(e.Attempt))
		number(fsm.FieldBackoffMS, e.BackoffMS)
		text(fsm.FieldEndpoint, e.Endpoint)
		text(fsm.FieldQueue, e.Queue)
		text(fsm.FieldScope, e.Scope)
		text(fsm.FieldClass, e.Class)
		number(fsm.FieldCode, int64(e.Code))
		text(fsm.FieldError, e.Error)
		text(fsm.FieldNote, e.Note)
		line.Msg(message(e))
	}
}

func message(e fsm.Event) string {
	switch {
	case e.Kind == fsm.KindTransition:
		return string(e.From) + " -> " + string(e.To) + ": " + string(e.Trigger)
	case e.Note != "":
		return e.Note
	}
	return string(e.Kind)
}

// level by meaning: what is routine is debug, a loss is a warning, giving up is an error. Of the failed
// attempts of one outage the 1st, 2nd, 4th, 8th, ... are warnings, so that a long night does not
// drown the log.
func level(e fsm.Event) zerolog.Level {
	if e.Kind != fsm.KindTransition {
		if e.Kind == fsm.KindRejected {
			return zerolog.WarnLevel
		}
		return zerolog.InfoLevel
	}
	switch e.Trigger {
	case DrainTimeout, HeartbeatOK:
		return zerolog.DebugLevel
	case ConnectionError, ChannelError, HeartbeatFailed, ProcessRestarted:
		return zerolog.WarnLevel
	case ReviveFailed:
		if e.Attempt&(e.Attempt-1) == 0 {
			return zerolog.WarnLevel
		}
		return zerolog.DebugLevel
	case FatalError, RetriesExhausted:
		return zerolog.ErrorLevel
	}
	return zerolog.InfoLevel
}
