package fsm_test

import (
	"testing"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/fsmtest"
)

func TestRingConforms(t *testing.T) {
	fsmtest.Journal(t, func(*testing.T) fsm.Journal { return fsm.NewRing(100) })
}

func TestFileJournalConforms(t *testing.T) {
	for name, o := range map[string]fsm.JournalOptions{
		"as it comes": {},
		"sync each":   {Sync: fsm.SyncEach, Strict: true},
		// A segment per event: whatever is kept goes over a rotation.
		"tiny segments": {SegmentBytes: 1, Sync: fsm.SyncNever, RetainBytes: 1 << 20},
		"one segment":   {SegmentBytes: 1, Sync: fsm.SyncNever, RetainBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			fsmtest.Durable(t, func(t *testing.T, dir string) fsm.Journal { return openJournal(t, dir, o) })
		})
	}
}
