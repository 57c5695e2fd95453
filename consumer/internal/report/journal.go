package report

import (
	"slices"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// SyncJournal returns an observer that has a journal in files outlast a power failure, whatever its own policy is, when
// something happened that somebody will ask about: one of these states was entered from another one. It does so beside
// those who act, whom the disk must not keep from reviving. What fails is logged.
func SyncJournal(sync func() error, logger zerolog.Logger, entered ...fsm.State) func(fsm.Event) {
	return func(e fsm.Event) {
		if e.From == e.To || !slices.Contains(entered, e.To) {
			return
		}
		if err := sync(); err != nil {
			logger.Error().Err(err).Uint64(fsm.FieldSeq, e.Seq).Msg("the journal could not be synced")
		}
	}
}
