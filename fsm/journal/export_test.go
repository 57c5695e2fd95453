package journal

import (
	"bytes"
	"encoding/json"
	"os"

	"github.com/everhop/everhop/fsm"
)

// What the tests of package journal_test break or look into.

func (j *Journal) BreakWrite(write func(*os.File, []byte) (int, error)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.disk.write = write
}

func (j *Journal) BreakSync(sync func(*os.File) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.disk.sync = sync
}

// OpenBroken is Open with a disk that is broken from the begin.
func OpenBroken(
	dir string, o Options, write func(*os.File, []byte) (int, error), sync func(*os.File) error,
) (*Journal, error) {
	return openJournal(dir, o, disk{write, sync})
}

func AppendEvent(b []byte, e *fsm.Event) []byte { return append(appendEvent(b, e), '}') }

func Encode(e *fsm.Event, sum uint32) ([]byte, uint32) { return appendRecord(nil, e, sum) }

// DecodeEvent reads an event of any version.
func (d *Decoder) DecodeEvent(line []byte) (fsm.Event, error) { return d.event(line) }

// Kept is how many bytes of lines the decoder has kept.
func (d *Decoder) Kept() (bytes int) {
	for name := range d.names {
		bytes += len(name)
	}
	for text := range d.details {
		bytes += len(text)
	}
	return bytes
}

func DecodeAny(line []byte) (fsm.Event, error) { return decodeAny(line) }

func SetUpgrade(v int, f func(json.RawMessage) (json.RawMessage, error)) { upgrades[v] = f }
func UnsetUpgrade(v int)                                                 { delete(upgrades, v) }

const (
	MaxText = maxText
	MaxLine = maxLine
)

// Damage returns a function that reads text as a file of a journal, and returns
// how many records are before the first error, and that.
func Damage() func(text []byte) (records int, err error) {
	r := newReader()
	return func(text []byte) (records int, err error) {
		r.chain, r.seq = chain{}, 0
		r.open(bytes.NewReader(text), "text")
		err = r.readLines(true, func(Record, error) bool { records++; return true })
		return records, err
	}
}
