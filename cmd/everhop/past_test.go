package main

import (
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// What is wrong with a command line about the past, or with the past.
func TestPastErrors(t *testing.T) {
	sound := pasttest.New(t, "orders").Connect().Idle(3).Journal()
	damaged := pasttest.New(t, "orders").Connect().Idle(3).Journal()
	segment := pasttest.SegmentsOf(t, damaged)[0]
	pasttest.Change(t, segment, "HeartbeatOK", "HeartbeatKO")
	no := t.TempDir() + "/no"
	times := `expected a time such as 2026-11-22T03:14:00Z, "2026-11-22 03:14", 03:14 or 2h (before the log's end)`
	tests := []struct {
		args   []string
		status int
		told   bool // something is, on standard output
		want   string
	}{
		{[]string{"replay", ""}, 2, false, "a FILE, a DIR or - is missing"},
		{[]string{"replay"}, 2, false, "a FILE, a DIR or - is missing"},
		{[]string{"replay", sound, "x"}, 2, false, `unexpected argument "x"`},
		{[]string{"replay", segment, "--follow"}, 2, false, "--follow: " + segment + " is one segment of a journal, which goes on in others; follow its directory, " + damaged},
		{[]string{"replay", "-", "--follow"}, 2, false, "--follow: standard input is followed anyway"},
		{[]string{"replay", sound, "--at", "1h", "--since", "1h"}, 2, false, "--at and --since: only one of them"},
		{[]string{"replay", sound, "--summary", "--no-summary"}, 2, false, "--summary and --no-summary: only one of them"},
		{[]string{"replay", sound, "--at", "noon"}, 2, false, `--at: "noon": ` + times},
		{[]string{"replay", sound, "--since=-2h"}, 2, false, `--since: "-2h": ` + times},
		{[]string{"replay", no}, 1, false, "stat " + no + ": no such file or directory\n"},
		{[]string{"replay", sound, "--machine", "x"}, 1, false, sound + `: nothing of machine "x"; there is: orders` + "\n"},
		{[]string{"replay", damaged}, 3, true, segment + ":6 is damaged at byte "},

		{[]string{"verify"}, 2, false, "a FILE or a DIR is missing"},
		{[]string{"verify", ""}, 2, false, "a FILE or a DIR is missing"},
		{[]string{"verify", "", "--repair"}, 2, false, "a FILE or a DIR is missing"},
		{[]string{"verify", "a", "b"}, 2, false, `unexpected argument "b"`},
		{[]string{"verify", "-"}, 2, false, "a journal is a file or a directory; a log cannot be verified"},
		{[]string{"verify", no}, 1, false, "stat " + no + ": no such file or directory\n"},
		{[]string{"verify", no, "--repair"}, 1, false, "stat " + no + ": no such file or directory\n"},
		{[]string{"verify", damaged}, 3, true, segment + ":6 is damaged at byte "},
		{[]string{"verify", damaged, "--repair"}, 3, false, "--repair: " + segment + ":6 is damaged at byte "},

		{[]string{"graph", "--journal="}, 2, false, "--journal: empty"},
		{[]string{"graph", "--journal=", "--machine", "x"}, 2, false, "--journal: empty"},
		{[]string{"graph", "--journal=", "--format", "markdown"}, 2, false, "--journal: empty"},
		{[]string{"graph", "--publisher", "--journal", sound}, 2, false, "--publisher: with --journal, that says whose it is"},
		{[]string{"graph", "--machine", "x"}, 2, false, "--machine: only with --journal"},
		{[]string{"graph", "--machine="}, 2, false, "--machine: only with --journal"},
		{[]string{"graph", "--journal", no}, 1, false, "stat " + no + ": no such file or directory\n"},
		{[]string{"graph", "--journal", sound, "--machine="}, 1, false, sound + `: nothing of machine ""; there is: orders` + "\n"},
		{[]string{"graph", "--journal", damaged}, 3, false, segment + ":6 is damaged at byte "},
	}
	for _, tt := range tests {
		if tt.status == 2 {
			tt.want += "; see 'everhop " + tt.args[0] + " --help'\n"
		}
		status, stdout, stderr := inProcess(t, tt.args...)
		if status != tt.status || (stdout != "") != tt.told || !strings.HasPrefix(stderr, "everhop: "+tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit status %d, stdout %q, stderr\n%swant %d and\neverhop: %s", tt.args, status, stdout, stderr, tt.status, tt.want)
		}
	}
}

// In the local zone, unless --utc says otherwise.
func TestReplayZone(t *testing.T) {
	before := time.Local
	defer func() { time.Local = before }()
	time.Local = time.FixedZone("EST", -5*3600)
	path := pasttest.Outage(t).Journal()
	for flags, want := range map[string]string{"--summary": "2026-11-22 17:00:00 EST", "--summary --utc": "2026-11-22 22:00:00 UTC"} {
		args := append([]string{"replay", path}, strings.Fields(flags)...)
		if _, stdout, stderr := inProcess(t, args...); !strings.Contains(stdout, want) {
			t.Errorf("%s: no %q in\n%s%s", flags, want, stdout, stderr)
		}
	}
}
