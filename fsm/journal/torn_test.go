package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/fsm/journal"
)

// A torn line on a full disk is set aside once there is room, and once only.
func TestTornOnAFullDisk(t *testing.T) {
	dir := journalOf(t, 3, 0)
	path := segmentsOf(t, dir)[0]
	truncateBy(t, path, 5)
	torn := must(os.ReadFile(path))
	for range 3 {
		_, err := journal.OpenBroken(dir, journal.Options{}, func(f *os.File, b []byte) (int, error) {
			n, err := f.Write(b[:7])
			return n, errors.Join(err, syscall.ENOSPC)
		}, (*os.File).Sync)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Open: %v", err)
		}
	}
	if aside := must(filepath.Glob(path + ".*")); aside != nil || string(must(os.ReadFile(path))) != string(torn) {
		t.Errorf("left behind: %v", aside)
	}
	j := openJournal(t, dir, journal.Options{})
	line := torn[strings.LastIndexByte(string(torn), '\n')+1:]
	if aside := must(filepath.Glob(path + ".*")); len(aside) != 1 || j.Torn() != aside[0] || string(must(os.ReadFile(aside[0]))) != string(line) {
		t.Errorf("set aside: %v", aside)
	}
	j.Close()
	replayed(t, dir, "Open")
}

// A power failure loses nothing of a torn line: its copy is on the disk before the
// original goes, and a copy that may not be there is none.
func TestTornIsKeptFirst(t *testing.T) {
	for name, failAt := range map[string]int{"the copy": 1, "its name": 2, "the original": 3, "nothing": 4} {
		t.Run(name+" cannot be synced", func(t *testing.T) {
			dir := journalOf(t, 3, 0)
			path := segmentsOf(t, dir)[0]
			truncateBy(t, path, 5)
			whole := must(os.Stat(path)).Size()
			var synced []string
			j, err := journal.OpenBroken(dir, journal.Options{Sync: journal.SyncNever}, (*os.File).Write, func(f *os.File) error {
				if synced = append(synced, filepath.Base(f.Name())); len(synced) <= 2 && must(os.Stat(path)).Size() != whole {
					t.Error("the line was cut off before the copy and its name were synced")
				}
				if len(synced) == failAt {
					return syscall.EIO
				}
				return f.Sync()
			})
			if err == nil {
				_ = j.Close()
			}
			base := filepath.Base(path)
			want := []string{base + ".torn", filepath.Base(dir), base}[:min(failAt, 3)]
			if !slices.Equal(synced[:min(len(synced), 3)], want) || errors.Is(err, syscall.EIO) != (failAt < 4) {
				t.Errorf("synced %v, %v", synced, err)
			}
			copies := must(filepath.Glob(path + ".*"))
			if isWhole := must(os.Stat(path)).Size() == whole; isWhole != (failAt < 3) || isWhole == (len(copies) == 1) {
				t.Errorf("the original is whole: %v; copies %v", isWhole, copies)
			}
		})
	}
}

// What was set aside stays so when the note of it cannot be written; the segment is
// closed.
func TestTornNoteIsVetoed(t *testing.T) {
	dir := journalOf(t, 3, 0)
	path := segmentsOf(t, dir)[0]
	truncateBy(t, path, 5)
	var segment *os.File
	_, err := journal.OpenBroken(dir, journal.Options{Strict: true}, func(f *os.File, b []byte) (int, error) {
		if f.Name() != path {
			return f.Write(b)
		}
		segment = f
		return 0, syscall.ENOSPC
	}, (*os.File).Sync)
	if !errors.Is(err, syscall.ENOSPC) || segment == nil {
		t.Fatalf("Open: %v", err)
	}
	if _, err := segment.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the segment is still open: %v", err)
	}
	j := openJournal(t, dir, journal.Options{Strict: true})
	if aside := must(filepath.Glob(path + ".*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	j.Close()
	replayed(t, dir, "Open")
}
