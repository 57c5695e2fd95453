package fsm

import "os"

// retain removes the segments that are too many or too old. One that cannot be
// removed is tried again when the next segment begins.
func (j *FileJournal) retain() {
	paths, err := segments(j.dir)
	if err != nil || len(paths) == 0 {
		return
	}
	past := paths[:len(paths)-1]
	left := j.o.RetainBytes - j.o.SegmentBytes // the newest is going to grow
	keep := len(past)
	for keep > 0 {
		info, err := os.Stat(past[keep-1])
		if err != nil {
			return
		}
		left -= info.Size()
		if left < 0 || j.o.RetainAge > 0 && j.o.Now().Sub(info.ModTime()) > j.o.RetainAge {
			break
		}
		keep--
	}
	for _, path := range past[:keep] { // the oldest first: what is left has no hole
		if os.Remove(path) != nil {
			return
		}
	}
}
