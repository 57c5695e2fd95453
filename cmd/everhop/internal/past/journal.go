package past

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// isJournal tells a journal from a log. A stream is a log, as what is read of it to find out is gone.
func (s Source) isJournal() (bool, error) {
	if s.Path == "-" {
		return false, nil
	}
	info, err := os.Stat(s.Path)
	switch {
	case err != nil:
		return false, err
	case info.IsDir(), journal.IsSegment(s.Path):
		return true, nil
	case !info.Mode().IsRegular():
		return false, nil
	}
	file, err := os.Open(s.Path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadSlice('\n') // reading it as a log will say what is wrong
	return bytes.HasPrefix(line, []byte(`{"v":`)) && bytes.Contains(line, []byte(`,"crc":"`)), nil
}

// expectJournal returns an error if path is a directory without a journal, or is not there.
func expectJournal(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return journal.IsSegment(e.Name()) }) {
		return err
	}
	return &SourceError{path, noEventsError("no journal in this directory")}
}

// readJournal passes over a torn end: it may be on its way.
func (s Source) readJournal(ctx context.Context, follow bool, yield func(fsm.Event) bool) error {
	if err := expectJournal(s.Path); err != nil && !(follow && journal.WasOpened(s.Path)) {
		return err
	}
	records := journal.Records(s.Path)
	if follow {
		records = journal.Follow(ctx, s.Path)
	}
	found := false
	for record, err := range records {
		var corrupt *journal.CorruptError
		switch {
		case !follow && ctx.Err() != nil:
			return ErrInterrupted
		case errors.As(err, &corrupt) && corrupt.Torn:
			continue // the last there is
		case corrupt != nil:
			return &DamagedError{err}
		case err != nil:
			return err
		}
		found = true
		if !yield(record.Event) {
			return nil
		}
	}
	if !found && !follow {
		return &SourceError{s.Path, noEventsError("empty")}
	}
	return nil
}
