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
	// File is the path, or the name that RecordsFrom was given.
	File string `json:"file"`
	// Line is counted from 1, Offset in bytes from 0; both are the line's begin.
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
		r := newReader(false)
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

// RecordsFrom reads a stream, such as the standard input, under the given name.
// It differs from [Records] in what it takes: a stream may begin anywhere, and it
// may be a log whose lines have the members of an event and no checksum. Lines
// that are no events are passed over, until the first record with a checksum.
func RecordsFrom(in io.Reader, name string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r := newReader(true)
		r.open(in, name)
		if err := r.readLines(true, yield); err != nil && !errors.Is(err, errStopped) {
			yield(Record{}, err)
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
	loose   bool // takes what RecordsFrom takes
	chain   chain
	decoder Decoder
	seq     uint64 // of the newest record
}

func newReader(loose bool) *reader {
	return &reader{lines: newLines(), loose: loose, chain: chain{loose: loose}}
}

// open goes on with another file.
func (r *reader) open(in io.Reader, name string) {
	r.reset(in)
	r.name = name
	r.chain.begins = !r.loose
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
		record, ok, err := r.record()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTorn):
			torn := r.corrupt(err.Error())
			torn.Torn = last
			return torn
		case err != nil:
			return err
		case ok && !yield(record, nil):
			return errStopped
		}
	}
}

// record returns the next record; false when the line is none and need not be.
func (r *reader) record() (Record, bool, error) {
	line, err := r.read()
	isLog := r.loose && !r.chain.known
	switch {
	case isLog && errors.Is(err, errLong):
		return Record{}, false, nil
	case isLog && errors.Is(err, errTorn): // many a log ends so
	case errors.Is(err, errLong):
		return Record{}, false, r.corrupt(err.Error())
	case err != nil:
		return Record{}, false, err
	}
	sealed, reason := r.chain.check(line)
	if reason != "" {
		return Record{}, false, r.corrupt(reason)
	}
	e, err := r.decoder.event(line)
	if errors.Is(err, ErrNewerSchema) && sealed {
		return Record{}, false, fmt.Errorf("%s:%d: %w", r.name, r.line, err)
	}
	if err == nil && e.Kind == "" {
		err = errors.New("the kind is missing")
	}
	if err != nil {
		if !sealed {
			return Record{}, false, nil // a line of a log about something else
		}
		return Record{}, false, r.corrupt(err.Error())
	}
	r.seq = e.Seq
	return Record{Event: e, File: r.name, Line: r.line, Offset: r.offset}, true, nil
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
