package journal

import (
	"errors"
	"os"
	"syscall"
)

// openLocked opens the file so that nobody else can open it for writing, for as
// long as it is open; reading who has it is shared. The error is ErrLocked when
// another has it.
func openLocked(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_READ,
		nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err == nil {
		return os.NewFile(uintptr(handle), path), nil
	}
	const sharingViolation = syscall.Errno(32)
	if errors.Is(err, sharingViolation) {
		return nil, ErrLocked
	}
	return nil, &os.PathError{Op: "lock", Path: path, Err: err}
}

// flock does nothing: on Windows, nobody can remove or rename the file of openLocked
// while it is open, and a lock on a segment would be in the way of its readers.
func flock(*os.File) error { return nil }

// funlock does nothing: the lock is the open file, of which no other process gets a copy.
func funlock(*os.File) {}

// syncDir does nothing: Windows keeps names with the files.
func syncDir(string, func(*os.File) error) error { return nil }
