package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVerify(t *testing.T) {
	sound := newPast(t, "orders").connect().idle(3).begin().connect().lines()
	folder := t.TempDir()
	lines := strings.SplitAfter(sound, "\n")
	help := "; see 'everhop verify --help'"
	tests := []struct {
		name   string
		text   string
		status int
		so     string // checked so far
		want   string
	}{
		{"sound", sound, 0, "checked           13 events, seq 1 to 13, of 2 runs\n", ""},
		{"another state", strings.Replace(sound, `"from":"HeartbeatCheck","to":"Consuming"`, `"from":"Reviving","to":"Consuming"`, 1), 1,
			"checked so far    4 events, seq 1 to 4, of 1 run\n", `FILE:5 (seq 5): from is "Reviving", expected "HeartbeatCheck"`},
		{"a trigger that is not permitted", strings.Replace(sound, `"trigger":"HeartbeatOK"`, `"trigger":"Revived"`, 1), 1,
			"checked so far    4 events, seq 1 to 4, of 1 run\n",
			`FILE:5 (seq 5): trigger is "Revived", expected one of: HeartbeatOK, HeartbeatFailed, ConnectionError, ChannelError, Stop, ProcessRestarted`},
		{"a trigger that leads elsewhere", strings.Replace(sound, `"to":"Consuming","trigger":"Connected"`, `"to":"Reviving","trigger":"Connected"`, 1), 1,
			"checked so far    2 events, seq 1 to 2, of 1 run\n", `FILE:3 (seq 3): to is "Reviving", expected "Consuming"`},
		{"a derived field", strings.Replace(sound, `"in_state_ms":2000`, `"in_state_ms":1999`, 1), 1,
			"checked so far    3 events, seq 1 to 3, of 1 run\n", `FILE:4 (seq 4): in_state_ms is "1999", expected 2000`},
		{"a line is missing", strings.Join(append(append([]string{}, lines[:6]...), lines[7:]...), ""), 1,
			"checked so far    6 events, seq 1 to 6, of 1 run\n", `FILE:7 (seq 8): seq is "8", expected 7`},
		{"the first is wrong", strings.Replace(sound, `"from":"Disconnected"`, `"from":"Connected"`, 1), 1, "", `FILE:1 (seq 1): from is "Connected", expected "Disconnected"`},
		{"torn", sound + `{"v":1`, 3, "checked so far    13 events, seq 1 to 13, of 2 runs\n", "FILE:14: the journal is damaged: not an event"},
		{"no journal", "hello\n", 3, "", "FILE: neither a journal nor a log of Everhop: no event in 1 lines; is the log's format json?"},
		{"empty", "", 3, "", "FILE: empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(folder, "journal.jsonl")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.want != "" {
				tt.want = "everhop: " + strings.ReplaceAll(tt.want, "FILE", path) + "\n"
			}
			for _, place := range []string{path, folder} {
				status, stdout, stderr := inProcess(t, "verify", place)
				if place == folder {
					stderr = strings.ReplaceAll(stderr, folder+": ", path+": ")
				}
				if status != tt.status || !strings.HasPrefix(stdout, tt.so) || (stdout == "") != (tt.so == "") || stderr != tt.want {
					t.Errorf("exit status %d, stdout\n%sstderr\n%swant %d,\n%sand\n%s", status, stdout, stderr, tt.status, tt.so, tt.want)
				}
			}
		})
	}
	t.Run("report", func(t *testing.T) {
		const want = `checked           13 events, seq 1 to 13, of 2 runs
machine           orders
time              2026-11-22 22:00:00 UTC to 2026-11-22 22:00:06 UTC
numbers           without a hole
transitions       each is in the table, and follows from those before
times in states   as the times of the events make them
last state        Consuming
`
		path := filepath.Join(folder, "journal.jsonl")
		if err := os.WriteFile(path, []byte(sound), 0o600); err != nil {
			t.Fatal(err)
		}
		_, stdout, _ := inProcess(t, "verify", path, "--utc")
		if diff := cmp.Diff(want, stdout); diff != "" {
			t.Error(diff)
		}
	})
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{filepath.Join(folder, "no")}, 1, "stat " + filepath.Join(folder, "no") + ": no such file or directory"},
		{nil, 2, "a FILE or a DIR is missing" + help},
		{[]string{"a", "b"}, 2, `unexpected argument "b"` + help},
		{[]string{"-"}, 2, "a journal is a file or a directory; a log cannot be verified" + help},
	} {
		if status, stdout, stderr := inProcess(t, append([]string{"verify"}, tt.args...)...); status != tt.status || stdout != "" || stderr != "everhop: "+tt.want+"\n" {
			t.Errorf("%q: exit status %d, stdout %q, stderr %q", tt.args, status, stdout, stderr)
		}
	}
}
