// Package pasttest writes the past for tests: logs and journals that a real machine has written, by a clock that
// only the test moves.
//
//	pasttest.New(t, "orders").Connect().Idle(3).Fire(time.Second, consumer.Stop, consumer.Evidence{}).Journal()
package pasttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// Log is the log of one machine. It ends the test where it fails.
type Log struct {
	T      testing.TB
	Clock  time.Time // that the machine reads
	Events []fsm.Event

	of      *history.Lifecycle
	name    string
	runs    int
	machine *fsm.Machine
}

// New is the log of a consumer whose first run has begun, at 22:00 on 2026-11-22 in UTC.
func New(t testing.TB, name string) *Log { return newOf(t, history.Consumer(), name) }

// NewPublisher is that of a publisher.
func NewPublisher(t testing.TB, name string) *Log { return newOf(t, history.Publisher(), name) }

func newOf(t testing.TB, of *history.Lifecycle, name string) *Log {
	return (&Log{T: t, of: of, name: name, Clock: time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC)}).Begin()
}

// Append makes it the machine's journal.
func (l *Log) Append(e fsm.Event) error {
	l.Events = append(l.Events, e)
	return nil
}

// Last is the event that the machine goes on from.
func (l *Log) Last() (fsm.Event, bool) {
	if len(l.Events) == 0 {
		return fsm.Event{}, false
	}
	return l.Events[len(l.Events)-1], true
}

// Begin begins another run.
func (l *Log) Begin() *Log {
	l.T.Helper()
	l.runs++
	m, err := fsm.New(l.of.Table, fsm.Options{
		Name: l.name, Journal: l, Run: fmt.Sprintf("%s-%d", l.name, l.runs), Now: func() time.Time { return l.Clock },
	})
	if err != nil {
		l.T.Fatal(err)
	}
	l.machine = m
	if m.State() != consumer.Disconnected {
		l.Fire(0, consumer.ProcessRestarted, consumer.Evidence{})
	}
	return l.Record(fsm.KindBoot, "", consumer.Evidence{Note: "everhop v1.2.0"})
}

// Fire fires a trigger that is permitted, after some time.
func (l *Log) Fire(after time.Duration, trigger fsm.Trigger, why consumer.Evidence) *Log {
	l.T.Helper()
	return l.fire(after, trigger, why.Event())
}

// Send is Fire for what only a publisher says.
func (l *Log) Send(after time.Duration, trigger fsm.Trigger, why publish.Evidence) *Log {
	l.T.Helper()
	return l.fire(after, trigger, why.Event())
}

func (l *Log) fire(after time.Duration, trigger fsm.Trigger, why fsm.Evidence) *Log {
	l.T.Helper()
	l.Clock = l.Clock.Add(after)
	if _, err := l.machine.Fire(trigger, why); err != nil {
		l.T.Fatal(err)
	}
	return l
}

// Reject fires a trigger that is not.
func (l *Log) Reject(trigger fsm.Trigger) *Log {
	l.T.Helper()
	if _, err := l.machine.Fire(trigger, fsm.Evidence{}); err == nil {
		l.T.Fatalf("%s is permitted in %s", trigger, l.machine.State())
	}
	return l
}

// Record records what is no transition.
func (l *Log) Record(kind fsm.Kind, name string, why consumer.Evidence) *Log {
	l.T.Helper()
	return l.record(kind, name, why.Event())
}

func (l *Log) record(kind fsm.Kind, name string, why fsm.Evidence) *Log {
	l.T.Helper()
	if _, err := l.machine.Record(kind, name, why); err != nil {
		l.T.Fatal(err)
	}
	return l
}

// Connect leads to Consuming, or Publishing.
func (l *Log) Connect() *Log {
	l.T.Helper()
	return l.Fire(0, consumer.Connect, consumer.Evidence{}).
		Fire(20*time.Millisecond, consumer.Connected, consumer.Evidence{Endpoint: "mq1:5672", Generation: 1})
}

// Idle is so many heartbeats that are answered.
func (l *Log) Idle(cycles int) *Log {
	l.T.Helper()
	for range cycles {
		l.Fire(2*time.Second, consumer.DrainTimeout, consumer.Evidence{}).Fire(time.Millisecond, consumer.HeartbeatOK, consumer.Evidence{})
	}
	return l
}

// Journal writes the log as a journal, and returns its directory.
func (l *Log) Journal() (dir string) {
	l.T.Helper()
	return l.Segments(0)
}

// Segments writes a journal whose segments have so many bytes, and returns its directory.
func (l *Log) Segments(size int64) (dir string) {
	l.T.Helper()
	dir = filepath.Join(l.T.TempDir(), "journal")
	written, err := journal.Open(dir, journal.Options{SegmentBytes: size, Strict: true})
	if err != nil {
		l.T.Fatal(err)
	}
	for _, e := range l.Events {
		if err := written.Append(e); err != nil {
			l.T.Fatal(err)
		}
	}
	if err := written.Close(); err != nil {
		l.T.Fatal(err)
	}
	return dir
}

// File writes the log as one of JSON lines, and returns its path.
func (l *Log) File() (path string) {
	l.T.Helper()
	return NewFile(l.T, "orders.log", l.Lines())
}

// Lines is the log in JSON lines.
func (l *Log) Lines() string {
	l.T.Helper()
	var b strings.Builder
	for _, e := range l.Events {
		line, err := json.Marshal(e)
		if err != nil {
			l.T.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

// NewFile writes a file into a directory of its own.
func NewFile(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ReadFile returns a file's text.
func ReadFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Change changes a text in a file, which must have it.
func Change(t testing.TB, path, from, to string) {
	t.Helper()
	text := ReadFile(t, path)
	if !strings.Contains(text, from) {
		t.Fatalf("no %q in %s", from, path)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(text, from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// SegmentsOf are the paths of a journal's segments, of which it has one at least.
func SegmentsOf(t testing.TB, dir string) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if journal.IsSegment(entry.Name()) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no segment in %s", dir)
	}
	return paths
}
