package consumer

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// logLines is the projection of the events onto log lines: one per event, with the journal's field names.
//
// The level is by meaning: what is routine is debug, a loss is a warning, giving up is an error. Of the
// failed attempts of one outage the 1st, 2nd, 4th, 8th, ... are warnings, and at least one a minute, so
// that a long night neither drowns the log nor leaves it silent.
type logLines struct {
	logger zerolog.Logger
	warned int64 // MonoNS of the last failed attempt that was a warning
}

var _ fsm.Projection = (*logLines)(nil)

// Apply logs an event.
func (l *logLines) Apply(e fsm.Event) {
	why := EvidenceOf(e)
	line := l.logger.WithLevel(l.level(e, why))
	if line == nil {
		return
	}
	line.Int(fsm.FieldVersion, e.V).
		Str(fsm.FieldKind, string(e.Kind))
	text := func(field, value string) {
		if value != "" {
			line.Str(field, value)
		}
	}
	text(fsm.FieldName, e.Name)
	line.Uint64(fsm.FieldSeq, e.Seq).
		Str(fsm.FieldRun, e.Run).
		Str(fsm.FieldMachine, e.Machine).
		Str(fsm.FieldFrom, string(e.From)).
		Str(fsm.FieldTo, string(e.To)).
		Int64(fsm.FieldInStateMS, e.InStateMS).
		Int64(fsm.FieldMonoNS, e.MonoNS)
	text(fsm.FieldTable, e.Table)
	text(fsm.FieldTrigger, string(e.Trigger))
	text(fsm.FieldVia, string(e.Via))
	text(fsm.FieldBack, string(e.Back))
	if e.Count > 0 {
		line.Uint64(fsm.FieldCount, e.Count)
	}
	for field, value := range e.Details.All() {
		line.RawJSON(field, []byte(value))
	}
	text(fsm.FieldError, e.Error)
	text(fsm.FieldNote, e.Note)
	line.Msg(message(e))
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

// level is that of its meaning; a failed attempt may have to show up for the sake of the others.
func (l *logLines) level(e fsm.Event, why Evidence) zerolog.Level {
	level := level(e, why)
	if e.Trigger != ReviveFailed {
		return level
	}
	if level == zerolog.DebugLevel && e.MonoNS-l.warned >= int64(time.Minute) {
		level = zerolog.WarnLevel
	}
	if level == zerolog.WarnLevel {
		l.warned = e.MonoNS
	}
	return level
}

func level(e fsm.Event, why Evidence) zerolog.Level {
	switch {
	case e.Kind == fsm.KindRejected, e.Name == NoteStalled, e.Kind == fsm.KindNote && why.Class != "":
		return zerolog.WarnLevel
	case e.Name == NoteBreakerOpen && e.Error != "":
		return zerolog.ErrorLevel
	case e.Name == NotePrefetchRaised, e.Name == NotePrefetchHeld:
		return zerolog.DebugLevel
	case e.Kind != fsm.KindTransition:
		return zerolog.InfoLevel
	}
	switch e.Trigger {
	case DrainTimeout, HeartbeatOK:
		return zerolog.DebugLevel
	case ConnectionError, ChannelError, HeartbeatFailed, ProcessRestarted:
		return zerolog.WarnLevel
	case ReviveFailed:
		if why.Attempt&(why.Attempt-1) == 0 {
			return zerolog.WarnLevel
		}
		return zerolog.DebugLevel
	case FatalError, RetriesExhausted:
		return zerolog.ErrorLevel
	}
	return zerolog.InfoLevel
}
