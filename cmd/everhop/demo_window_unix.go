//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// windowSize is that of the terminal behind w; 0, 0 if it is not known.
func windowSize(w io.Writer) (columns, rows int) {
	file, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}
