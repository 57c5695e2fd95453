package past

import (
	"context"
	"io"
	"os"
)

// isStream tells whether what is read is gone: of standard input, and of a pipe in place of a file, until they
// are spooled.
func (s Source) isStream() bool {
	switch {
	case s.spooled != nil:
		return false
	case s.Path == "-":
		return true
	}
	info, err := os.Stat(s.Path)
	return err == nil && !info.IsDir() && !info.Mode().IsRegular()
}

// spool reads a stream to its end, into a file that nobody else sees, so that it can be read twice. done removes
// it.
func (s Source) spool(ctx context.Context) (spooled Source, done func(), err error) {
	input, closeInput, err := s.open(ctx, false)
	if err != nil {
		return s, nil, err
	}
	defer closeInput()
	file, err := os.CreateTemp("", "everhop-replay-")
	if err != nil {
		return s, nil, err
	}
	_ = os.Remove(file.Name()) // now, so that nothing is left however this ends; Windows lets it only then
	done = func() {
		file.Close()
		_ = os.Remove(file.Name())
	}
	_, err = io.Copy(file, input)
	if ctx.Err() != nil {
		err = ErrInterrupted
	} else if err != nil {
		err = &SourceError{s.name(), err}
	}
	if err != nil {
		done()
		return s, nil, err
	}
	s.spooled = file
	return s, done, nil
}

// streamReader ends with ctx, as nothing can interrupt a Read: when ctx has ended, it is left behind in one.
type streamReader struct {
	ctx    context.Context
	input  io.Reader
	chunks chan chunk
	rest   []byte
}

type chunk struct {
	data []byte
	err  error
}

func (r *streamReader) Read(p []byte) (int, error) {
	if r.chunks == nil {
		r.chunks = make(chan chunk)
		go r.read()
	}
	if len(r.rest) == 0 {
		select {
		case c := <-r.chunks:
			if r.rest = c.data; len(c.data) == 0 {
				return 0, c.err
			}
		case <-r.ctx.Done():
			return 0, io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *streamReader) read() {
	for {
		buffer := make([]byte, 64<<10)
		n, err := r.input.Read(buffer)
		chunks := []chunk{{data: buffer[:n]}}
		if err != nil {
			chunks = append(chunks, chunk{err: err})
		}
		for _, c := range chunks {
			if len(c.data) == 0 && c.err == nil {
				continue
			}
			select {
			case r.chunks <- c:
			case <-r.ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}
