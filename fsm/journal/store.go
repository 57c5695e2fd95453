package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/everhop/everhop/fsm"
)

// segment is the file that a Journal writes. Its zero value is none: the next
// write begins one.
type segment struct {
	file   *os.File
	info   os.FileInfo // to know the file again by
	size   int64       // of the whole records; 0 before the snapshot
	dirty  bool        // a failed write may have left something behind size
	base   fsm.Event   // the snapshot, and the checksum it continues from
	prev   uint32
	first  uint64 // Seq of the first event
	events uint64
	gaps   uint64 // among them
}

// holds counts an event into the segment.
func (s *segment) holds(e *fsm.Event) {
	if s.events == 0 {
		s.first = e.Seq
	}
	s.events++
	if e.Kind == fsm.KindGap {
		s.gaps++
	}
}

// store writes e, if it is not nil, and before it what has to stand there: the
// snapshot of a new segment, the gap for what is missing. On an error nothing has
// been written, for all that a reader will ever see.
func (j *Journal) store(e *fsm.Event, n *news) error {
	if err := j.ready(e); err != nil {
		return err
	}
	b, sum, s := j.buffer[:0], j.sum, j.segment
	isNew := s.size == 0
	if isNew {
		b, sum = appendRecord(b, &s.base, sum)
	}
	written := j.written
	if j.lost.Count > 0 {
		written = j.lost.Event(fmt.Sprintf("%d events are missing: %v", j.lost.Count, j.cause))
		b, sum = appendRecord(b, &written, sum)
		s.holds(&written)
	}
	if e != nil {
		written = *e
		b, sum = appendRecord(b, e, sum)
		s.holds(e)
	}
	j.buffer = b
	if err := j.put(b); err != nil {
		return err
	}
	s.size += int64(len(b))
	j.segment, j.sum, j.written = s, sum, written
	n.recovered, j.lost, j.cause = j.lost.Count, fsm.Gap{}, nil
	if isNew { // not before it holds what the older ones are not needed for
		n.failure = errors.Join(n.failure, j.retain())
	}
	return nil
}

// put writes b whole, or leaves the file as it was.
func (j *Journal) put(b []byte) error {
	s := &j.segment
	_, err := j.disk.write(s.file, b)
	j.pending.data = true
	j.writes++
	if err == nil && j.o.Sync == SyncEach {
		err = j.flush(s.file, &j.pending)
	}
	if err != nil {
		s.dirty = true
		_ = j.mend() // or else before the next write
		return err
	}
	j.arm()
	return nil
}

// mend cuts off what a failed write has left.
func (j *Journal) mend() error {
	if err := j.segment.file.Truncate(j.segment.size); err != nil {
		return err
	}
	j.segment.dirty = false
	return nil
}

// ready sees to it that there is a file to write e into.
func (j *Journal) ready(e *fsm.Event) error {
	s := &j.segment
	if s.file != nil && s.events > 0 && s.size >= j.o.SegmentBytes {
		if err := j.retire(); err != nil {
			return err
		}
	}
	switch {
	case s.file != nil && s.dirty:
		return j.mend()
	case s.file != nil:
		return nil
	case j.lost.Count > 0:
		return j.begin(j.lost.First)
	}
	return j.begin(e.Seq)
}

// retire ends the segment. It is synced first: were the next one to reach the disk
// alone, a power failure would leave a hole in the middle.
func (j *Journal) retire() error {
	if j.segment.dirty {
		if err := j.mend(); err != nil {
			return err
		}
	}
	if err := j.flush(j.segment.file, &j.pending); err != nil {
		return err
	}
	err := leave(j.segment.file)
	j.segment = segment{}
	return err
}

// begin makes the segment whose first event has the given Seq.
func (j *Journal) begin(first uint64) error {
	path := filepath.Join(j.dir, segmentName(first))
	file, err := j.create(path)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		err = lockSegment(file)
	}
	if err != nil {
		file.Close()
		return err
	}
	base := snapshot(j.written)
	if j.table != "" {
		base.Table = j.table
	}
	j.segment = segment{file: file, info: info, base: base, prev: j.sum}
	j.pending.name = true
	return nil
}

// create makes a file, whatever was done to the directory meanwhile.
func (j *Journal) create(path string) (*os.File, error) {
	if err := j.relock(); err != nil {
		return nil, err
	}
	open := func() (*os.File, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	}
	file, err := open()
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	// Somebody replaced it or cut it short. What is left of it is not ours to lose.
	if err := os.Rename(path, setAside(path)); err != nil {
		return nil, err
	}
	return open()
}

// relock makes the directory and takes the lock again when they were removed.
func (j *Journal) relock() error {
	ours, err := j.lock.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(j.lock.Name()); err == nil && os.SameFile(ours, there) {
		return nil
	}
	old := j.lock
	if err := j.take(); err != nil {
		j.lock = old
		return err
	}
	_ = leave(old)
	return nil
}

// lookEvery is how often Append looks whether its file is still there.
const lookEvery = time.Second

// look finds out whether the segment was removed, replaced or cut short by
// somebody, and returns an error if so. What was in it is missing from then on.
func (j *Journal) look(now time.Time) error {
	s := &j.segment
	if since := now.Sub(j.looked); s.file == nil || since >= 0 && since < lookEvery {
		return nil
	}
	j.looked = now
	path := s.file.Name()
	info, err := os.Stat(path)
	switch {
	case err == nil && os.SameFile(info, s.info) && info.Size() >= s.size:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil // it cannot be told
	}
	err = fmt.Errorf("journal: %s was removed, replaced or cut short by somebody", path)
	j.vanish(err)
	return err
}

// vanish takes the journal back to where the segment began.
func (j *Journal) vanish(cause error) {
	s := &j.segment
	if s.events > 0 {
		gone := fsm.Gap{First: s.first, Last: j.written}
		if j.lost.Count > 0 {
			gone.Last = j.lost.Last
		}
		gone.Count = gone.Last.LastSeq() - gone.First + 1
		j.lost, j.cause = gone, cause
		j.missing += s.events - s.gaps // what a gap stands for was counted
	}
	j.written, j.sum = s.base, s.prev
	_ = leave(s.file)
	j.segment, j.pending = segment{}, pending{}
}
