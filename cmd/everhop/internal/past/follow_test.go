package past

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/fsm/journal"
)

// following is a replay of what grows.
type following struct {
	t         *testing.T
	lines     *bufio.Reader
	interrupt func()
	done      chan struct{}
	err       error
}

func follow(t *testing.T, path string) *following { return startReplay(t, nil, path, "--follow") }

func startReplay(t *testing.T, stdin io.Reader, args ...string) *following {
	ctx, interrupt := context.WithCancel(t.Context())
	reader, out := io.Pipe()
	f := &following{t: t, lines: bufio.NewReader(reader), interrupt: interrupt, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = ask(t, stdin, args...).Tell(ctx, term.To(out))
		out.Close()
	}()
	t.Cleanup(func() {
		interrupt()
		reader.Close()
		<-f.done
	})
	return f
}

// expect reads until a line has that text.
func (f *following) expect(want string) {
	f.t.Helper()
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				<-f.done
				err = fmt.Errorf("it ended: %w", f.err)
			}
			f.t.Fatalf("%v; want %s", err, want)
		}
		if strings.Contains(line, want) {
			return
		}
	}
}

// end interrupts it, which is no failure, and expects the summary of the outage.
func (f *following) end() {
	f.t.Helper()
	f.interrupt()
	f.expect("Summary of orders")
	rest, _ := io.ReadAll(f.lines)
	<-f.done
	if f.err != nil || !strings.Contains(string(rest), "outages           1, revived 1") {
		f.t.Errorf("%v\n%s", f.err, rest)
	}
}

// A journal is followed before there is an event in it.
func TestReplayFollowFromTheBegin(t *testing.T) {
	p, dir := pasttest.Published(t), t.TempDir()
	written, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer written.Close()
	f := follow(t, dir)
	time.Sleep(100 * time.Millisecond) // it need not have looked, but as a rule it has
	for _, e := range p.Events {
		if err := written.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	f.expect("Stop                Disconnected")
}

// A journal grows, within a segment and by others.
func TestReplayFollow(t *testing.T) {
	p, dir := pasttest.Outage(t), t.TempDir()
	written, err := journal.Open(dir, journal.Options{SegmentBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	events := p.Events
	add := func(n int) {
		for _, e := range events[:n] {
			if err := written.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		events = events[n:]
	}
	add(3)
	f := follow(t, dir)
	f.expect("Connected")
	add(5)
	f.expect("idle x2")
	add(len(events))
	f.expect("Revived #1")
	f.expect("Stop")
	f.end()
	if err := written.Close(); err != nil || len(pasttest.SegmentsOf(t, dir)) < 3 {
		t.Errorf("%v; want three segments or more, not %q", err, pasttest.SegmentsOf(t, dir))
	}
}

// A log grows, by halves of lines too.
func TestReplayFollowLog(t *testing.T) {
	lines := strings.SplitAfter(pasttest.Outage(t).Lines(), "\n")
	path := pasttest.NewFile(t, "orders.log", "hello\n"+strings.Join(lines[:3], ""))
	add := func(text string) {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.WriteString(text)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	f := follow(t, path)
	f.expect("Connected")
	add(strings.Join(lines[3:8], "") + lines[8][:40])
	f.expect("ConnectionError")
	add(lines[8][40:] + lines[9])
	f.expect("Revived #1")
	f.expect("Stop")
	f.end()
}

// A segment under another name, in which nothing will follow, can be followed all the same.
func TestReplayFollowCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy")
	if err := os.Rename(pasttest.SegmentsOf(t, pasttest.Outage(t).Journal())[0], path); err != nil {
		t.Fatal(err)
	}
	f := follow(t, path)
	f.expect("Stop")
	f.end()
}
