package publish

import (
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer/internal/report"
	"github.com/everhop/everhop/fsm"
)

// projections are the observers that every publisher has.
func projections(c Config) []func(fsm.Event) {
	list := []func(fsm.Event){report.LogLines(c.Logger, new(levels).of)}
	if files, ok := c.Journal.(fsm.Syncer); ok { // somebody will ask why publishing ended
		list = append(list, report.SyncJournal(files.Sync, c.Logger, Blocked, Reviving, Disconnected))
	}
	return list
}

// levels are those of the log lines of events, by meaning: what is routine is debug, a loss is a warning, giving up is
// an error.
type levels struct {
	failed report.Attempts
	number int // of failed attempts since the last loss
}

func (l *levels) of(e fsm.Event) zerolog.Level {
	switch {
	case e.Kind == fsm.KindRejected, e.Name == NoteRefused, e.Name == NoteUnconfirmed, e.Name == NoteStalled:
		return zerolog.WarnLevel
	case e.Kind != fsm.KindTransition:
		return zerolog.InfoLevel
	}
	switch e.Trigger {
	case ConnectionError, ChannelError, HeartbeatFailed, ConnectionBlocked, ProcessRestarted:
		l.number = 0
		return zerolog.WarnLevel
	case ReviveFailed:
		l.number++
		return l.failed.Level(l.number, e.MonoNS)
	case FatalError, RetriesExhausted:
		return zerolog.ErrorLevel
	}
	return zerolog.InfoLevel
}
