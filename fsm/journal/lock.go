package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lockName is the file of a journal's directory that its writer holds. It stays
// when the writer goes: were it removed, two others could each lock a file of
// that name.
const lockName = "lock"

// WasOpened reports whether a writer has ever opened a journal in a directory. There need not be an event in it yet.
func WasOpened(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, lockName))
	return err == nil && info.Mode().IsRegular()
}

// lock takes the directory, and writes into the lock who has it, for the one
// that will be refused.
func lock(dir string, now time.Time) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	file, err := openLocked(path)
	if errors.Is(err, ErrLocked) {
		holder, _ := os.ReadFile(path)
		return nil, locked(dir, orSomebody(holder))
	}
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	holder := fmt.Sprintf("pid %d on %s since %s\n", os.Getpid(), host, now.UTC().Format(time.RFC3339))
	// A full disk must not keep the journal from being opened: the lock holds
	// without the text.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt([]byte(holder), 0)
	}
	return file, nil
}

// lockSegment keeps those out who come by a lock because its file was removed under
// the writer.
func lockSegment(file *os.File) error {
	err := flock(file)
	if errors.Is(err, ErrLocked) {
		return locked(filepath.Dir(file.Name()), "another process, whose lock file was removed")
	}
	return err
}

func locked(dir, holder string) error {
	return fmt.Errorf("%w: %s is written by %s; the lock ends with its holder, and the file of it need not be removed",
		ErrLocked, dir, holder)
}

func unlock(file *os.File) {
	_ = file.Truncate(0) // the holder is gone
	_ = leave(file)
}

// leave gives up the lock on a file, and closes it. Closing alone is not enough. While this process starts another one,
// the new one has a copy of the open file, and with it the lock, until it executes its program.
func leave(file *os.File) error {
	funlock(file)
	return file.Close()
}

func orSomebody(holder []byte) string {
	if text := strings.TrimSpace(string(holder)); text != "" {
		return text
	}
	return "another process"
}
