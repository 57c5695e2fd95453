package journal

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"
)

// pollEvery is how often Follow looks for news.
const pollEvery = 250 * time.Millisecond

// Follow is [Records] that waits for more at the end, and goes over to new segments; what is new is
// seen within 250 milliseconds. It ends without an error when ctx does. A torn end is waited for.
// When the file it reads was replaced, as a writer does whose segment or directory was removed, it
// goes on with the start of the new one. What a writer has cut off again, because a write or its
// sync has failed, may have been yielded before; what stands there instead comes next. Damage is
// told when it is still there at the next look.
func Follow(ctx context.Context, path string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f := follower{reader: newReader(), path: path}
		defer func() { f.close() }()
		wanted := func(r Record, err error) bool { return ctx.Err() == nil && yield(r, err) }
		for ctx.Err() == nil {
			more, err := f.advance(wanted)
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				wanted(Record{}, f.explain(err))
				return
			}
			if more {
				continue
			}
			select {
			case <-time.After(pollEvery):
			case <-ctx.Done():
			}
		}
	}
}

// follower is a reader that stays at the end of a journal.
type follower struct {
	*reader
	path  string
	file  *os.File // nil before the first
	marks []mark   // the newest last, at most maxMarks
	doubt *CorruptError
}

// mark is where a record ends, or a file begins.
type mark struct {
	line   int
	offset int64
	chain  chain
	seq    uint64
}

// maxMarks is one more than a writer writes at once, and so takes back at once: a
// snapshot, a gap and an event.
const maxMarks = 4

// advance reads to the end of the file, then goes over to the next if there is
// one. It returns false when there is nothing more to read now.
func (f *follower) advance(yield func(Record, error) bool) (more bool, err error) {
	// Looked up before reading: a writer does not come back to a segment, so
	// that behind the end of this one nothing can follow when there is a newer.
	newer, err := f.newer()
	if err != nil {
		return false, err
	}
	if f.file != nil {
		if atEnd, err := f.yieldRest(newer == "", yield); err != nil || !atEnd {
			return false, err
		}
		if replaced, err := f.reopen(); replaced || err != nil {
			return replaced, err
		}
	}
	if newer == "" {
		return false, nil
	}
	return f.enter(newer)
}

// newer returns the oldest file behind the current one, "" when there is none.
func (f *follower) newer() (string, error) {
	paths, err := files(f.path)
	if f.file != nil && errors.Is(err, fs.ErrNotExist) {
		return "", nil // a writer makes the directory again for its next event
	}
	if err != nil {
		return "", err
	}
	for _, path := range paths {
		if f.file == nil || path > f.file.Name() {
			return path, nil
		}
	}
	return "", nil
}

// yieldRest yields what the file has. It returns false when it has gone back to look
// again later: to before what was taken back, or for what may not be damage, since
// the file was cut and written while it was read.
func (f *follower) yieldRest(last bool, yield func(Record, error) bool) (atEnd bool, err error) {
	err = f.readLines(last, func(r Record, err error) bool {
		f.mark()
		return yield(r, err)
	})
	var corrupt *CorruptError
	if err != nil && !errors.As(err, &corrupt) {
		return false, err
	}
	if i := f.standing(); i >= 0 && i < len(f.marks)-1 {
		f.marks = f.marks[:i+1]
		return false, f.back()
	}
	switch {
	case err == nil:
		return true, nil
	case corrupt.Torn:
		return true, f.back()
	case f.doubt != nil && *f.doubt == *corrupt:
		return false, err
	}
	f.doubt = corrupt
	return false, f.back()
}

// mark remembers where the reader is.
func (f *follower) mark() {
	if len(f.marks) == maxMarks {
		f.marks = slices.Delete(f.marks, 0, 1)
	}
	f.marks = append(f.marks, mark{f.line, f.next, f.chain, f.seq})
}

// standing returns the newest mark before which nothing was replaced, -1 when none is left.
func (f *follower) standing() int {
	for i := len(f.marks) - 1; i >= 0; i-- {
		if f.stands(f.marks[i]) {
			return i
		}
	}
	return -1
}

// stands reports whether what was read before m is still there: the checksum of the
// record that ends there is one of all before it, too.
func (f *follower) stands(m mark) bool {
	if m.offset == 0 {
		return true
	}
	end := make([]byte, sealLen+1)
	if _, err := f.file.ReadAt(end, m.offset-int64(len(end))); err != nil || end[sealLen] != '\n' {
		return false
	}
	_, sum, ok := unseal(end[:sealLen])
	return ok && sum == m.chain.sum
}

// back goes back to the newest mark.
func (f *follower) back() error {
	m := f.marks[len(f.marks)-1]
	f.chain, f.seq = m.chain, m.seq
	f.again(f.file, m.line, m.offset)
	_, err := f.file.Seek(m.offset, io.SeekStart)
	return err
}

// explain tells from damage what retention has done.
func (f *follower) explain(err error) error {
	if f.file == nil {
		return err
	}
	return f.reader.explain(f.file.Name(), err)
}

// reopen goes over to the file that has taken the place of the current one.
func (f *follower) reopen() (replaced bool, err error) {
	now, err := os.Stat(f.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	was, err := f.file.Stat()
	if err != nil || os.SameFile(now, was) {
		return false, err
	}
	f.chain.known = false
	return f.enter(f.file.Name())
}

func (f *follower) enter(path string) (bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // retention was quicker; the next look will tell
	}
	if err != nil {
		return false, err
	}
	f.close()
	f.file, f.marks = file, f.marks[:0]
	f.open(file, path)
	f.mark()
	return true, nil
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
	}
}
