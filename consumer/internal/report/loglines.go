package report

import (
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// LogLines returns an observer that makes of each event a log line with the journal's field names, at the level that
// the event is worth. That is called for every event, in their order; zerolog.Disabled leaves one out.
func LogLines(logger zerolog.Logger, level func(fsm.Event) zerolog.Level) func(fsm.Event) {
	return func(e fsm.Event) {
		if line := logger.WithLevel(level(e)); line != nil {
			write(line, e)
		}
	}
}

func write(line *zerolog.Event, e fsm.Event) {
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
