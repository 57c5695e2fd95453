package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// restore continues the newest segment that has a whole record in it.
func (j *Journal) restore() error {
	paths, err := segments(j.dir)
	if err != nil {
		return err
	}
	var torn int64
	for i := len(paths) - 1; i >= 0 && j.segment.file == nil; i-- {
		cut, err := j.load(paths[i])
		if err != nil {
			return err
		}
		torn += cut
	}
	j.tell(news{failure: j.retain()})
	if torn == 0 || j.last.Seq == 0 {
		return nil
	}
	text := fmt.Sprintf("a torn line of %d bytes was set aside in %s", torn, filepath.Base(j.torn))
	return j.Append(tornNote(j.last, text, j.o.Now()))
}

// load reads a segment to continue it, and cuts off a torn line, whose length it
// returns. A segment with nothing whole in it is removed: it was created, and then
// its writer died.
func (j *Journal) load(path string) (torn int64, err error) {
	s := segment{}
	s.file, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	if err := lockSegment(s.file); err != nil {
		s.file.Close()
		return 0, err
	}
	r := newReader()
	r.open(s.file, path)
	err = r.readLines(true, func(record Record, _ error) bool {
		if s.size == 0 {
			s.base, s.prev = record.Event, r.chain.prev
		} else {
			s.holds(&record.Event)
		}
		s.size, j.written = r.next, record.Event
		if record.Event.Table != "" {
			j.table = record.Event.Table
		}
		return true
	})
	var corrupt *CorruptError
	if errors.As(err, &corrupt) && corrupt.Torn {
		torn, err = j.tear(s.file, corrupt.Offset)
	}
	if err == nil {
		s.info, err = s.file.Stat()
	}
	if err != nil || s.size == 0 {
		_ = leave(s.file)
		if err == nil {
			err = os.Remove(path)
		}
		return torn, err
	}
	j.segment, j.sum, j.last = s, r.chain.sum, j.written
	j.pending = pending{data: true, name: true} // its writer may have died before it was
	return torn, nil
}

// tear copies what stands behind offset into a file beside, and cuts it off. The
// copy is on the disk before the original is gone.
func (j *Journal) tear(file *os.File, offset int64) (size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	tail := make([]byte, info.Size()-offset)
	if _, err := file.ReadAt(tail, offset); err != nil {
		return 0, err
	}
	j.torn = setAside(file.Name())
	aside, err := os.OpenFile(j.torn, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = j.disk.write(aside, tail)
	err = errors.Join(err, j.disk.sync(aside), aside.Close())
	if err == nil {
		err = syncDir(j.dir, j.disk.sync)
	}
	if err == nil {
		err = file.Truncate(offset)
	}
	if err != nil { // the line is still where it was, for the next time
		return 0, errors.Join(err, os.Remove(j.torn))
	}
	return int64(len(tail)), j.disk.sync(file)
}
