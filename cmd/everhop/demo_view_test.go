package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// The golden files in testdata/demo are what a terminal shows.
func TestDemoView(t *testing.T) {
	busy := situation{
		state: consumer.Consuming, since: 10 * time.Second, now: 11234 * time.Millisecond, handled: 11200 * time.Millisecond,
		tally: tally{published: 912, handled: 900, waiting: 12, redelivered: 66, repeated: 5},
	}
	var states []string
	for _, state := range consumer.Lifecycle().States() {
		s := busy
		s.state = state
		states = append(states, s.lines(80, machineDrawing, false)...)
	}
	losing := busy
	losing.tally.waiting, losing.tally.lost = 2, 10
	for name, lines := range map[string][]string{
		"states":          states,
		"begin":           situation{state: consumer.Disconnected}.lines(80, machineDrawing, false),
		"ascii":           busy.lines(80, machineASCII, false),
		"narrow":          busy.lines(machineColumns, machineDrawing, false),
		"lost":            losing.lines(80, machineDrawing, true),
		"introduction":    introduction(4),
		"announcements":   announcements(false),
		"events":          told(false),
		"events-coloured": told(true),
	} {
		t.Run(name, func(t *testing.T) {
			for _, line := range lines {
				if width(line) > 80 && !strings.Contains(line, "CONNECTION_FORCED") {
					t.Errorf("%d columns, and many terminals have 80: %q", width(line), line)
				}
				if strings.HasSuffix(line, " ") {
					t.Errorf("ends with a blank: %q", line)
				}
			}
			demoGolden(t, name, lines)
		})
	}
}

func announcements(ink ink) (lines []string) {
	for i, f := range demoFaults() {
		lines = append(lines, announcement(i+1, 4, f, ink)...)
	}
	return lines
}

// told is what a run, and a hopeless one, are told with.
func told(ink ink) (lines []string) {
	at := int64(0)
	tell := func(from, to fsm.State, trigger fsm.Trigger, lasted time.Duration, why fsm.Evidence) {
		at += int64(lasted)
		lines = append(lines, describe(fsm.Event{
			Kind: fsm.KindTransition, From: from, To: to, Trigger: trigger,
			MonoNS: at, InStateMS: lasted.Milliseconds(), Evidence: why,
		}, ink)...)
	}
	tell(consumer.Disconnected, consumer.Connecting, consumer.Connect, 0, fsm.Evidence{})
	tell(consumer.Connecting, consumer.Consuming, consumer.Connected, 4*ms, fsm.Evidence{})
	tell(consumer.Consuming, consumer.HeartbeatCheck, consumer.DrainTimeout, 3510*ms, fsm.Evidence{})
	tell(consumer.HeartbeatCheck, consumer.Consuming, consumer.HeartbeatOK, 994*ms, fsm.Evidence{})
	tell(consumer.Consuming, consumer.HeartbeatCheck, consumer.DrainTimeout, 2000*ms, fsm.Evidence{})
	tell(consumer.HeartbeatCheck, consumer.Reviving, consumer.HeartbeatFailed, 2003*ms,
		fsm.Evidence{Error: "probe: the peer went silent: no byte came in for 4s"})
	tell(consumer.Reviving, consumer.Consuming, consumer.Revived, 0, fsm.Evidence{Attempt: 1})
	tell(consumer.Consuming, consumer.Reviving, consumer.ConnectionError, 999*ms,
		fsm.Evidence{Error: "connection: 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"})
	for attempt := 1; attempt <= 9; attempt++ {
		tell(consumer.Reviving, consumer.Reviving, consumer.ReviveFailed, time.Duration(attempt)*50*ms,
			fsm.Evidence{Attempt: attempt, Error: "dial: connect: connection refused"})
	}
	tell(consumer.Reviving, consumer.Disconnected, consumer.RetriesExhausted, time.Second,
		fsm.Evidence{Attempt: 10, Error: "dial: connect: connection refused"})
	tell(consumer.HeartbeatCheck, consumer.Disconnected, consumer.ProcessRestarted, time.Second, fsm.Evidence{})
	return append(lines, describe(fsm.Event{Kind: fsm.KindStale}, ink)...)
}

func TestDemoSummary(t *testing.T) {
	outcomes := []outcome{
		{incident{connectionReset().name, 1500 * ms, absent}, 0, 3 * ms, 2},
		{incident{networkSilent().name, 3 * time.Second, absent}, 4 * time.Second, 4003 * ms, 64},
		{incident{brokerRestart(demoOutage).name, 12 * time.Second, 14 * time.Second}, 2 * ms, 2629 * ms, 1},
		{incident{consumerCancelled().name, 16 * time.Second, absent}, 994 * ms, 995 * ms, 1000},
	}
	interrupted := []outcome{{incident{brokerRestart(demoOutage).name, time.Second, absent}, absent, absent, 0}}
	for name, got := range map[string][]string{
		"summary":             summary(outcomes, tally{published: 1276, handled: 1276, redelivered: 70, repeated: 7}, false),
		"summary-at-once":     summary(nil, tally{}, false),
		"summary-interrupted": summary(interrupted, tally{published: 1, waiting: 1}, false),
		"summary-lost":        summary(outcomes[:1], tally{published: 100, handled: 97, waiting: 2, lost: 1}, true),
		"next":                whereToGo("", false),
		"next-drawn":          whereToGo("run.dot", true),
	} {
		t.Run(name, func(t *testing.T) {
			for _, line := range got {
				if width(line) > 80 {
					t.Errorf("%d columns: %q", width(line), line)
				}
			}
			demoGolden(t, name, got)
		})
	}
}

func TestDemoLocale(t *testing.T) {
	tests := []struct {
		env  map[string]string
		want string
	}{
		{nil, machineASCII},
		{map[string]string{"LANG": "C"}, machineASCII},
		{map[string]string{"LANG": "en_US.UTF-8"}, machineDrawing},
		{map[string]string{"LANG": "de_DE.utf8"}, machineDrawing},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_CTYPE": "C"}, machineASCII},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, machineDrawing},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C", "LC_ALL": "C.UTF-8"}, machineDrawing},
	}
	for _, tt := range tests {
		if got := machineOf(func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%v: %s", tt.env, got)
		}
	}
}

// Both drawings show each state once, at the same place.
func TestDemoDrawings(t *testing.T) {
	unicode, ascii := strings.Split(machineDrawing, "\n"), strings.Split(machineASCII, "\n")
	for i := range unicode {
		if a, b := fmt.Sprint(columnsOf(unicode[i])), fmt.Sprint(columnsOf(ascii[i])); a != b {
			t.Errorf("line %d: %s and %s", i, a, b)
		}
		if n := width(unicode[i]); n > machineColumns || n != width(ascii[i]) {
			t.Errorf("line %d: %d and %d columns of %d", i, n, width(ascii[i]), machineColumns)
		}
	}
	for _, state := range consumer.Lifecycle().States() {
		if strings.Count(machineDrawing, "{"+string(state)+"}") != 1 {
			t.Errorf("%s is not drawn once", state)
		}
	}
}

func columnsOf(line string) (columns []int) {
	for _, at := range stateInDrawing.FindAllStringIndex(line, -1) {
		columns = append(columns, width(line[:at[0]]))
	}
	return columns
}

func demoGolden(t *testing.T, name string, lines []string) {
	t.Helper()
	got := strings.ReplaceAll(strings.Join(lines, "\n")+"\n", "\x1b", "ESC")
	path := filepath.Join("testdata", "demo", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./cmd/everhop -run Demo -update writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); go test ./cmd/everhop -run Demo -update writes it\n%s", path, diff)
	}
}
