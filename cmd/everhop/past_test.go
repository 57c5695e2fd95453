package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// past is a log that a real machine has written, by a clock that only the test moves.
type past struct {
	t     testing.TB
	clock time.Time
	name  string
	runs  int
	log   []fsm.Event
	m     *fsm.Machine
}

func newPast(t testing.TB, name string) *past {
	return (&past{t: t, name: name, clock: time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC)}).begin()
}

func (p *past) Append(e fsm.Event) error {
	p.log = append(p.log, e)
	return nil
}

func (p *past) Last() (fsm.Event, bool) {
	if len(p.log) == 0 {
		return fsm.Event{}, false
	}
	return p.log[len(p.log)-1], true
}

func (p *past) begin() *past {
	p.t.Helper()
	p.runs++
	m, err := fsm.New(consumer.Lifecycle(), fsm.Options{
		Name: p.name, Journal: p, Run: fmt.Sprintf("%s-%d", p.name, p.runs), Now: func() time.Time { return p.clock },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.m = m
	if m.State() != consumer.Disconnected {
		p.fire(0, consumer.ProcessRestarted, consumer.Evidence{})
	}
	return p.record(fsm.KindBoot, "", consumer.Evidence{Note: "everhop v1.2.0"})
}

func (p *past) fire(after time.Duration, trigger fsm.Trigger, why consumer.Evidence) *past {
	p.t.Helper()
	p.clock = p.clock.Add(after)
	if _, err := p.m.Fire(trigger, why.Event()); err != nil {
		p.t.Fatal(err)
	}
	return p
}

func (p *past) record(kind fsm.Kind, name string, why consumer.Evidence) *past {
	p.t.Helper()
	if _, err := p.m.Record(kind, name, why.Event()); err != nil {
		p.t.Fatal(err)
	}
	return p
}

func (p *past) connect() *past {
	p.t.Helper()
	return p.fire(0, consumer.Connect, consumer.Evidence{}).
		fire(20*time.Millisecond, consumer.Connected, consumer.Evidence{Endpoint: "mq1:5672", Generation: 1})
}

func (p *past) idle(cycles int) *past {
	p.t.Helper()
	for range cycles {
		p.fire(2*time.Second, consumer.DrainTimeout, consumer.Evidence{}).fire(time.Millisecond, consumer.HeartbeatOK, consumer.Evidence{})
	}
	return p
}

// night has what a night may have: a reset, a frozen peer, a crash, a long outage, a stop.
func night(t testing.TB) *past {
	refused := consumer.Evidence{Endpoint: "mq1:5672", Class: "network", Error: "dial: connect: connection refused"}
	p := newPast(t, "orders").connect().idle(1200)
	p.fire(time.Second, consumer.ConnectionError, consumer.Evidence{
		Endpoint: "mq1:5672", Class: "network", Error: "connection: read: connection reset by peer", Note: "after consuming for 40m2s",
	})
	p.fire(30*time.Millisecond, consumer.Revived, consumer.Evidence{Endpoint: "mq2:5672", Attempt: 1, Note: "revived within 30ms"})
	p.idle(300).fire(2*time.Second, consumer.DrainTimeout, consumer.Evidence{})
	p.fire(2*time.Second, consumer.HeartbeatFailed, consumer.Evidence{Endpoint: "mq2:5672", Class: "heartbeat", Error: "probe: the peer went silent: no byte came in for 4s"})
	p.fire(time.Second, consumer.ReviveFailed, consumer.Evidence{Attempt: 1, Endpoint: "mq1:5672", Class: "network", Error: refused.Error})
	p.fire(time.Second, consumer.Revived, consumer.Evidence{Endpoint: "mq2:5672", Attempt: 2})
	p.record(fsm.KindStale, consumer.StaleOutcome, consumer.Evidence{Queue: "orders", Note: "a handler finished after its channel was gone"})
	_, _ = p.m.Fire(consumer.Connected, fsm.Evidence{})
	p.idle(1500)
	p.clock = p.clock.Add(90 * time.Second)
	p.begin().connect().idle(3000)
	p.fire(time.Second, consumer.ChannelError, consumer.Evidence{
		Endpoint: "mq1:5672", Queue: "orders", Class: "cancelled", Error: "consuming: the broker cancelled the consumer (queue deleted or moved)",
	})
	for n := range 200 {
		why := refused
		if n%3 == 0 {
			why = consumer.Evidence{Endpoint: "mq1:5672", Queue: "orders", Class: "not_found", Code: 404, Error: "consume: NOT_FOUND - no queue 'orders' in vhost '/'"}
		}
		why.Attempt = n + 1
		p.fire(3*time.Second, consumer.ReviveFailed, why)
	}
	p.fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 201, Endpoint: "mq1:5672"})
	return p.idle(600).fire(time.Second, consumer.Stop, consumer.Evidence{})
}

// journal writes the log as a journal, and returns its directory.
func (p *past) journal() string {
	p.t.Helper()
	return p.segments(0)
}

// segments writes a journal whose segments have so many bytes.
func (p *past) segments(size int64) string {
	p.t.Helper()
	dir := filepath.Join(p.t.TempDir(), "journal")
	journal, err := journal.Open(dir, journal.Options{SegmentBytes: size, Strict: true})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range p.log {
		if err := journal.Append(e); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := journal.Close(); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// logFile writes the log as a log, and returns its path.
func (p *past) logFile() string {
	p.t.Helper()
	return newFile(p.t, "orders.log", p.lines())
}

// newFile writes a file into a directory of its own.
func newFile(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// segmentsOf are the paths of a journal's segments.
func segmentsOf(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, entry := range entries {
		if isSegment(entry.Name()) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no segment in %s", dir)
	}
	return paths
}

// readFile returns a file's text.
func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p *past) lines() string {
	var b strings.Builder
	for _, e := range p.log {
		line, err := json.Marshal(e)
		if err != nil {
			p.t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

// moved moves segments into a directory, which it returns.
func moved(t testing.TB, dir string, segments ...string) string {
	t.Helper()
	for _, path := range segments {
		if err := os.Rename(path, filepath.Join(dir, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
