package journal_test

import (
	"testing"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/fsmtest"
	"github.com/everhop/everhop/fsm/journal"
)

func TestJournalConforms(t *testing.T) {
	for name, o := range map[string]journal.Options{
		"as it comes": {},
		"sync each":   {Sync: journal.SyncEach, Strict: true},
		// A segment per event: whatever is kept goes over a rotation.
		"tiny segments": {SegmentBytes: 1, Sync: journal.SyncNever, RetainBytes: 1 << 20},
		"one segment":   {SegmentBytes: 1, Sync: journal.SyncNever, RetainBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			fsmtest.Durable(t, func(t *testing.T, dir string) fsm.Journal { return openJournal(t, dir, o) })
		})
	}
}
