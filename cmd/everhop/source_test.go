package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory is a journal whatever its name is and whatever else is in it; a file is one if it is a segment,
// under any name.
func TestSourceOfJournal(t *testing.T) {
	p := outage(t)
	_, want, _ := inProcess(t, "replay", p.journal())
	tests := map[string]string{"several segments": p.segments(1000), "one": segmentsOf(t, p.journal())[0]}

	for _, name := range []string{"[a-", "*", "?", "a b", `b\`, "x.jsonl"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		tests["in "+name] = moved(t, dir, segmentsOf(t, p.segments(1000))...)
	}
	stray := p.segments(1000)
	for _, name := range []string{"notes.jsonl", "00000000000000000000.jsonl.torn", "0.jsonl", "99999999999999999999x.jsonl"} {
		if err := os.WriteFile(filepath.Join(stray, name), []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests["beside other files"] = stray
	tests["under another name"] = newFile(t, "copy.txt", readFile(t, segmentsOf(t, p.journal())[0]))

	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			if status, got, stderr := inProcess(t, "replay", path); status != 0 || got != want || stderr != "" {
				t.Errorf("replay: exit status %d, %s\n%s", status, stderr, got)
			}
			if status, _, stderr := inProcess(t, "verify", path); status != 0 {
				t.Errorf("verify: exit status %d, %s", status, stderr)
			}
		})
	}
}

// What is damaged is so however the journal is read, unless it is a log by its looks.
func TestSourceDamaged(t *testing.T) {
	p := outage(t)
	text := readFile(t, segmentsOf(t, p.journal())[0])
	lines := strings.SplitAfter(text, "\n")
	changed := strings.Replace(text, `"seq":5`, `"seq":6`, 1)
	for name, tt := range map[string]struct {
		file, text string
		status     int
		want       string // in what is told, or in the error
	}{
		"segment":                        {"00000000000000000001.jsonl", changed, 3, "FILE:6 is damaged"},
		"segment, first line":            {"00000000000000000001.jsonl", "x" + text, 3, "FILE:1 is damaged"},
		"segment without its beginning":  {"00000000000000000001.jsonl", strings.Join(lines[1:], ""), 3, "FILE:1 is damaged"},
		"copy":                           {"copy", changed, 3, "FILE:6 is damaged"},
		"copy without its beginning":     {"copy", strings.Join(lines[1:], ""), 3, "FILE:1 is damaged"},
		"copy behind something else":     {"copy", "hello\n" + changed, 0, "events            9, 1 repeated, not counted"},
		"torn":                           {"00000000000000000001.jsonl", text + `{"v":1`, 0, "Summary of orders"},
		"only torn":                      {"00000000000000000001.jsonl", `{"v":1`, 1, "FILE: empty"},
		"log with a journal's extension": {"orders.jsonl", "hello\n" + p.lines(), 0, "Summary of orders"},
		"event longer than any":          {"log", p.lines() + `{"x":"` + strings.Repeat("x", longestEvent) + `",` + strings.SplitAfter(p.lines(), "\n")[0][1:], 0, "events            10\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := newFile(t, tt.file, tt.text)
			status, stdout, stderr := inProcess(t, "replay", path)
			if status != tt.status || !strings.Contains(stdout+stderr, strings.ReplaceAll(tt.want, "FILE", path)) {
				t.Errorf("exit status %d, want %d; no %q in\n%s%s", status, tt.status, tt.want, stdout, stderr)
			}
		})
	}
}
