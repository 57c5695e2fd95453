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
	logger zerolog.Logger
	list   []func(fsm.Event)
	feeds  []*fsm.Feed
	group  sync.WaitGroup
}

// observe attaches the observers, so that they miss nothing from here on.
func observe(m *fsm.Machine, logger zerolog.Logger, list []func(fsm.Event)) *observers {
	o := &observers{logger: logger, list: list}
	for range list {
		o.feeds = append(o.feeds, m.Feed(0))
	}
	return o
}

func (o *observers) start() {
	for i, see := range o.list {
		o.group.Go(func() {
			for event := range o.feeds[i].All(context.Background()) {
				o.show(see, event)
			}
		})
	}
}

// show keeps a panicking observer from taking the process along.
func (o *observers) show(see func(fsm.Event), event fsm.Event) {
	defer func() {
		if r := recover(); r != nil {
			o.logger.Error().Uint64(fsm.FieldSeq, event.Seq).Msgf("an observer panicked: %v", r)
		}
	}()
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
//
// The level is by meaning: what is routine is debug, a loss is a warning, giving up is an error. Of the
// failed attempts of one outage the 1st, 2nd, 4th, 8th, ... are warnings, and at least one a minute, so
// that a long night neither drowns the log nor leaves it silent.
func logEvents(logger zerolog.Logger) func(fsm.Event) {
	var warned int64 // MonoNS of the last failed attempt that was
	return func(e fsm.Event) {
		level := level(e)
		if e.Trigger == ReviveFailed {
			if level == zerolog.DebugLevel && e.MonoNS-warned >= int64(time.Minute) {
				level = zerolog.WarnLevel
			}
			if level == zerolog.WarnLevel {
				warned = e.MonoNS
			}
		}
		line := logger.WithLevel(level)
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
		text(fsm.FieldTable, e.Table)
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

func level(e fsm.Event) zerolog.Level {
	switch {
	case e.Kind == fsm.KindRejected, e.Kind == fsm.KindNote && e.Class != "":
		return zerolog.WarnLevel
	case e.Kind != fsm.KindTransition:
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
