package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// tail reads a file that grows. It ends with ctx.
type tail struct {
	ctx  context.Context
	file *os.File
}

func (t *tail) Read(p []byte) (int, error) {
	const pause = 100 * time.Millisecond
	for {
		if t.ctx.Err() != nil {
			return 0, io.EOF
		}
		n, err := t.file.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		select {
		case <-time.After(pause):
		case <-t.ctx.Done():
		}
	}
}
