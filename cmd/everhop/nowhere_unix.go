//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// unusable is what is wrong with w from the beginning. If it was closed, as by `everhop consume >&-`, Go has opened
// /dev/null in its place, for reading and writing. Who redirects to /dev/null opens it for writing.
func unusable(w io.Writer) error {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	switch {
	case err != nil:
		return nil
	case flags&unix.O_ACCMODE == unix.O_RDONLY:
		return errReadOnly
	case flags&unix.O_ACCMODE == unix.O_WRONLY:
		return nil
	}
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return nil
	}
	if info, err := file.Stat(); err == nil && os.SameFile(info, null) {
		return errNowhere
	}
	return nil
}
