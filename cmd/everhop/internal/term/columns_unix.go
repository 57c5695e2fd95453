//go:build unix

package term

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// columns is how wide a terminal is, 0 if it does not say.
func columns(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
