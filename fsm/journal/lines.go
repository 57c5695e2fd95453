package journal

import (
	"bufio"
	"errors"
	"io"
)

// maxLine is the longest line that is read, in bytes.
const maxLine = 1 << 20

// errLong says that a line is longer than maxLine, errTorn that it has no end.
var (
	errLong = errors.New("the line is longer than 1 MiB")
	errTorn = errors.New("the line has no end")
)

// lines cuts a stream into lines, and knows where the last one begins. It holds
// one line at a time.
type lines struct {
	in     *bufio.Reader
	long   []byte // a line that did not fit into the reader
	line   int    // counted from 1; 0 before the first
	offset int64
	next   int64 // the offset behind the line
}

func newLines() *lines { return &lines{in: bufio.NewReaderSize(nil, 64<<10)} }

// reset goes to the start of another stream.
func (l *lines) reset(in io.Reader) {
	l.in.Reset(in)
	l.line, l.offset, l.next = 0, 0, 0
}

// read returns the next line without its end; it is valid until the next call.
// The error is io.EOF behind the last one, errTorn, errLong or that of the stream.
func (l *lines) read() ([]byte, error) {
	l.offset = l.next
	text, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		text, err = l.readLong(text)
	}
	l.next += int64(len(text))
	if len(text) > 0 || err != io.EOF { //nolint:errorlint // a bufio.Reader returns it as it is
		l.line++
	}
	switch {
	case err == nil:
		return text[:len(text)-1], nil
	case errors.Is(err, io.EOF) && len(text) > 0:
		return text, errTorn
	}
	return nil, err
}

// readLong reads on to the end of the line, wherever that is: a line without one is
// torn, however long it is.
func (l *lines) readLong(begin []byte) ([]byte, error) {
	l.long = append(l.long[:0], begin...)
	for {
		more, err := l.in.ReadSlice('\n')
		if len(l.long) > maxLine {
			l.next += int64(len(more)) // passed over
		} else {
			l.long = append(l.long, more...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil && len(l.long) > maxLine:
			return l.long, errLong
		default:
			return l.long, err
		}
	}
}

// again goes on from the given line and offset, where in is.
func (l *lines) again(in io.Reader, line int, offset int64) {
	l.in.Reset(in)
	l.line, l.next = line, offset
}
