package consumer

import (
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// projections are the observers that every consumer has.
func projections(c Config) []func(fsm.Event) {
	list := []func(fsm.Event){(&logLines{logger: c.Logger}).Apply}
	if files, ok := c.Journal.(fsm.Syncer); ok {
		list = append(list, syncJournal(files.Sync, c.Logger))
	}
	return list
}

// syncJournal has a journal in files outlast a power failure, whatever its own policy is, when something
// happened that somebody will ask about: consuming ended, or the consumer did. It does so beside the
// consumer, which the disk must not keep from reviving.
func syncJournal(sync func() error, logger zerolog.Logger) func(fsm.Event) {
	return func(e fsm.Event) {
		if e.From == e.To || e.To != Reviving && e.To != Disconnected {
			return
		}
		if err := sync(); err != nil {
			logger.Error().Err(err).Uint64(fsm.FieldSeq, e.Seq).Msg("the journal could not be synced")
		}
	}
}
