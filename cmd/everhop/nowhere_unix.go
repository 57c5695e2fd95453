//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// leadsNowhere tells whether w was closed when everhop was started, as by `everhop consume >&-`: Go then has opened
// /dev/null in its place, for reading and writing. Who redirects to /dev/null opens it for writing.
func leadsNowhere(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDWR {
		return false
	}
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := file.Stat()
	return err == nil && os.SameFile(info, null)
}
