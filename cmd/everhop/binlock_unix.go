//go:build unix && !solaris && !aix

package main

import (
	"errors"
	"os"
	"syscall"
)

// lockBin keeps other processes from discarding into the same file, for as long as it is open.
func lockBin(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("another everhop writes to it")
	}
	return err
}

// unlockBin gives up the lock of all copies of an open file.
func unlockBin(file *os.File) { _ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) }
