package past

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// A directory is a journal whatever its name is and whatever else is in it; a file is one if it is a segment,
// under any name.
func TestSourceOfJournal(t *testing.T) {
	p := pasttest.Outage(t)
	want, _ := tell(t, p.Journal())
	tests := map[string]string{"several segments": p.Segments(1000), "one": pasttest.SegmentsOf(t, p.Journal())[0]}

	for _, name := range []string{"[a-", "*", "?", "a b", `b\`, "x.jsonl"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		tests["in "+name] = moved(t, dir, pasttest.SegmentsOf(t, p.Segments(1000))...)
	}
	stray := p.Segments(1000)
	for _, name := range []string{"notes.jsonl", "00000000000000000000.jsonl.torn", "0.jsonl", "99999999999999999999x.jsonl"} {
		if err := os.WriteFile(filepath.Join(stray, name), []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests["beside other files"] = stray
	tests["under another name"] = pasttest.NewFile(t, "copy.txt", pasttest.ReadFile(t, pasttest.SegmentsOf(t, p.Journal())[0]))

	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := tell(t, path); err != nil || got != want {
				t.Errorf("replay: %v\n%s", err, got)
			}
			if _, err := verified(t, path); err != nil {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

// What is damaged is so however the journal is read, unless it is a log by its looks.
func TestSourceDamaged(t *testing.T) {
	p := pasttest.Outage(t)
	text := pasttest.ReadFile(t, pasttest.SegmentsOf(t, p.Journal())[0])
	lines := strings.SplitAfter(text, "\n")
	changed := strings.Replace(text, `"seq":5`, `"seq":6`, 1)
	for name, tt := range map[string]struct {
		file, text string
		kind       string // of the error
		want       string // in what is told, or in the error
	}{
		"segment":                        {"00000000000000000001.jsonl", changed, "damaged", "FILE:6 is damaged"},
		"segment, first line":            {"00000000000000000001.jsonl", "x" + text, "damaged", "FILE:1 is damaged"},
		"segment without its beginning":  {"00000000000000000001.jsonl", strings.Join(lines[1:], ""), "damaged", "FILE:1 is damaged"},
		"copy":                           {"copy", changed, "damaged", "FILE:6 is damaged"},
		"copy without its beginning":     {"copy", strings.Join(lines[1:], ""), "damaged", "FILE:1 is damaged"},
		"copy behind something else":     {"copy", "hello\n" + changed, "", "events            9, 1 repeated, not counted"},
		"torn":                           {"00000000000000000001.jsonl", text + `{"v":1`, "", "Summary of orders"},
		"only torn":                      {"00000000000000000001.jsonl", `{"v":1`, "failed", "FILE: empty"},
		"log with a journal's extension": {"orders.jsonl", "hello\n" + p.Lines(), "", "Summary of orders"},
		"event longer than any":          {"log", p.Lines() + `{"x":"` + strings.Repeat("x", longestEvent) + `",` + strings.SplitAfter(p.Lines(), "\n")[0][1:], "", "events            10\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := pasttest.NewFile(t, tt.file, tt.text)
			told, err := tell(t, path)
			if errKind(err) != tt.kind || !strings.Contains(told+said(err), strings.ReplaceAll(tt.want, "FILE", path)) {
				t.Errorf("%v, want %s; no %q in\n%s", err, tt.kind, tt.want, told)
			}
		})
	}
}
