package main

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// logFlags are --log-level and --log-format.
type logFlags struct{ level, format string }

func (f *logFlags) add(cmd *cobra.Command) {
	f.level = cmp.Or(f.level, zerolog.LevelInfoValue)
	choose(cmd, &f.level, "log-level", "least level to log to standard error", "debug", "info", "warn", "error")
	choose(cmd, &f.format, "log-format", "how to log (default console on a terminal, json otherwise)", "json", "console")
}

// logger writes one line for each event to w.
func (f logFlags) logger(w io.Writer) zerolog.Logger {
	if out := term.To(w); f.format == "console" || f.format == "" && out.IsTerminal() {
		w = console(out)
	}
	level, _ := zerolog.ParseLevel(f.level) // the flag accepts levels only
	return zerolog.New(w).Level(level).Hook(zerolog.HookFunc(stamp))
}

// stamp adds the time that JSON lines have in the journal too; package zerolog's own is configured for
// the whole process.
func stamp(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(fsm.FieldTime, time.Now().UTC().Format(time.RFC3339Nano))
}

// console is for eyes: the local time, and of the fields those that the message does not say already.
func console(out *term.Output) io.Writer {
	return zerolog.ConsoleWriter{
		Out:        out.Coloured(),
		NoColor:    !out.IsTerminal(), // NO_COLOR is honoured besides
		TimeFormat: "15:04:05.000",
		// The error is first because ConsoleWriter moves it there anyway, but from any other place
		// only when a binary search in this order, which is not sorted, happens to find it.
		FieldsOrder: []string{
			fsm.FieldError, consumer.FieldQueue, consumer.FieldEndpoint, consumer.FieldClass, consumer.FieldAttempt, consumer.FieldBackoffMS,
			consumer.FieldGeneration, fsm.FieldInStateMS, "delivery_tag", "message_id", fsm.FieldNote,
		},
		FieldsExclude: []string{
			fsm.FieldVersion, fsm.FieldKind, fsm.FieldTable, fsm.FieldRun, fsm.FieldMachine, fsm.FieldSeq, fsm.FieldMonoNS,
			fsm.FieldFrom, fsm.FieldTo, fsm.FieldTrigger, consumer.FieldScope, consumer.FieldCode,
			// The note or the error says these, in words.
			fsm.FieldName, consumer.FieldPrefetch, consumer.FieldConcurrency, consumer.FieldReturnedUnstarted,
			consumer.FieldUnfinished, consumer.FieldSilenceMS, consumer.FieldStalledMS,
		},
		FormatPrepare: forEyes,
	}
}

// forEyes drops what tells nothing, and cleans the message; ConsoleWriter cleans the fields, but not that.
func forEyes(fields map[string]any) error {
	if fields[fsm.FieldNote] == fields[zerolog.MessageFieldName] {
		delete(fields, fsm.FieldNote)
	}
	if fields[fsm.FieldInStateMS] == json.Number("0") {
		delete(fields, fsm.FieldInStateMS)
	}
	if message, ok := fields[zerolog.MessageFieldName].(string); ok {
		fields[zerolog.MessageFieldName] = term.Clean(message)
	}
	maps.DeleteFunc(fields, func(_ string, value any) bool { return value == "" })
	return nil
}
