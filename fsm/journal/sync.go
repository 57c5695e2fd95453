package journal

import (
	"errors"
	"os"
	"time"
)

// pending is what the disk was not yet asked to keep.
type pending struct {
	data bool
	name bool // of a new segment, in the directory
}

// Sync has the disk keep what was written until now, beyond a power failure.
// Append does not wait for it. The error is [ErrClosed], or says that something may
// be lost.
func (j *Journal) Sync() error {
	n, err := j.sync()
	j.tell(n)
	return err
}

func (j *Journal) sync() (n news, err error) {
	j.syncing.Lock()
	defer j.syncing.Unlock()

	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return n, ErrClosed
	}
	j.looked = time.Time{}
	if n.failure = j.look(j.o.Now()); n.failure != nil {
		j.doubt = n.failure
	}
	file, todo, writes := j.segment.file, j.pending, j.writes
	j.mu.Unlock() // pending stays, so that whoever retires the segment meanwhile syncs it, too
	if file == nil || !todo.data {
		return n, n.failure
	}

	err = j.flush(file, &todo)
	if errors.Is(err, os.ErrClosed) {
		err = nil // the segment was retired meanwhile, and synced for that
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil && j.segment.file == file && j.writes == writes {
		j.pending = pending{}
	}
	n.failure = j.synced(err)
	return n, err
}

// synced takes note of how a sync has ended, and returns what is to be told: that
// they begin to fail.
func (j *Journal) synced(err error) (failure error) {
	if !j.syncFails {
		failure = err
	}
	j.syncFails = err != nil
	if err != nil {
		j.doubt = err
	}
	return failure
}

// flush syncs a file and, when it is new, its name.
func (j *Journal) flush(file *os.File, p *pending) error {
	if p.data {
		if err := j.disk.sync(file); err != nil {
			return err
		}
		p.data = false
	}
	if p.name {
		if err := syncDir(j.dir, j.disk.sync); err != nil {
			return err
		}
		p.name = false
	}
	return nil
}

// arm has the timer sync, once; nothing runs while nothing is written.
func (j *Journal) arm() {
	if j.o.Sync != SyncInterval || j.armed {
		return
	}
	j.armed = true
	j.ticks.Add(1)
	if j.timer == nil {
		j.timer = time.AfterFunc(j.o.SyncEvery, j.tick)
	} else {
		j.timer.Reset(j.o.SyncEvery)
	}
}

func (j *Journal) tick() {
	defer j.ticks.Done()
	j.mu.Lock()
	j.armed = false
	j.mu.Unlock()
	_ = j.Sync() // OnFailure was told
}

func (j *Journal) disarm() {
	if j.armed && j.timer.Stop() {
		j.armed = false
		j.ticks.Done()
	}
}
