package journal

import (
	"os"
	"path/filepath"
	"time"
)

// maxAside is how many files with what was set aside are kept.
const maxAside = 8

// retain removes the segments that are too many or too old, when the newest holds
// a record. One that cannot be removed is tried again when the next segment begins.
// It returns what is to be told.
func (j *Journal) retain() (failure error) {
	paths, err := segments(j.dir)
	if err != nil || len(paths) == 0 {
		return nil
	}
	old := j.old(paths)
	if old > 0 {
		// Were these to go from the disk before the newest is there, a power
		// failure would leave nothing.
		if err := j.flush(j.segment.file, &j.pending); err != nil {
			return j.synced(err)
		}
	}
	for _, path := range paths[:old] { // the oldest first: what is left has no hole
		if os.Remove(path) != nil {
			return nil
		}
	}
	j.retainAside(paths[old])
	return nil
}

// old returns how many segments are too many or too old. The newest never is.
func (j *Journal) old(paths []string) int {
	newest := len(paths) - 1
	left := j.o.RetainBytes - j.o.SegmentBytes // the newest is going to grow
	old := newest
	for old > 0 {
		info, err := os.Stat(paths[old-1])
		if err != nil {
			return 0
		}
		if left -= info.Size(); left < 0 {
			break
		}
		old--
	}
	for j.o.RetainAge > 0 && old < newest && j.endedBefore(paths[old+1]) > j.o.RetainAge {
		old++
	}
	return old
}

// endedBefore is how long ago the last event before a segment happened, which the
// snapshot of the segment says; 0 when that cannot be read. A file's own time is
// of another clock, and a copy has a new one.
func (j *Journal) endedBefore(path string) time.Duration {
	for e, err := range Read(path) {
		if err != nil {
			break
		}
		return j.o.Now().Sub(e.Time)
	}
	return 0
}

// retainAside removes what was set aside of segments before the oldest one, and
// what is too much of it.
func (j *Journal) retainAside(oldest string) {
	for i, name := range asides(j.dir) {
		path := filepath.Join(j.dir, name)
		if (i >= maxAside || path < oldest) && path != j.torn {
			_ = os.Remove(path) // or when the next segment begins
		}
	}
}
