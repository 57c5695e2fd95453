//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package journal

import (
	"errors"
	"os"
	"syscall"
)

// openLocked opens the file and locks it for as long as it is open, whichever way
// the process ends. The error is ErrLocked when another has it.
func openLocked(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// flock locks a file for as long as it is open; anybody can read it. The error is
// ErrLocked when another has it.
func flock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return ErrLocked
	}
	return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
}

// funlock gives up the lock of all copies of an open file. See flock(2).
func funlock(file *os.File) { _ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) }

// syncDir has the disk keep the names in a directory.
func syncDir(dir string, sync func(*os.File) error) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	return sync(file)
}
