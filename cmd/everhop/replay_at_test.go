package main

import (
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func TestReplayAt(t *testing.T) {
	tells(t, night(t), map[string]string{
		"at-consuming": "--at 2026-11-22T22:30:00Z",
		"at-reviving":  "--at 01:30",
		"at-crashed":   "--at 2026-11-22T23:41:00Z",
		"at-before":    "--at 2026-11-22T21:00:00Z",
		"at-after":     "--at 2026-11-24T21:00:00Z",
	})
}

// In a local zone, times are shown and read in it.
func TestReplayZone(t *testing.T) {
	before := time.Local
	defer func() { time.Local = before }()
	time.Local = time.FixedZone("EST", -5*3600)
	_, stdout, _ := inProcess(t, "replay", night(t).journal(), "--at", "2026-11-22 17:30")
	for _, want := range []string{"2026-11-22 17:30:00 EST", "Consuming"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

// A snapshot repeats what was: it is neither the last event nor the next one.
func TestReplayAtSnapshots(t *testing.T) {
	p := newPast(t, "orders").connect().idle(2)
	p.fire(time.Second, consumer.ConnectionError, fsm.Evidence{Class: "network"})
	p.fire(time.Second, consumer.Revived, fsm.Evidence{Attempt: 1}).idle(1)
	segments := segmentsOf(t, p.segments(1)) // one for each event
	folder := t.TempDir()
	for _, tt := range []struct {
		name       string
		journal    string
		at         string
		want, json []string
	}{
		{"in the middle", p.segments(1), "2026-11-22T22:00:05.5Z",
			[]string{
				"state             Reviving", "since             2026-11-22 22:00:05 UTC, 478 ms before",
				"last event        22:00:05.022, 478 ms before; Consuming -> Reviving: ConnectionError; network",
				"next event        22:00:06.022, 522 ms later; Reviving -> Consuming: Revived #1",
			},
			[]string{`"state":"Reviving"`, `"last":{"v":1,"kind":"transition","seq":8,`, `"next":{"v":1,"kind":"transition","seq":9,`},
		},
		{"behind the first line", moved(t, folder, segments[8:]...), "2026-11-22T22:00:05.5Z",
			[]string{
				"state             Reviving", "last event        not in the log, which begins at 2026-11-22 22:00:05 UTC\n",
				"next event        22:00:06.022, 522 ms later; Reviving -> Consuming: Revived #1",
			},
			[]string{`"state":"Reviving"`, `"last":null`, `"next":{"v":1,"kind":"transition","seq":9,`},
		},
		{"before the first line", folder, "2026-11-22T22:00:05Z",
			[]string{"state             not known: the log begins at 2026-11-22 22:00:05 UTC\n"},
			[]string{`"state":null`, `"last":null`, `"next":{"v":1,"kind":"transition","seq":9,`},
		},
		{"at the end", folder, "2026-11-22T23:00:00Z",
			[]string{"last event        22:00:08.023, 59m 52s before; HeartbeatCheck -> Consuming: HeartbeatOK", "next event        none"},
			[]string{`"last":{"v":1,"kind":"transition","seq":11,`, `"next":null`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for flag, want := range map[string][]string{"--utc": tt.want, "--json": tt.json} {
				status, stdout, stderr := inProcess(t, "replay", tt.journal, flag, "--at", tt.at)
				for _, want := range want {
					if !strings.Contains(stdout, want) || status != 0 || stderr != "" {
						t.Errorf("exit status %d, no %q in\n%s%s", status, want, stdout, stderr)
					}
				}
			}
		})
	}
}
