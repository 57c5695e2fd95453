package journal

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/everhop/everhop/fsm"
)

// Journal is an [fsm.Journal] of JSON Lines in a directory of its own, made of
// segments that each can be read alone. [Open] returns one.
//
// A failure to write does not stop the machine, unless Options.Strict says so: the
// events that could not be written are missing, a KindGap event stands in their
// place as soon as writing works again, and each Append tries.
//
// A text of more than 8192 bytes is cut, and then ends with an ellipsis. What is
// not valid UTF-8 is replaced by U+FFFD. [fsm.Details] are written as they are, but
// for members named prev or crc, which are a record's own, and for details of more
// than 8192 bytes: these are left out.
//
// Append belongs to the machine's owner. All other methods may be called from
// anywhere.
type Journal struct {
	dir  string
	o    Options
	disk disk
	torn string
	lock *os.File

	syncing sync.Mutex     // held by one Sync at a time; taken before mu
	ticks   sync.WaitGroup // the timer's calls

	mu      sync.Mutex // guards what follows
	closed  bool
	last    fsm.Event // the newest that was given to Append
	written fsm.Event // the newest that is in a file
	sum     uint32
	table   string // the fingerprint in the newest boot event
	segment segment
	lost    fsm.Gap // between written and last
	cause   error   // of lost
	missing uint64  // all that were ever lost
	looked  time.Time
	buffer  []byte

	pending   pending
	writes    uint64      // so far
	timer     *time.Timer // of SyncInterval
	armed     bool
	syncFails bool  // the last one did
	doubt     error // what it found, which vetoes the next event when Strict
}

// disk is what a Journal does to a file, for tests to break.
type disk struct {
	write func(*os.File, []byte) (int, error)
	sync  func(*os.File) error
}

// Open opens the journal in dir for writing, and makes the directory when there is
// none. It reads the newest segment and continues it.
//
// A last line without an end, as a crash leaves it, is copied into a file beside
// the segment and cut off, and a KindNote event says so; see [Journal.Torn].
// Any other damage is a [*CorruptError]. It is [ErrLocked] when the journal has a
// writer, [ErrNewerSchema] when a newer version wrote it, and otherwise an error of
// the options or of the file system.
//
// Damage in an older segment is not noticed: for that, all of the journal is to be
// read, by [Records] or by "everhop verify".
func Open(dir string, o Options) (*Journal, error) {
	return openJournal(dir, o, disk{(*os.File).Write, (*os.File).Sync})
}

func openJournal(dir string, o Options, d disk) (*Journal, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, o: o, disk: d}
	if err := j.take(); err != nil {
		return nil, err
	}
	if err := j.restore(); err != nil {
		if j.segment.file != nil {
			_ = leave(j.segment.file)
		}
		unlock(j.lock)
		return nil, err
	}
	return j, nil
}

// Append writes e, with one write; and with the first event of a segment the
// segment's snapshot. It waits for nothing else, save that a segment is synced
// before the next begins, and each event with SyncEach.
//
// The error is [ErrClosed], [ErrNotNext], or in Strict mode the one of the file
// system, or that the file was removed, replaced or cut short by somebody.
func (j *Journal) Append(e fsm.Event) error {
	j.mu.Lock()
	n, err := j.append(&e)
	j.mu.Unlock()
	j.tell(n)
	return err
}

// Last returns the newest event that was given to Append, even if it is missing
// in the files; after Open the newest there. A snapshot stands in for it
// when a crash has left nothing else.
func (j *Journal) Last() (fsm.Event, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last, j.last.Seq > 0
}

// Missing returns how many events could not be written, or were removed with
// their file, since Open.
func (j *Journal) Missing() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.missing
}

// Torn returns the path of the file into which Open set a torn line aside;
// "" when there was none.
func (j *Journal) Torn() string { return j.torn }

// Close syncs and closes the journal and lets others write it. It tries once more
// to write the gap for what is missing. The error says that something is not in
// the files, or may not outlive a power failure. It may be called again.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	n, err := j.end()
	j.mu.Unlock()
	j.ticks.Wait()
	unlock(j.lock)
	j.tell(n)
	return err
}

// news is what the caller's functions are told, once no lock is held.
type news struct {
	failure   error
	recovered uint64
}

func (j *Journal) tell(n news) {
	if n.failure != nil {
		j.o.OnFailure(n.failure)
	}
	if n.recovered > 0 {
		j.o.OnRecovered(n.recovered)
	}
}

func (j *Journal) append(e *fsm.Event) (n news, err error) {
	if j.closed {
		return n, ErrClosed
	}
	if j.written.Kind == "" && e.Seq > 0 { // nothing was ever written
		j.written = genesis(e)
		j.last = j.written
	}
	if last := j.last.LastSeq(); e.Seq != last+1 {
		return n, fmt.Errorf("%w: seq %d after %d", ErrNotNext, e.Seq, last)
	}
	failure := j.look(j.o.Now())
	if j.o.Strict {
		if failure, j.doubt = errors.Join(j.doubt, failure), nil; failure != nil {
			return n, failure
		}
	}
	n.failure = failure
	if err = j.store(e, &n); err != nil {
		if j.o.Strict {
			return n, err
		}
		if j.lost.Count == 0 {
			n.failure, j.cause = err, err
		}
		j.lost.Add(*e)
		j.missing++
	}
	j.last = *e
	if e.Table != "" {
		j.table = e.Table
	}
	return n, nil
}

// end is Close, with mu held.
func (j *Journal) end() (n news, err error) {
	j.looked = time.Time{}
	n.failure = j.look(j.o.Now())
	if j.lost.Count > 0 {
		count := j.lost.Count
		if err = j.store(nil, &n); err != nil {
			err = fmt.Errorf("journal: the last %d events are not in the journal: %w", count, err)
		}
	}
	j.closed = true
	j.disarm()
	if j.segment.file == nil {
		return n, err
	}
	file := j.segment.file
	err = errors.Join(err, j.retire())
	_ = leave(file) // when retiring it failed, it is open still
	return n, err
}

// take makes the directory and locks it.
func (j *Journal) take() (err error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	j.lock, err = lock(j.dir, j.o.Now())
	return err
}
