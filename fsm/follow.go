package fsm

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"
)

// pollEvery is how often Follow looks for news.
const pollEvery = 250 * time.Millisecond

// Follow is [Records] that waits for more at the end, and goes over to new
// segments; news are seen within 250 milliseconds. It ends without an error when
// ctx does. A torn end is waited for. When the file it reads was replaced, as a
// writer does whose segment was removed, it goes on with the begin of the new one.
func Follow(ctx context.Context, path string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f := follower{reader: newReader(false), path: path}
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
	path string
	file *os.File // nil before the first
}

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
		if err := f.drain(newer == "", yield); err != nil {
			return false, err
		}
		if newer == "" {
			return f.reopen()
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

// drain yields what the file has. A torn end of the last file will be read again.
func (f *follower) drain(last bool, yield func(Record, error) bool) error {
	err := f.readLines(last, yield)
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || !corrupt.Torn {
		return err
	}
	if _, err := f.file.Seek(f.offset, io.SeekStart); err != nil {
		return err
	}
	f.again(f.file)
	return nil
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
	f.file = file
	f.open(file, path)
	return true, nil
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
	}
}
