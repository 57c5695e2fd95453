package past

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// tells expects the golden files for these arguments, of a journal, and of a log from standard input.
func tells(t *testing.T, p *pasttest.Log, tests map[string]string) {
	t.Helper()
	path, log := p.Journal(), p.Lines()
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{path}, strings.Fields(args)...)
			told, err := tell(t, args...)
			if err != nil {
				t.Error(err)
			}
			golden.Assert(t, told, name+".txt")
			args[0] = "-"
			if piped, _ := tellOf(t, strings.NewReader(log), args...); piped != told {
				t.Errorf("from standard input it is something else:\n%s", cmp.Diff(told, piped))
			}
		})
	}
}

func TestReplayMachines(t *testing.T) {
	a, b := pasttest.New(t, "orders").Connect().Idle(3), pasttest.New(t, "mails").Connect().Idle(2)
	mixed := &pasttest.Log{T: t}
	for i := range 9 {
		mixed.Events = append(mixed.Events, a.Events[i:min(i+1, len(a.Events))]...)
		if i < len(b.Events) {
			mixed.Events = append(mixed.Events, b.Events[i])
		}
	}
	path := mixed.File()
	told, _ := tell(t, path)
	golden.Assert(t, told, "machines.txt")
	one, _ := tell(t, path, "--machine", "mails")
	alone, _ := tell(t, b.File())
	if diff := cmp.Diff(alone, one); diff != "" {
		t.Error(diff)
	}
}

func TestReplayErrors(t *testing.T) {
	p := pasttest.New(t, "orders").Connect().Idle(3)
	empty, foreign, log := pasttest.NewFile(t, "empty", ""), pasttest.NewFile(t, "foreign", "hello\n{}\n"), p.File()
	nothing, sound, damaged := t.TempDir(), p.Journal(), p.Journal()
	segment := pasttest.SegmentsOf(t, damaged)[0]
	text := strings.Replace(pasttest.ReadFile(t, segment), "HeartbeatOK", "HeartbeatKO", 1)
	if err := os.WriteFile(segment, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	where := segment + ":6 is damaged at byte " + strconv.Itoa(strings.Index(text, `{"v":1,"kind":"transition","seq":5,`)) +
		", after seq 4: the checksum does not match: the line was changed, or a line before it was changed, removed or moved; " +
		"keep a copy, then move this file and the newer ones beside it out of the directory: what is before the damage can still be read"
	tests := []struct {
		name string
		args []string
		kind string // of the error
		told bool   // something is
		want string
	}{
		{"no file", []string{nothing + "/no"}, "failed", false, "stat " + nothing + "/no: no such file or directory"},
		{"empty", []string{empty}, "failed", false, empty + ": empty"},
		{"empty, relative time", []string{empty, "--at", "03:14"}, "failed", false, empty + ": empty"},
		{"no journal", []string{foreign}, "failed", false, foreign + ": neither a journal nor a log of Everhop: no event in 2 lines; is the log's format json?"},
		{"nothing on standard input", []string{"-"}, "failed", false, "standard input: empty"},
		{"nothing on standard input, relative time", []string{"-", "--since", "2h"}, "failed", false, "standard input: empty"},
		{"folder without a journal", []string{nothing}, "failed", false, nothing + ": no journal in this directory"},
		{"folder without a journal, followed", []string{nothing, "--follow"}, "failed", false, nothing + ": no journal in this directory"},
		{"damaged", []string{damaged}, "damaged", true, where},
		{"damaged, relative time", []string{damaged, "--since", "1h"}, "damaged", true, where},
		{"damaged file", []string{segment}, "damaged", true, where},
		{"another machine", []string{sound, "--machine", "x"}, "failed", false, sound + `: nothing of machine "x"; there is: orders`},
		{"nothing since", []string{sound, "--utc", "--since", "2027-01-01 00:00"}, "failed", false, "nothing since 2027-01-01 00:00:00 UTC: the log ends at 2026-11-22 22:00:06 UTC"},
		{"the wrong way round", []string{sound, "--utc", "--since", "22:00:05", "--until", "2026-11-22 22:00:04"}, "failed", false, "--since 2026-11-22T22:00:05Z is after --until 2026-11-22T22:00:04Z"},
		{"nothing until", []string{sound, "--utc", "--until", "2026-11-22 00:00"}, "failed", false, "nothing until 2026-11-22 00:00:00 UTC: the log begins at 2026-11-22 22:00:00 UTC"},
		{"nothing until, in a log", []string{log, "--utc", "--until", "2026-11-22 00:00"}, "failed", false, "nothing until 2026-11-22 00:00:00 UTC: the log begins at 2026-11-22 22:00:00 UTC"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			told, err := tellOf(t, strings.NewReader(""), tt.args...)
			if errKind(err) != tt.kind || (told != "") != tt.told || said(err) != tt.want {
				t.Errorf("%v, told %q; want %s, %s", err, told, tt.kind, tt.want)
			}
		})
	}
}
