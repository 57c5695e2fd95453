package consumer

import (
	"slices"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/report"
	"github.com/everhop/everhop/fsm"
)

// projections are the observers that every consumer has.
func projections(c Config) []func(fsm.Event) {
	list := []func(fsm.Event){report.LogLines(c.Logger, new(levels).of)}
	if files, ok := c.Journal.(fsm.Syncer); ok { // somebody will ask why consuming ended, or the consumer did
		list = append(list, report.SyncJournal(files.Sync, c.Logger, Reviving, Disconnected))
	}
	return list
}

// quiet are the notes that are worth a debug line: routine, or told of by a line of their own.
var quiet = []string{
	NotePrefetchRaised, NotePrefetchHeld, NoteOutcomes, NoteParked, NoteDeadLettered, NotePermanent, NoteTimedOut, NotePanicked,
}

// levels are those of the log lines of events, by meaning: what is routine is debug, a loss is a warning, giving up is
// an error.
type levels struct{ failed report.Attempts }

func (l *levels) of(e fsm.Event) zerolog.Level {
	why := EvidenceOf(e)
	switch {
	case e.Kind == fsm.KindRejected, e.Name == NoteStalled, e.Kind == fsm.KindNote && why.Class != "":
		return zerolog.WarnLevel
	case e.Name == NoteBreakerOpen && e.Error != "":
		return zerolog.ErrorLevel
	case slices.Contains(quiet, e.Name):
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
		return l.failed.Level(why.Attempt, e.MonoNS)
	case FatalError, RetriesExhausted:
		return zerolog.ErrorLevel
	}
	return zerolog.InfoLevel
}
