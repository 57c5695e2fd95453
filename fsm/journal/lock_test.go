//go:build unix

package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// Somebody takes the lock for left over and removes its file: a second writer is
// refused all the same, and the first goes on, also with a new segment.
func TestLockFileRemoved(t *testing.T) {
	for name, o := range map[string]journal.Options{"begun": {}, "continued": {}, "always a new one": {SegmentBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name == "continued" {
				dir = journalOf(t, 5, 0)
			}
			j := openJournal(t, dir, o)
			m := newMachine(t, doorTable(t), fsm.Options{Run: "first", Journal: j})
			if name != "continued" {
				fire(t, m, "Knock")
			}
			for range 2 {
				if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
					t.Fatal(err)
				}
				_, err := journal.Open(dir, journal.Options{})
				if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), dir+" is written by another") {
					t.Fatalf("a second writer: %v", err)
				}
				if _, err := m.Record(fsm.KindNote, "remark", fsm.Evidence{}); err != nil {
					t.Fatal(err)
				}
				readAll(t, dir) // nobody is kept from that
			}
			if err := j.Close(); err != nil || j.Missing() > 0 {
				t.Errorf("Close: %v, %d missing", err, j.Missing())
			}
			next := openJournal(t, dir, journal.Options{})
			if last, _ := next.Last(); last != m.Last() {
				t.Errorf("the next goes on after %+v", last)
			}
		})
	}
}
