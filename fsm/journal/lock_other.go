//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package journal

import (
	"errors"
	"os"
)

// openLocked refuses: without a lock, two writers could ruin a journal.
func openLocked(path string) (*os.File, error) {
	return nil, &os.PathError{Op: "lock", Path: path, Err: errors.ErrUnsupported}
}

func flock(*os.File) error { return nil }

func funlock(*os.File) {}

func syncDir(string, func(*os.File) error) error { return nil }
