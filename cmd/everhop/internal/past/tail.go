package past

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// tail reads a file that grows, and goes on with the begin of the one that takes its place: a log is moved away,
// or cut, when it is rotated. It ends with ctx.
type tail struct {
	ctx    context.Context
	file   *os.File
	offset int64
}

func (t *tail) Read(p []byte) (int, error) {
	const pause = 100 * time.Millisecond
	for {
		if t.ctx.Err() != nil {
			return 0, io.EOF
		}
		n, err := t.file.Read(p)
		t.offset += int64(n)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		if t.rotated() {
			continue
		}
		select {
		case <-time.After(pause):
		case <-t.ctx.Done():
		}
	}
}

// rotated goes over to the begin of what is in the place of what was read.
func (t *tail) rotated() bool {
	there, err := os.Stat(t.file.Name())
	if err != nil {
		return false // not there yet
	}
	here, err := t.file.Stat()
	if err == nil && os.SameFile(here, there) {
		if there.Size() >= t.offset {
			return false
		}
		t.offset = 0
		_, err = t.file.Seek(0, io.SeekStart)
		return err == nil
	}
	next, err := os.Open(t.file.Name())
	if err != nil {
		return false
	}
	t.file.Close()
	t.file, t.offset = next, 0
	return true
}

// Close closes the file that is read now.
func (t *tail) Close() error { return t.file.Close() }
