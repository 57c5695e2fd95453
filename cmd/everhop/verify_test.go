package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Every checksum is right here: what is wrong is what the events say.
func TestVerify(t *testing.T) {
	tests := []struct {
		name   string
		change func(log []fsm.Event)
		status int
		so     string // checked so far
		want   string
	}{
		{"sound", func([]fsm.Event) {}, 0, "checked           13 events, seq 1 to 13, of 2 runs\n", ""},
		{"another state", func(log []fsm.Event) { log[4].From = consumer.Reviving }, 1,
			"checked so far    4 events, seq 1 to 4, of 1 run\n", `FILE:6 (seq 5): from is "Reviving", expected "HeartbeatCheck"`},
		{"a trigger that is not permitted", func(log []fsm.Event) { log[4].Trigger = consumer.Revived }, 1,
			"checked so far    4 events, seq 1 to 4, of 1 run\n",
			`FILE:6 (seq 5): trigger is "Revived", expected one of: HeartbeatOK, HeartbeatFailed, ConnectionError, ChannelError, Stop, ProcessRestarted`},
		{"a trigger that leads elsewhere", func(log []fsm.Event) { log[2].To = consumer.Reviving }, 1,
			"checked so far    2 events, seq 1 to 2, of 1 run\n", `FILE:4 (seq 3): to is "Reviving", expected "Consuming"`},
		{"a derived field", func(log []fsm.Event) { log[3].InStateMS-- }, 1,
			"checked so far    3 events, seq 1 to 3, of 1 run\n", `FILE:5 (seq 4): in_state_ms is "1999", expected 2000`},
		{"the last is wrong", func(log []fsm.Event) { log[12].To = consumer.Reviving }, 1,
			"checked so far    12 events, seq 1 to 12, of 2 runs\n", `FILE:14 (seq 13): to is "Reviving", expected "Consuming"`},
		{"the first is wrong", func(log []fsm.Event) { log[0].From = "Connected" }, 1, "", `FILE:1 (seq 0): from is "Connected", expected "Disconnected"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPast(t, "orders").connect().idle(3).begin().connect()
			tt.change(p.log)
			dir := p.journal()
			segment := segmentsOf(t, dir)[0]
			if tt.want != "" {
				tt.want = "everhop: " + strings.ReplaceAll(tt.want, "FILE", segment) + "\n"
			}
			for _, path := range []string{dir, segment} {
				status, stdout, stderr := inProcess(t, "verify", path)
				if status != tt.status || !strings.HasPrefix(stdout, tt.so) || (stdout == "") != (tt.so == "") || stderr != tt.want {
					t.Errorf("exit status %d, stdout\n%sstderr\n%swant %d,\n%sand\n%s", status, stdout, stderr, tt.status, tt.so, tt.want)
				}
			}
		})
	}
}

func TestVerifyReport(t *testing.T) {
	const whole = `checked           13 events, seq 1 to 13, of 2 runs
machine           orders
time              2026-11-22 22:00:00 UTC to 2026-11-22 22:00:06 UTC
numbers           without a hole
transitions       each is in the table, and follows from those before
times in states   as the times of the events make them
last state        Consuming
`
	const rest = `checked           2 events, seq 12 to 13, of 1 run
machine           orders
time              2026-11-22 22:00:06 UTC to 2026-11-22 22:00:06 UTC
not checked       what is missing in 1 gap
numbers           without a hole
transitions       each is in the table, and follows from those before
table             some of it was written with another one, sha256:0, and obeys this one, TABLE, all the same
times in states   as the times of the events make them
last state        Consuming
`
	p := newPast(t, "orders").connect().idle(3).begin().connect()
	dir := p.segments(1)
	_, stdout, _ := inProcess(t, "verify", dir, "--utc")
	if diff := cmp.Diff(whole, stdout); diff != "" {
		t.Error(diff)
	}
	p.log[11].Kind, p.log[11].Table, p.log[11].Trigger, p.log[11].From = fsm.KindGap, "sha256:0", "", p.log[11].To
	rests := moved(t, t.TempDir(), segmentsOf(t, p.segments(1))[11:]...)
	_, stdout, stderr := inProcess(t, "verify", rests, "--utc")
	if diff := cmp.Diff(strings.ReplaceAll(rest, "TABLE", consumer.Lifecycle().Fingerprint()), stdout); diff != "" {
		t.Error(diff, stderr)
	}
}

// What is no journal, or damaged, is never right.
func TestVerifyDamage(t *testing.T) {
	p := newPast(t, "orders").connect().idle(3)
	damage := func(change func(text string) string) (dir, segment string) {
		dir = p.journal()
		segment = segmentsOf(t, dir)[0]
		if err := os.WriteFile(segment, []byte(change(readFile(t, segment))), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir, segment
	}
	torn, tornSegment := damage(func(text string) string { return text + `{"v":1` })
	holed, holedSegment := damage(func(text string) string {
		return strings.Join(slices.Delete(strings.SplitAfter(text, "\n"), 6, 7), "")
	})
	cleared, _ := damage(func(string) string { return "" })
	missing := p.segments(1)
	paths := segmentsOf(t, missing)
	if err := os.Remove(paths[4]); err != nil {
		t.Fatal(err)
	}
	none, log, empty := t.TempDir(), p.logFile(), newFile(t, "empty", "")
	notes := filepath.Dir(newFile(t, "notes.jsonl", p.lines()))
	const notRecord = ": not a journal, or damaged in its first line: the line is no record with a checksum\n"
	for _, tt := range []struct {
		name, path string
		told       bool
		want       string
	}{
		{"torn", torn, true, tornSegment + ":11 is damaged at byte "},
		{"a line is missing", holed, true, holedSegment + ":7 is damaged at byte "},
		{"a segment is missing", missing, true, paths[5] + ":1 is damaged at byte 0, after seq 4: records are missing before this one"},
		{"events without checksums", log, false, log + notRecord},
		{"a log", newFile(t, "pod.log", "hello\n"+p.lines()), false, notRecord},
		{"damage under another name", newFile(t, "copy", readFile(t, holedSegment)), true, "/copy:7 is damaged at byte "},
		{"one line", newFile(t, "x", "{}"), false, ": not a journal, or damaged in its first line: the line has no end\n"},
		{"an empty file", empty, false, empty + ": empty\n"},
		{"an empty segment", cleared, false, cleared + ": empty\n"},
		{"no segment", none, false, none + ": no journal in this directory\n"},
		{"a log in a directory", notes, false, notes + ": no journal in this directory\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := inProcess(t, "verify", tt.path)
			if status != 3 || strings.HasPrefix(stdout, "checked so far") != tt.told || !tt.told && stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit status %d, stdout\n%sstderr\n%swant 3 and\n%s", status, stdout, stderr, tt.want)
			}
		})
	}
}

// --repair is for what a crash has torn.
func TestVerifyRepairDamaged(t *testing.T) {
	dir := newPast(t, "orders").connect().journal()
	segment := segmentsOf(t, dir)[0]
	text := strings.Replace(readFile(t, segment), "Connected", "connected", 1)
	if err := os.WriteFile(segment, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := inProcess(t, "verify", "--repair", dir)
	if status != 3 || stdout != "" || !strings.HasPrefix(stderr, "everhop: --repair: "+segment+":4 is damaged") || readFile(t, segment) != text {
		t.Errorf("exit status %d, stdout %q, stderr %s", status, stdout, stderr)
	}
}

// Whichever byte of a journal is changed, verify tells.
func TestVerifyEveryByte(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s, and is skipped with -short")
	}
	dir := newPast(t, "orders").connect().idle(1).begin().segments(1000)
	segments := segmentsOf(t, dir)
	if len(segments) < 2 {
		t.Fatal("want several segments")
	}
	for _, path := range segments {
		text := readFile(t, path)
		for i := 0; i < len(text); i += stride {
			changed := []byte(text)
			changed[i] ^= 1 << (i % 8)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, verified := range []string{dir, path} {
				if status, _, stderr := inProcess(t, "verify", verified); status != 3 || stderr == "" {
					t.Fatalf("byte %d of %s is %q, not %q: exit status %d, %s", i, path, changed[i], text[i], status, stderr)
				}
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, stderr := inProcess(t, "verify", dir); status != 0 {
		t.Errorf("unchanged: exit status %d, %s", status, stderr)
	}
}

func TestVerifyErrors(t *testing.T) {
	folder := t.TempDir()
	no := filepath.Join(folder, "no")
	help := "; see 'everhop verify --help'"
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{no}, 1, "stat " + no + ": no such file or directory"},
		{[]string{no, "--repair"}, 1, "stat " + no + ": no such file or directory"},
		{[]string{folder, "--repair"}, 3, folder + ": no journal in this directory"},
		{nil, 2, "a FILE or a DIR is missing" + help},
		{[]string{""}, 2, "a FILE or a DIR is missing" + help},
		{[]string{"", "--repair"}, 2, "a FILE or a DIR is missing" + help},
		{[]string{"a", "b"}, 2, `unexpected argument "b"` + help},
		{[]string{"-"}, 2, "a journal is a file or a directory; a log cannot be verified" + help},
	} {
		if status, stdout, stderr := inProcess(t, append([]string{"verify"}, tt.args...)...); status != tt.status || stdout != "" || stderr != "everhop: "+tt.want+"\n" {
			t.Errorf("%q: exit status %d, stdout %q, stderr %q", tt.args, status, stdout, stderr)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("--repair has made %v, %v", entries, err)
	}
}
