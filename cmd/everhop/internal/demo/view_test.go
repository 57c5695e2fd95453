package demo

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

var coloured = regexp.MustCompile("\x1b\\[[0-9;]*m")

// The golden files in testdata are what a terminal of 60 columns shows.
func TestView(t *testing.T) {
	busy := tally{published: 1012, handled: 900, waiting: 112, redelivered: 66, repeated: 5}
	var states, announcements []term.Text
	for _, state := range consumer.Lifecycle().States() {
		states = append(states, region(state, 3456*ms, busy, false)...)
	}
	for i, f := range newDemonstration(newScreen(term.To(io.Discard))).faults {
		announcements = append(announcements, announcement(i+1, 4, f, false)...)
	}
	second := outcome{fault: networkSilent.name, noticed: absent, handled: absent, caughtUp: absent, returned: absent}
	outcomes := []outcome{
		{fault: connectionReset.name, returned: absent, overcome: true, handled: 3 * ms, caughtUp: 23 * ms, redelivered: 2},
		{fault: networkSilent.name, returned: absent, overcome: true, noticed: 4 * time.Second, handled: 4003 * ms, caughtUp: 7.7e3 * ms, redelivered: 64},
		{fault: brokerRestart.name, began: 12 * time.Second, returned: 14 * time.Second, overcome: true, noticed: 2 * ms, handled: 2629 * ms, caughtUp: 3100 * ms, redelivered: 1},
		{fault: consumerCancel.name, returned: absent, overcome: true, noticed: 994 * ms, handled: 995 * ms, caughtUp: 12345 * ms, redelivered: 1000},
	}
	noticed := second
	noticed.noticed = 4 * time.Second
	for name, lines := range map[string][]term.Text{
		"states":              states,
		"lost":                region(consumer.Consuming, 0, tally{published: 912, handled: 900, waiting: 2, lost: 10}, true),
		"parked":              region(consumer.Consuming, 0, tally{published: 912, handled: 900, waiting: 7, parked: 5}, false),
		"announcements":       append(announcements, repairing(false)...),
		"events":              told(false),
		"events-coloured":     told(true),
		"summary":             summary(outcomes, tally{published: 1276, handled: 1276, redelivered: 70, repeated: 7, repaired: 5}, false, false),
		"summary-at-once":     summary(nil, tally{}, true, false),
		"summary-interrupted": summary([]outcome{outcomes[0], second}, tally{published: 5, handled: 2, waiting: 1, parked: 2}, true, false),
		"summary-failed":      summary([]outcome{noticed}, tally{published: 100, handled: 97, waiting: 2, lost: 1}, false, true),
		"next":                whereToGo("dot -Tsvg run.dot > run.svg", false),
	} {
		t.Run(name, func(t *testing.T) {
			text := ""
			for _, printed := range lines {
				line := string(printed)
				text += line + "\n"
				if n := len(coloured.ReplaceAllString(line, "")); n > 60 && !strings.Contains(line, "CONNECTION_FORCED") {
					t.Errorf("%d columns: %q", n, line)
				}
				if strings.HasSuffix(line, " ") && !strings.Contains(line, "HeartbeatCheck ") {
					t.Errorf("ends with a blank: %q", line)
				}
			}
			golden.Assert(t, strings.ReplaceAll(text, "\x1b", "ESC"), name+".txt")
		})
	}
}

// told is what a run is told with.
func told(ink term.Ink) (lines []term.Text) {
	at := int64(0)
	tell := func(from, to fsm.State, trigger fsm.Trigger, lasted time.Duration, why consumer.Evidence) {
		at += int64(lasted)
		lines = append(lines, describe(fsm.Event{
			Kind: fsm.KindTransition, From: from, To: to, Trigger: trigger,
			MonoNS: at, InStateMS: lasted.Milliseconds(), Evidence: why.Event(),
		}, ink)...)
	}
	tell(consumer.Disconnected, consumer.Connecting, consumer.Connect, 0, consumer.Evidence{})
	tell(consumer.Connecting, consumer.Consuming, consumer.Connected, 4*ms, consumer.Evidence{})
	tell(consumer.Consuming, consumer.HeartbeatCheck, consumer.DrainTimeout, 3510*ms, consumer.Evidence{})
	tell(consumer.HeartbeatCheck, consumer.Consuming, consumer.HeartbeatOK, 994*ms, consumer.Evidence{})
	tell(consumer.Consuming, consumer.HeartbeatCheck, consumer.DrainTimeout, 2000*ms, consumer.Evidence{})
	tell(consumer.HeartbeatCheck, consumer.Reviving, consumer.HeartbeatFailed, 2003*ms,
		consumer.Evidence{Error: "probe: the peer went silent: no byte came in for 4s"})
	tell(consumer.Reviving, consumer.Consuming, consumer.Revived, 0, consumer.Evidence{Attempt: 1})
	tell(consumer.Consuming, consumer.Reviving, consumer.ConnectionError, 999*ms,
		consumer.Evidence{Error: "connection: 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"})
	for attempt := 1; attempt <= 9; attempt++ {
		tell(consumer.Reviving, consumer.Reviving, consumer.ReviveFailed, time.Duration(attempt)*50*ms,
			consumer.Evidence{Attempt: attempt, Error: "dial: connect: connection refused"})
	}
	return append(lines, describe(fsm.Event{Kind: fsm.KindStale}, ink)...)
}
