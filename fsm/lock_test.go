//go:build unix

package fsm_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/everhop/everhop/fsm"
)

// Somebody takes the lock for left over and removes its file: a second writer is
// refused all the same, and the first goes on, also with a new segment.
func TestLockFileRemoved(t *testing.T) {
	for name, o := range map[string]fsm.JournalOptions{"begun": {}, "continued": {}, "always a new one": {SegmentBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name == "continued" {
				dir = journalOf(t, 5, 0)
			}
			journal := openJournal(t, dir, o)
			m := newMachine(t, doorTable(t), fsm.Options{Run: "first", Journal: journal})
			if name != "continued" {
				fire(t, m, "Knock")
			}
			for range 2 {
				if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
					t.Fatal(err)
				}
				_, err := fsm.OpenJournal(dir, fsm.JournalOptions{})
				if !errors.Is(err, fsm.ErrLocked) || !strings.Contains(err.Error(), dir+" is written by another") {
					t.Fatalf("a second writer: %v", err)
				}
				if _, err := m.Record(fsm.KindNote, fsm.Evidence{}); err != nil {
					t.Fatal(err)
				}
				readAll(t, dir) // nobody is kept from that
			}
			if err := journal.Close(); err != nil || journal.Missing() > 0 {
				t.Errorf("Close: %v, %d missing", err, journal.Missing())
			}
			next := openJournal(t, dir, fsm.JournalOptions{})
			if last, _ := next.Last(); last != m.Last() {
				t.Errorf("the next goes on after %+v", last)
			}
		})
	}
}
