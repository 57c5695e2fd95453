package past

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// verified is what is told of a journal, and the error.
func verified(t testing.TB, path string) (told string, err error) {
	t.Helper()
	var out strings.Builder
	err = Verify(path, term.To(&out), time.UTC)
	return out.String(), err
}

// Every checksum is right here: what is wrong is what the events say.
func TestVerify(t *testing.T) {
	tests := []struct {
		name   string
		change func(log []fsm.Event)
		kind   string // of the error
		so     string // checked so far
		want   string
	}{
		{"sound", func([]fsm.Event) {}, "", "checked           13 events, seq 1 to 13, of 2 runs\n", ""},
		{"another state", func(log []fsm.Event) { log[4].From = consumer.Reviving }, "failed",
			"checked so far    4 events, seq 1 to 4, of 1 run\n", `FILE:6 (seq 5): from is "Reviving", expected "HeartbeatCheck"`},
		{"a trigger that is not permitted", func(log []fsm.Event) { log[4].Trigger = consumer.Revived }, "failed",
			"checked so far    4 events, seq 1 to 4, of 1 run\n",
			`FILE:6 (seq 5): trigger is "Revived", expected one of: HeartbeatOK, HeartbeatFailed, ConnectionError, ChannelError, Stop, ProcessRestarted`},
		{"a trigger that leads elsewhere", func(log []fsm.Event) { log[2].To = consumer.Reviving }, "failed",
			"checked so far    2 events, seq 1 to 2, of 1 run\n", `FILE:4 (seq 3): to is "Reviving", expected "Consuming"`},
		{"a derived field", func(log []fsm.Event) { log[3].InStateMS-- }, "failed",
			"checked so far    3 events, seq 1 to 3, of 1 run\n", `FILE:5 (seq 4): in_state_ms is "1999", expected 2000`},
		{"the last is wrong", func(log []fsm.Event) { log[12].To = consumer.Reviving }, "failed",
			"checked so far    12 events, seq 1 to 12, of 2 runs\n", `FILE:14 (seq 13): to is "Reviving", expected "Consuming"`},
		{"the first is wrong", func(log []fsm.Event) { log[0].From = "Connected" }, "failed", "", `FILE:1 (seq 0): from is "Connected", expected "Disconnected"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := pasttest.New(t, "orders").Connect().Idle(3).Begin().Connect()
			tt.change(p.Events)
			dir := p.Journal()
			segment := pasttest.SegmentsOf(t, dir)[0]
			if tt.want != "" {
				tt.want = strings.ReplaceAll(tt.want, "FILE", segment)
			}
			for _, path := range []string{dir, segment} {
				told, err := verified(t, path)
				if errKind(err) != tt.kind || !strings.HasPrefix(told, tt.so) || (told == "") != (tt.so == "") || said(err) != tt.want {
					t.Errorf("%v, told\n%s\nwant %s,\n%sand\n%s", err, told, tt.kind, tt.so, tt.want)
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
transitions       each is in the table of a consumer, and follows from those before
times in states   as the times of the events make them
last state        Consuming
`
	const rest = `checked           2 events, seq 12 to 13, of 1 run
machine           orders
time              2026-11-22 22:00:06 UTC to 2026-11-22 22:00:06 UTC
not checked       what is missing in 1 gap
numbers           without a hole
transitions       each is in the table of a consumer, and follows from those before
table             some of it was written with another one, sha256:0, and obeys this one, TABLE, all the same
times in states   as the times of the events make them
last state        Consuming
`
	p := pasttest.New(t, "orders").Connect().Idle(3).Begin().Connect()
	dir := p.Segments(1)
	told, _ := verified(t, dir)
	if diff := cmp.Diff(whole, told); diff != "" {
		t.Error(diff)
	}
	p.Events[11].Kind, p.Events[11].Table, p.Events[11].Trigger, p.Events[11].From = fsm.KindGap, "sha256:0", "", p.Events[11].To
	rests := moved(t, t.TempDir(), pasttest.SegmentsOf(t, p.Segments(1))[11:]...)
	told, err := verified(t, rests)
	if diff := cmp.Diff(strings.ReplaceAll(rest, "TABLE", consumer.Lifecycle().Fingerprint()), told); diff != "" {
		t.Error(diff, err)
	}
}

// What is no journal, or damaged, is never right.
func TestVerifyDamage(t *testing.T) {
	p := pasttest.New(t, "orders").Connect().Idle(3)
	damage := func(change func(text string) string) (dir, segment string) {
		dir = p.Journal()
		segment = pasttest.SegmentsOf(t, dir)[0]
		if err := os.WriteFile(segment, []byte(change(pasttest.ReadFile(t, segment))), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir, segment
	}
	torn, tornSegment := damage(func(text string) string { return text + `{"v":1` })
	holed, holedSegment := damage(func(text string) string {
		return strings.Join(slices.Delete(strings.SplitAfter(text, "\n"), 6, 7), "")
	})
	cleared, _ := damage(func(string) string { return "" })
	missing := p.Segments(1)
	paths := pasttest.SegmentsOf(t, missing)
	if err := os.Remove(paths[4]); err != nil {
		t.Fatal(err)
	}
	none, log, empty := t.TempDir(), p.File(), pasttest.NewFile(t, "empty", "")
	notes := filepath.Dir(pasttest.NewFile(t, "notes.jsonl", p.Lines()))
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
		{"a log", pasttest.NewFile(t, "pod.log", "hello\n"+p.Lines()), false, notRecord},
		{"damage under another name", pasttest.NewFile(t, "copy", pasttest.ReadFile(t, holedSegment)), true, "/copy:7 is damaged at byte "},
		{"one line", pasttest.NewFile(t, "x", "{}"), false, ": not a journal, or damaged in its first line: the line has no end\n"},
		{"an empty file", empty, false, empty + ": empty\n"},
		{"an empty segment", cleared, false, cleared + ": empty\n"},
		{"no segment", none, false, none + ": no journal in this directory\n"},
		{"a log in a directory", notes, false, notes + ": no journal in this directory\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told, err := verified(t, tt.path)
			if errKind(err) != "damaged" || strings.HasPrefix(told, "checked so far") != tt.told || !tt.told && told != "" || !strings.Contains(said(err)+"\n", tt.want) {
				t.Errorf("%v, told\n%s\nwant\n%s", err, told, tt.want)
			}
		})
	}
}

// --repair is for what a crash has torn.
func TestVerifyRepairDamaged(t *testing.T) {
	dir := pasttest.New(t, "orders").Connect().Journal()
	segment := pasttest.SegmentsOf(t, dir)[0]
	text := strings.Replace(pasttest.ReadFile(t, segment), "Connected", "connected", 1)
	if err := os.WriteFile(segment, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := Repair(dir)
	if errKind(err) != "damaged" || done != "" || !strings.HasPrefix(said(err), "--repair: "+segment+":4 is damaged") || pasttest.ReadFile(t, segment) != text {
		t.Errorf("%v; it says it has done %q", err, done)
	}
}

// Whichever byte of a journal is changed, verify tells.
func TestVerifyEveryByte(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s, and is skipped with -short")
	}
	dir := pasttest.New(t, "orders").Connect().Idle(1).Begin().Segments(1000)
	segments := pasttest.SegmentsOf(t, dir)
	if len(segments) < 2 {
		t.Fatal("want several segments")
	}
	for _, path := range segments {
		text := pasttest.ReadFile(t, path)
		for i := 0; i < len(text); i += stride {
			changed := []byte(text)
			changed[i] ^= 1 << (i % 8)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, whole := range []string{dir, path} {
				if _, err := verified(t, whole); errKind(err) != "damaged" {
					t.Fatalf("byte %d of %s is %q, not %q: %v", i, path, changed[i], text[i], err)
				}
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := verified(t, dir); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// What is not there is neither damaged nor made.
func TestVerifyNothing(t *testing.T) {
	folder := t.TempDir()
	no := filepath.Join(folder, "no")
	if _, err := verified(t, no); errKind(err) != "failed" || said(err) != "stat "+no+": no such file or directory" {
		t.Error(err)
	}
	if _, err := Repair(no); errKind(err) != "failed" {
		t.Error(err)
	}
	if _, err := Repair(folder); errKind(err) != "damaged" || said(err) != folder+": no journal in this directory" {
		t.Error(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("--repair has made %v, %v", entries, err)
	}
}
