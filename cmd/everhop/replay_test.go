package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/google/go-cmp/cmp"
)

// withInput runs everhop in this process, with something on standard input.
func withInput(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(stdin), &out, &err)
	return status, out.String(), err.String()
}

// tells expects the golden files for these arguments, of a journal, and of a log from standard input.
func tells(t *testing.T, p *past, tests map[string]string) {
	t.Helper()
	path, log := p.journal(), p.lines()
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"replay", path, "--utc"}, strings.Fields(args)...)
			status, stdout, stderr := inProcess(t, args...)
			if status != 0 || stderr != "" {
				t.Errorf("exit status %d, stderr %q", status, stderr)
			}
			golden.Assert(t, stdout, "replay/"+name+".txt")
			args[1] = "-"
			if _, piped, _ := withInput(t, log, args...); piped != stdout {
				t.Errorf("from standard input it is something else:\n%s", cmp.Diff(stdout, piped))
			}
		})
	}
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
	path := mixed.logFile()
	_, stdout, _ := inProcess(t, "replay", path, "--utc")
	golden.Assert(t, stdout, "replay/machines.txt")
	_, one, _ := inProcess(t, "replay", path, "--utc", "--machine", "mails")
	_, alone, _ := inProcess(t, "replay", b.logFile(), "--utc")
	if diff := cmp.Diff(alone, one); diff != "" {
		t.Error(diff)
	}
}

func TestReplayErrors(t *testing.T) {
	p := newPast(t, "orders").connect().idle(3)
	empty, foreign, log := newFile(t, "empty", ""), newFile(t, "foreign", "hello\n{}\n"), p.logFile()
	nothing, sound, damaged := t.TempDir(), p.journal(), p.journal()
	segment := segmentsOf(t, damaged)[0]
	text := strings.Replace(readFile(t, segment), "HeartbeatOK", "HeartbeatKO", 1)
	if err := os.WriteFile(segment, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	where := segment + ":6 is damaged at byte " + strconv.Itoa(strings.Index(text, `{"v":1,"kind":"transition","seq":5,`)) +
		", after seq 4: the checksum does not match: the line was changed, or a line before it was changed, removed or moved; " +
		"keep a copy, then move this file and the newer ones beside it out of the directory: what is before the damage can still be read"
	help := "; see 'everhop replay --help'"
	tests := []struct {
		name   string
		args   []string
		status int
		told   bool // something is, on standard output
		want   string
	}{
		{"no file", []string{nothing + "/no"}, 1, false, "stat " + nothing + "/no: no such file or directory"},
		{"empty", []string{empty}, 1, false, empty + ": empty"},
		{"empty, relative time", []string{empty, "--at", "03:14"}, 1, false, empty + ": empty"},
		{"no journal", []string{foreign}, 1, false, foreign + ": neither a journal nor a log of Everhop: no event in 2 lines; is the log's format json?"},
		{"nothing on standard input", []string{"-"}, 1, false, "standard input: empty"},
		{"nothing on standard input, relative time", []string{"-", "--since", "2h"}, 1, false, "standard input: empty"},
		{"folder without a journal", []string{nothing}, 1, false, nothing + ": no journal in this directory"},
		{"folder without a journal, followed", []string{nothing, "--follow"}, 1, false, nothing + ": no journal in this directory"},
		{"damaged", []string{damaged}, 3, true, where},
		{"damaged, relative time", []string{damaged, "--since", "1h"}, 3, true, where},
		{"damaged file", []string{segment}, 3, true, where},
		{"another machine", []string{sound, "--machine", "x"}, 1, false, sound + `: nothing of machine "x"; there is: orders`},
		{"nothing since", []string{sound, "--utc", "--since", "2027-01-01 00:00"}, 1, false, "nothing since 2027-01-01 00:00:00 UTC: the log ends at 2026-11-22 22:00:06 UTC"},
		{"the wrong way round", []string{sound, "--utc", "--since", "22:00:05", "--until", "2026-11-22 22:00:04"}, 1, false, "--since 2026-11-22T22:00:05Z is after --until 2026-11-22T22:00:04Z"},
		{"nothing until", []string{sound, "--utc", "--until", "2026-11-22 00:00"}, 1, false, "nothing until 2026-11-22 00:00:00 UTC: the log begins at 2026-11-22 22:00:00 UTC"},
		{"nothing until, in a log", []string{log, "--utc", "--until", "2026-11-22 00:00"}, 1, false, "nothing until 2026-11-22 00:00:00 UTC: the log begins at 2026-11-22 22:00:00 UTC"},
		{"no path", []string{""}, 2, false, "a FILE, a DIR or - is missing" + help},
		{"follow a segment", []string{segment, "--follow"}, 2, false, "--follow: " + segment + " is one segment of a journal, which goes on in others; follow its directory, " + damaged + help},
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
