package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
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
		p.fire(0, consumer.ProcessRestarted, fsm.Evidence{})
	}
	return p.record(fsm.KindBoot, fsm.Evidence{Note: "everhop v1.2.0"})
}

func (p *past) fire(after time.Duration, trigger fsm.Trigger, why fsm.Evidence) *past {
	p.t.Helper()
	p.clock = p.clock.Add(after)
	if _, err := p.m.Fire(trigger, why); err != nil {
		p.t.Fatal(err)
	}
	return p
}

func (p *past) record(kind fsm.Kind, why fsm.Evidence) *past {
	p.t.Helper()
	if _, err := p.m.Record(kind, why); err != nil {
		p.t.Fatal(err)
	}
	return p
}

func (p *past) connect() *past {
	p.t.Helper()
	return p.fire(0, consumer.Connect, fsm.Evidence{}).
		fire(20*time.Millisecond, consumer.Connected, fsm.Evidence{Endpoint: "mq1:5672", Generation: 1})
}

func (p *past) idle(cycles int) *past {
	p.t.Helper()
	for range cycles {
		p.fire(2*time.Second, consumer.DrainTimeout, fsm.Evidence{}).fire(time.Millisecond, consumer.HeartbeatOK, fsm.Evidence{})
	}
	return p
}

// night has what a night may have: a reset, a frozen peer, a crash, a long outage, a stop.
func night(t testing.TB) *past {
	refused := fsm.Evidence{Endpoint: "mq1:5672", Class: "network", Error: "dial: connect: connection refused"}
	p := newPast(t, "orders").connect().idle(1200)
	p.fire(time.Second, consumer.ConnectionError, fsm.Evidence{
		Endpoint: "mq1:5672", Class: "network", Error: "connection: read: connection reset by peer", Note: "after consuming for 40m2s",
	})
	p.fire(30*time.Millisecond, consumer.Revived, fsm.Evidence{Endpoint: "mq2:5672", Attempt: 1, Note: "revived within 30ms"})
	p.idle(300).fire(2*time.Second, consumer.DrainTimeout, fsm.Evidence{})
	p.fire(2*time.Second, consumer.HeartbeatFailed, fsm.Evidence{Endpoint: "mq2:5672", Class: "heartbeat", Error: "probe: the peer went silent: no byte came in for 4s"})
	p.fire(time.Second, consumer.ReviveFailed, fsm.Evidence{Attempt: 1, Endpoint: "mq1:5672", Class: "network", Error: refused.Error})
	p.fire(time.Second, consumer.Revived, fsm.Evidence{Endpoint: "mq2:5672", Attempt: 2})
	p.record(fsm.KindStale, fsm.Evidence{Queue: "orders", Note: "a handler finished after its channel was gone"})
	_, _ = p.m.Fire(consumer.Connected, fsm.Evidence{})
	p.idle(1500)
	p.clock = p.clock.Add(90 * time.Second)
	p.begin().connect().idle(3000)
	p.fire(time.Second, consumer.ChannelError, fsm.Evidence{
		Endpoint: "mq1:5672", Queue: "orders", Class: "cancelled", Error: "consuming: the broker cancelled the consumer (queue deleted or moved)",
	})
	for n := range 200 {
		why := refused
		if n%3 == 0 {
			why = fsm.Evidence{Endpoint: "mq1:5672", Queue: "orders", Class: "not_found", Code: 404, Error: "consume: NOT_FOUND - no queue 'orders' in vhost '/'"}
		}
		why.Attempt = n + 1
		p.fire(3*time.Second, consumer.ReviveFailed, why)
	}
	p.fire(time.Second, consumer.Revived, fsm.Evidence{Attempt: 201, Endpoint: "mq1:5672"})
	return p.idle(600).fire(time.Second, consumer.Stop, fsm.Evidence{})
}

// write writes the log as a journal.
func (p *past) write() string {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "journal.jsonl")
	if err := os.WriteFile(path, []byte(p.lines()), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
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

// golden compares with testdata/replay/name.txt.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "replay", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./cmd/everhop -run Replay -update writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; go test ./cmd/everhop -run Replay -update writes it\n%s", path, diff)
	}
}

// withInput runs everhop in this process, with something on standard input.
func withInput(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(stdin), &out, &err)
	return status, out.String(), err.String()
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Pages of every width tell the same, and nothing is wider than its page.
func TestReplayPages(t *testing.T) {
	p := night(t)
	for _, tt := range []struct {
		name string
		page page
	}{
		{"pipe", page{}},
		{"wide", page{width: 140}},
		{"narrow", page{width: 80}},
		{"tiny", page{width: 40}},
		{"colours", page{width: 140, colour: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.page.zone = time.UTC
			var out bytes.Buffer
			told := &telling{asked: &replay{}, page: tt.page, out: bufio.NewWriter(&out)}
			for _, e := range p.log {
				told.add(e)
			}
			if err := errors.Join(told.finish(), told.out.Flush()); err != nil {
				t.Fatal(err)
			}
			got := out.String()
			if tt.page.colour {
				plain, err := os.ReadFile("testdata/replay/wide.txt")
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(plain), escapes.ReplaceAllString(got, "")); diff != "" || !escapes.MatchString(got) {
					t.Errorf("colours are missing, or not all there is to them:\n%s", diff)
				}
				return
			}
			golden(t, tt.name, got)
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(line) - 1; tt.page.width > 0 && n > tt.page.width {
					t.Errorf("%d columns: %s", n, line)
				}
				if strings.TrimRight(line, " \n")+"\n" != line {
					t.Errorf("blanks at the end: %q", line)
				}
			}
		})
	}
}

// On a terminal that is watched live, what is being folded is shown, and written over.
func TestReplayPending(t *testing.T) {
	p := night(t)
	var out bytes.Buffer
	told := &telling{asked: &replay{none: true}, page: page{width: 80, redraw: true, zone: time.UTC}, out: bufio.NewWriter(&out), live: true}
	err := told.tell(t.Context(), source{}, func(yield func(fsm.Event, error) bool) {
		for _, e := range p.log {
			told.drawn = time.Time{} // as if it were long ago
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if !strings.Contains(got, "\r\x1b[K22:00:02.020 Consuming (4.0 s): idle x3, ...\r\x1b[K") {
		t.Errorf("nothing is shown before it is complete:\n%.2000q", got)
	}
	want, err := os.ReadFile("testdata/replay/narrow.txt")
	if err != nil {
		t.Fatal(err)
	}
	timeline, _, _ := strings.Cut(string(want), "\nSummary")
	if diff := cmp.Diff(timeline, regexp.MustCompile("[^\n]*\r\x1b\\[K").ReplaceAllString(got, "")); diff != "" {
		t.Error(diff)
	}
}

func TestReplayCommand(t *testing.T) {
	path := night(t).write()
	for _, tt := range []struct{ name, args string }{
		{"at-consuming", "--at 2026-11-22T22:30:00Z"},
		{"at-reviving", "--at 01:30"},
		{"at-crashed", "--at 2026-11-22T23:41:00Z"},
		{"at-before", "--at 2026-11-22T21:00:00Z"},
		{"at-after", "--at 2026-11-24T21:00:00Z"},
		{"at-json", "--at 01:30 --json"},
		{"since-until", "--since 22:39 --until 22:51"},
		{"since-duration", "--since 15m"},
		{"since-within", "--since 01:31 --until 01:31:02"},
		{"summary", "--summary"},
		{"json", "--json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"replay", path, "--utc"}, strings.Fields(tt.args)...)
			status, stdout, stderr := inProcess(t, args...)
			if status != 0 || stderr != "" {
				t.Errorf("exit status %d, stderr %q", status, stderr)
			}
			golden(t, tt.name, stdout)
			input, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			args[1] = "-"
			if _, piped, _ := withInput(t, string(input), args...); piped != stdout {
				t.Errorf("from standard input it is something else:\n%s", cmp.Diff(stdout, piped))
			}
		})
	}
	t.Run("no-summary", func(t *testing.T) {
		_, all, _ := inProcess(t, "replay", path)
		_, timeline, _ := inProcess(t, "replay", path, "--no-summary")
		_, summary, _ := inProcess(t, "replay", path, "--summary")
		if timeline+summary != all {
			t.Error("timeline and summary are not all")
		}
	})
}

// In a local zone, times are shown and read in it.
func TestReplayZone(t *testing.T) {
	before := time.Local
	defer func() { time.Local = before }()
	time.Local = time.FixedZone("EST", -5*3600)
	path := night(t).write()
	_, stdout, _ := inProcess(t, "replay", path, "--at", "2026-11-22 17:30")
	for _, want := range []string{"2026-11-22 17:30:00 EST", "Consuming"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

// logOf makes of events what a container's log has.
func logOf(t *testing.T, events []fsm.Event, prefix string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(prefix + "starting up {not json}\n\n")
	for i, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(prefix + strings.Replace(string(text), "{", `{"level":"info",`, 1) + "\n")
		if i%10 == 0 {
			b.WriteString(prefix + `{"level":"info","time":"2026-11-22T22:00:00Z","kind":"request","seq":1,"message":"GET /"}` + "\n")
		}
	}
	return b.String()
}

func TestReplayLogs(t *testing.T) {
	p := night(t)
	_, want, _ := inProcess(t, "replay", p.write(), "--utc")
	path := filepath.Join(t.TempDir(), "pod.log")
	text := logOf(t, p.log, "[pod/orders-1] ")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"file": {"replay", path, "--utc"}, "standard input": {"replay", "-", "--utc"}} {
		status, got, stderr := withInput(t, text, args...)
		if diff := cmp.Diff(want, got); diff != "" || status != 0 || stderr != "" {
			t.Errorf("%s: exit status %d, %s\n%s", name, status, stderr, diff)
		}
	}
	routine := func(e fsm.Event) bool {
		return e.Trigger == consumer.DrainTimeout || e.Trigger == consumer.HeartbeatOK || e.Trigger == consumer.ReviveFailed && e.Attempt&(e.Attempt-1) != 0
	}
	_, got, _ := withInput(t, logOf(t, slices.DeleteFunc(p.log, routine), ""), "replay", "-", "--utc")
	golden(t, "log-info", got)
}

func TestReplayMachines(t *testing.T) {
	a, b := newPast(t, "orders").connect().idle(3), newPast(t, "mails").connect().idle(2)
	var mixed past
	mixed.t = t
	for i := range 9 {
		mixed.log = append(mixed.log, a.log[i:min(i+1, len(a.log))]...)
		if i < len(b.log) {
			mixed.log = append(mixed.log, b.log[i])
		}
	}
	path := mixed.write()
	_, stdout, _ := inProcess(t, "replay", path, "--utc")
	golden(t, "machines", stdout)
	_, one, _ := inProcess(t, "replay", path, "--utc", "--machine", "mails")
	_, alone, _ := inProcess(t, "replay", b.write(), "--utc")
	if diff := cmp.Diff(alone, one); diff != "" {
		t.Error(diff)
	}
}

func TestReplayErrors(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	journal := newPast(t, "orders").connect().idle(3).lines()
	empty, foreign := file("empty", ""), file("foreign", "hello\n{}\n")
	torn, sound := file("torn.jsonl", journal+`{"v":1,"kind"`), file("sound.jsonl", journal)
	nothing := t.TempDir()
	help := "; see 'everhop replay --help'"
	tests := []struct {
		name   string
		args   []string
		status int
		told   bool // something is, on standard output
		want   string
	}{
		{"no file", []string{filepath.Join(folder, "no")}, 1, false, "stat " + filepath.Join(folder, "no") + ": no such file or directory"},
		{"empty", []string{empty}, 1, false, empty + ": empty"},
		{"empty, relative time", []string{empty, "--at", "03:14"}, 1, false, empty + ": empty"},
		{"no journal", []string{foreign}, 1, false, foreign + ": neither a journal nor a log of Everhop: no event in 2 lines; is the log's format json?"},
		{"nothing on standard input", []string{"-"}, 1, false, "standard input: empty"},
		{"nothing on standard input, relative time", []string{"-", "--since", "2h"}, 1, false, "standard input: empty"},
		{"folder without a journal", []string{nothing}, 1, false, nothing + ": no journal in this directory"},
		{"damaged", []string{torn}, 3, true, torn + ":10: the journal is damaged: not an event"},
		{"damaged, relative time", []string{torn, "--since", "1h"}, 3, true, torn + ":10: the journal is damaged: not an event"},
		{"another machine", []string{sound, "--machine", "x"}, 1, false, sound + `: nothing of machine "x"; there is: orders`},
		{"nothing since", []string{sound, "--utc", "--since", "2027-01-01 00:00"}, 1, false, "nothing since 2027-01-01 00:00:00 UTC: the log ends at 2026-11-22 22:00:06 UTC"},
		{"the wrong way round", []string{sound, "--utc", "--since", "22:00:05", "--until", "22:00:04"}, 1, false, "--since 2026-11-22T22:00:05Z is after --until 2026-11-22T22:00:04Z"},
		{"no argument", nil, 2, false, "a FILE, a DIR or - is missing" + help},
		{"two arguments", []string{sound, "x"}, 2, false, `unexpected argument "x"` + help},
		{"at and since", []string{sound, "--at", "1h", "--since", "1h"}, 2, false, "--at and --since: only one of them" + help},
		{"summary or not", []string{sound, "--summary", "--no-summary"}, 2, false, "--summary and --no-summary: only one of them" + help},
		{"follow standard input", []string{"-", "--follow"}, 2, false, "--follow: standard input is followed anyway" + help},
		{"no time", []string{sound, "--at", "noon"}, 2, false, `--at: "noon": expected a time such as 2026-11-22T03:14:00Z, "2026-11-22 03:14", 03:14 or 2h (before the log's end)` + help},
		{"negative time", []string{sound, "--since=-2h"}, 2, false, `--since: "-2h": expected a time such as 2026-11-22T03:14:00Z, "2026-11-22 03:14", 03:14 or 2h (before the log's end)` + help},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := withInput(t, "", append([]string{"replay"}, tt.args...)...)
			if status != tt.status || (stdout != "") != tt.told || stderr != "everhop: "+tt.want+"\n" {
				t.Errorf("exit status %d, stdout %q, stderr\n%swant %d and\neverhop: %s", status, stdout, stderr, tt.status, tt.want)
			}
		})
	}
}

// What a peer has sent must not reach the terminal as a command to it.
func TestReplayControlCharacters(t *testing.T) {
	p := newPast(t, "or\x1b[2Jders").connect()
	p.fire(time.Second, consumer.ConnectionError, fsm.Evidence{
		Class: "net\rwork", Error: "gone\x1b]0;title\x07\nagain\u202e\u009b31m", Endpoint: "h\t:1", Queue: "q\x00", Note: "\x7f",
	})
	path := p.write()
	for _, args := range [][]string{{}, {"--at", "0s"}, {"--json"}, {"--summary"}} {
		_, stdout, _ := inProcess(t, append([]string{"replay", path}, args...)...)
		for line := range strings.Lines(stdout) {
			if clean(strings.TrimSuffix(line, "\n"))+"\n" != line && !slices.Contains(args, "--json") || strings.ContainsAny(line, "\x1b\x07\x00\r") {
				t.Errorf("%v: %q", args, line)
			}
		}
	}
}

// A directory of segments, the last of which grows, and then another one.
func TestReplayFollow(t *testing.T) {
	folder := t.TempDir()
	p := newPast(t, "orders").connect().idle(2)
	p.fire(time.Second, consumer.ConnectionError, fsm.Evidence{}).fire(time.Second, consumer.Revived, fsm.Evidence{Attempt: 1}).fire(time.Second, consumer.Stop, fsm.Evidence{})
	lines := slices.Collect(strings.Lines(p.lines()))
	segment := func(name string, lines ...string) {
		file, err := os.OpenFile(filepath.Join(folder, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString(strings.Join(lines, "")); err != nil {
			t.Fatal(err)
		}
	}
	segment("0001.jsonl", lines[:2]...)
	segment("0002.jsonl", lines[2:4]...)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, out := io.Pipe()
	var status int
	var stderr bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		status = run(ctx, []string{"replay", folder, "--follow", "--utc"}, nil, out, &stderr)
		out.Close()
	}()
	input := bufio.NewReader(reader)
	expect := func(want string) {
		t.Helper()
		for {
			line, err := input.ReadString('\n')
			if err != nil {
				t.Fatalf("%v; want %s", err, want)
			}
			if strings.Contains(line, want) {
				return
			}
		}
	}
	expect("Connected")
	segment("0002.jsonl", lines[4:8]...)
	segment("0002.jsonl", lines[8][:20])
	expect("idle x2")
	segment("0002.jsonl", lines[8][20:])
	segment("0003.jsonl", lines[9:]...)
	expect("Revived #1")
	expect("Stop")
	interrupt()
	expect("Summary of orders")
	rest, _ := io.ReadAll(input)
	<-done
	if status != 0 || stderr.Len() > 0 || !strings.Contains(string(rest), "outages           1, revived 1") {
		t.Errorf("exit status %d, %s\n%s", status, &stderr, rest)
	}
}

func TestTimePoints(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	end := time.Date(2026, 11, 22, 3, 14, 30, 0, zone)
	day := func(d, h, m, s int) time.Time { return time.Date(2026, 11, d, h, m, s, 0, zone) }
	tests := []struct {
		text string
		want time.Time
	}{
		{"2026-11-22T03:14:00Z", time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)},
		{"2026-11-22T03:14:00.25+02:00", time.Date(2026, 11, 22, 1, 14, 0, 250e6, time.UTC)},
		{"2026-11-21 23:59", day(21, 23, 59, 0)},
		{"2026-11-21 23:59:58", day(21, 23, 59, 58)},
		{"2026-11-21T23:59:58", day(21, 23, 59, 58)},
		{"03:14", day(22, 3, 14, 0)},
		{"03:14:30", day(22, 3, 14, 30)},
		{"03:14:31", day(21, 3, 14, 31)},
		{"22:00", day(21, 22, 0, 0)},
		{"2h", day(22, 1, 14, 30)},
		{"0s", end},
	}
	for _, tt := range tests {
		p, ok := parseTime(tt.text)
		if got := p.in(end, zone); !ok || !got.Equal(tt.want) {
			t.Errorf("%s: %v, %v, want %v", tt.text, ok, got, tt.want)
		}
	}
	for _, text := range []string{"", "noon", "-2h", "24:00", "2026-11-22", "3", "2026-13-01 00:00"} {
		if p, ok := parseTime(text); ok {
			t.Errorf("%q: %v", text, p)
		}
	}
}

func TestSpan(t *testing.T) {
	tests := map[time.Duration]string{
		-1: "0 s", 0: "0 s", 1: "<1 ms", 994 * time.Millisecond: "994 ms", 996 * time.Millisecond: "1.0 s", 59949 * time.Millisecond: "59.9 s",
		59951 * time.Millisecond: "1m", 90 * time.Second: "1m 30s", 59*time.Minute + 59600*time.Millisecond: "1h",
		23*time.Hour + 59*time.Minute + 40*time.Second: "1d", 50 * time.Hour: "2d 2h", 2*time.Hour + 90*time.Second: "2h 2m",
	}
	for d, want := range tests {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
