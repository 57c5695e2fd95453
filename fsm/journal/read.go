package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/everhop/everhop/fsm"
)

// Record is an event of a journal and where it stands.
type Record struct {
	Event fsm.Event `json:"event"`
	// File is the path.
	File string `json:"file"`
	// Line is counted from 1, Offset in bytes from 0; both are the line's start.
	Line   int   `json:"line"`
	Offset int64 `json:"offset"`
}

// Records reads a journal: the segments of a directory, or one file. It holds one
// line at a time, and checks the checksums and that no segment is missing between
// two others; whether the events make sense is [fsm.Replay]'s business.
// Members that are not an event's own are its details, kinds that are not known are
// yielded as they are.
//
// The first error is the last thing yielded: a [*CorruptError], an
// [ErrNewerSchema], an [ErrRemoved], or one of the file system. A journal may be read
// while it is written; its end may then look torn.
func Records(path string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		paths, err := files(path)
		if err != nil {
			yield(Record{}, err)
			return
		}
		r := newReader()
		for i, path := range paths {
			err := r.readFile(path, i == len(paths)-1, yield)
			if errors.Is(err, fs.ErrNotExist) && !r.chain.known {
				continue // retention was quicker, and nothing is missed within
			}
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				yield(Record{}, r.explain(path, err))
				return
			}
		}
	}
}

// Read returns the events of [Records].
func Read(path string) iter.Seq2[fsm.Event, error] {
	return func(yield func(fsm.Event, error) bool) {
		for record, err := range Records(path) {
			if !yield(record.Event, err) {
				return
			}
		}
	}
}

// Until returns the events before the first error, and stores that in *err; so
// that a journal can be given to [fsm.Replay]:
//
//	var damage error
//	state, err := fsm.Replay(table, journal.Until(journal.Read(dir), &damage))
func Until(events iter.Seq2[fsm.Event, error], err *error) iter.Seq[fsm.Event] {
	return func(yield func(fsm.Event) bool) {
		for e, failed := range events {
			if failed != nil {
				*err = failed
				return
			}
			if !yield(e) {
				return
			}
		}
	}
}

// errStopped says that nobody wants more records.
var errStopped = errors.New("stopped")

// reader reads one file after the other.
type reader struct {
	*lines
	name    string
	chain   chain
	decoder Decoder
	seq     uint64 // of the newest record
}

func newReader() *reader { return &reader{lines: newLines()} }

// open goes on with another file.
func (r *reader) open(in io.Reader, name string) {
	r.reset(in)
	r.name = name
	r.chain.begins = true
}

func (r *reader) readFile(path string, last bool, yield func(Record, error) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	r.open(file, path)
	return r.readLines(last, yield)
}

// readLines yields what is left in the file. Only the last file may be torn.
func (r *reader) readLines(last bool, yield func(Record, error) bool) error {
	for {
		record, err := r.record()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTorn):
			torn := r.corrupt(err.Error())
			torn.Torn = last
			return torn
		case err != nil:
			return err
		case !yield(record, nil):
			return errStopped
		}
	}
}

// record returns the next record.
func (r *reader) record() (Record, error) {
	line, err := r.read()
	switch {
	case errors.Is(err, errLong):
		return Record{}, r.corrupt(err.Error())
	case err != nil:
		return Record{}, err
	}
	if reason := r.chain.check(line); reason != "" {
		return Record{}, r.corrupt(reason)
	}
	e, err := r.decoder.event(line)
	switch {
	case errors.Is(err, ErrNewerSchema):
		return Record{}, fmt.Errorf("%w (%s:%d)", err, r.name, r.line)
	case err == nil && e.Kind == "":
		return Record{}, r.corrupt("the kind is missing")
	case err != nil:
		return Record{}, r.corrupt(err.Error())
	}
	r.seq = e.Seq
	return Record{Event: e, File: r.name, Line: r.line, Offset: r.offset}, nil
}

// explain tells from damage what retention has done: it removes the oldest segments
// first, so that nothing is left before path when it has removed what is missing there.
func (r *reader) explain(path string, err error) error {
	var corrupt *CorruptError
	gap := errors.As(err, &corrupt) && corrupt.Line == 1 && corrupt.Reason == reasonMissing
	if !gap && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	left, failed := segments(filepath.Dir(path))
	if failed != nil || len(left) == 0 || left[0] < path {
		return err
	}
	return fmt.Errorf("%w: those between seq %d and %s; read again from the begin", ErrRemoved, r.seq, left[0])
}

func (r *reader) corrupt(reason string) *CorruptError {
	return &CorruptError{File: r.name, Line: r.line, Offset: r.offset, Seq: r.seq, Reason: reason}
}
