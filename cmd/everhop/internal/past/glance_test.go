package past

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
)

func TestReplayAt(t *testing.T) {
	tells(t, pasttest.Night(t), map[string]string{
		"at-consuming": "--at 2026-11-22T22:30:00Z",
		"at-reviving":  "--at 01:30",
		"at-crashed":   "--at 2026-11-22T23:41:00Z",
		"at-before":    "--at 2026-11-22T21:00:00Z",
		"at-after":     "--at 2026-11-24T21:00:00Z",
	})
}

// In a local zone, times are shown and read in it.
func TestReplayZone(t *testing.T) {
	r := ask(t, nil, pasttest.Night(t).Journal(), "--at", "2026-11-22 17:30")
	r.Zone = time.FixedZone("EST", -5*3600)
	var out strings.Builder
	if err := r.Tell(t.Context(), term.To(&out)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-11-22 17:30:00 EST", "Consuming"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// A snapshot repeats what was: it is neither the last event nor the next one.
func TestReplayAtSnapshots(t *testing.T) {
	p := pasttest.New(t, "orders").Connect().Idle(2)
	p.Fire(time.Second, consumer.ConnectionError, consumer.Evidence{Class: "network"})
	p.Fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 1}).Idle(1)
	segments := pasttest.SegmentsOf(t, p.Segments(1)) // one for each event
	folder := t.TempDir()
	for _, tt := range []struct {
		name       string
		journal    string
		at         string
		want, json []string
	}{
		{"in the middle", p.Segments(1), "2026-11-22T22:00:05.5Z",
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
				told, err := tell(t, tt.journal, flag, "--at", tt.at)
				for _, want := range want {
					if !strings.Contains(told, want) || err != nil {
						t.Errorf("%v; no %q in\n%s", err, want, told)
					}
				}
			}
		})
	}
}

func TestReplayWhenTheClockWasSetBack(t *testing.T) {
	p := setBackOnce(t)
	again := setBackOnce(t)
	for i := range again.Events[6:] {
		again.Events[6+i].Time = again.Events[6+i].Time.Add(-15 * time.Minute)
	}
	const clock = "clock             set back by 1h before 2026-11-22 11:10:30 UTC: times may be in the log twice; "
	for _, tt := range []struct {
		name string
		log  *pasttest.Log
		args string
		want []string
	}{
		{"within what came after", p, "--at 2026-11-22T11:15:00Z", []string{
			clock + "told is the last one\n", "state             Consuming\n", "since             2026-11-22 11:10:30 UTC\n",
			"consuming         since 2026-11-22 11:10:30 UTC\n", "last event        11:10:30.020, 4m 30s before; Reviving -> Consuming: Revived #1",
			"next event        11:20:30.020, 5m 30s later; Consuming -> HeartbeatCheck: DrainTimeout",
		}},
		{"within what came before", p, "--at 2026-11-22T12:05:00Z", []string{
			"state             Consuming\n", "last event        12:00:00.020, 5m before; Connecting -> Consuming: Connected",
			"next event        12:10:00.020, 5m later; Consuming -> Reviving: ConnectionError",
		}},
		{"after all", p, "--at 2026-11-22T12:15:00Z", []string{
			"state             Disconnected\n", "last event        11:26:00.021, 49m before; Consuming -> Disconnected: Stop", "next event        none",
		}},
		{"after the end alone", &pasttest.Log{T: t, Events: p.Events[:5]}, "--at 2026-11-22T11:15:00Z", []string{
			"state             Consuming when the log ends, at 2026-11-22 11:10:30 UTC; ", "next event        none",
		}},
		{"before all", p, "--at 2026-11-22T11:05:00Z", []string{"state             not known: the log begins at 2026-11-22 12:00:00 UTC\n"}},
		{"within a stretch, and after the end", again, "--at 2026-11-22T11:11:01Z", []string{
			"set back 2 times, the last time by 15m before 2026-11-22 11:05:30 UTC", "state             Consuming\n", "next event        11:20:30.020, 9m 29s later",
		}},
		{"the last of both", again, "--at 2026-11-22T11:10:45Z", []string{
			"state             Consuming\n", "last event        11:05:30.021, 5m 15s before; HeartbeatCheck -> Consuming: HeartbeatOK",
			"next event        11:11:00.021, 15.0 s later; Consuming -> Disconnected: Stop",
		}},
		{"summary", p, "--summary", []string{
			"time              2026-11-22 12:00:00 UTC to 2026-11-22 11:26:00 UTC (26m)\n" + clock + "durations are not by it\n",
		}},
		{"summary of what was before", p, "--summary --until 2026-11-22T12:00:01Z", []string{
			"time              2026-11-22 12:00:00 UTC to 2026-11-22 12:00:01 UTC (1.0 s)\nat the end",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{tt.log.Segments(0), tt.log.Segments(1), tt.log.File()} {
				told, err := tell(t, append([]string{path}, strings.Fields(tt.args)...)...)
				for _, want := range tt.want {
					if !strings.Contains(told, want) || err != nil {
						t.Errorf("%v; no %q in\n%s", err, want, told)
					}
				}
			}
		})
	}
}

// A log that ends while it consumes, because that was killed or because that goes on: nobody knows what was the case
// later.
func TestReplayAtBehindTheEnd(t *testing.T) {
	consuming := pasttest.New(t, "orders").Connect().Idle(2)
	reviving := pasttest.New(t, "orders").Connect().Fire(time.Second, consumer.ConnectionError, consumer.Evidence{Class: "network"})
	reviving.Fire(time.Second, consumer.ReviveFailed, consumer.Evidence{Attempt: 1, Class: "network"})
	stopped := pasttest.New(t, "orders").Connect().Fire(time.Second, consumer.Stop, consumer.Evidence{})
	for _, tt := range []struct {
		name       string
		log        *pasttest.Log
		at         string
		want, json []string
	}{
		{"consuming", consuming, "2026-11-22T22:06:20Z",
			[]string{
				"state             Consuming when the log ends, at 2026-11-22 22:00:04 UTC; what came after is not in it\n",
				"since             2026-11-22 22:00:04 UTC, 0 s before the log ends\n",
				"consuming         since 2026-11-22 22:00:00 UTC, 4.0 s before the log ends; 2 heartbeats answered\n",
				"last event        22:00:04.022, 6m 16s before; HeartbeatCheck -> Consuming: HeartbeatOK\n",
			},
			[]string{`"state":"Consuming"`, `"next":null`, `"log_ended":"2026-11-22T22:00:04.022Z"`}},
		{"reviving", reviving, "2026-11-22T22:06:20Z",
			[]string{
				"state             Reviving when the log ends, at 2026-11-22 22:00:02 UTC; what came after is not in it\n",
				"since             2026-11-22 22:00:01 UTC, 1.0 s before the log ends\n",
				"outage            when the log ends: 1.0 s, from 2026-11-22 22:00:01 UTC, and not over; ",
			},
			[]string{`"state":"Reviving"`, `"duration_ms":1000`, `"log_ended":"2026-11-22T22:00:02.02Z"`}},
		{"stopped", stopped, "2026-11-22T22:06:20Z",
			[]string{"state             Disconnected\n", "since             2026-11-22 22:00:01 UTC, 6m 19s before\n"},
			[]string{`"state":"Disconnected"`, `"log_ended":"2026-11-22T22:00:01.02Z"`}},
		{"at the last event", consuming, "2026-11-22T22:00:04.022Z",
			[]string{"state             Consuming\n", "consuming         since 2026-11-22 22:00:00 UTC, 4.0 s; 2 heartbeats answered\n"},
			[]string{`"state":"Consuming"`, `"log_ended":null`}},
		{"within", consuming, "2026-11-22T22:00:03Z", []string{"state             Consuming\n"}, []string{`"log_ended":null`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{tt.log.Journal(), tt.log.Segments(1), tt.log.File()} {
				for flag, want := range map[string][]string{"--utc": tt.want, "--json": tt.json} {
					told, err := tell(t, path, flag, "--at", tt.at)
					for _, want := range want {
						if !strings.Contains(told, want) || err != nil {
							t.Errorf("%v; no %q in\n%s", err, want, told)
						}
					}
				}
			}
		})
	}
}

// Runs are no proof of a clock: the logs of two may be in any order.
func TestReplayTellsRunsFromAClock(t *testing.T) {
	a, b := pasttest.New(t, "orders").Connect(), pasttest.New(t, "orders").Connect().Idle(3)
	for i := range b.Events {
		b.Events[i].Run = "another"
		b.Events[i].Time = b.Events[i].Time.Add(-time.Hour)
	}
	a.Events = slices.Concat(a.Events, a.Events[:2], a.Events[2:], b.Events[len(a.Events):]) // some of it twice, too
	if told, err := tell(t, a.File(), "--summary"); err != nil || strings.Contains(told, "clock") {
		t.Error(err, told)
	}
}
