package past

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// logOf makes of events what a container's log has.
func logOf(t *testing.T, events []fsm.Event, prefix string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(prefix + "starting up {not json}\n\n")
	for i, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(prefix + strings.Replace(string(text), "{", `{"level":"info",`, 1) + "\n")
		if i%10 == 0 {
			b.WriteString(prefix + `{"level":"info","time":"2026-11-22T22:00:00Z","kind":"request","seq":1,"message":"GET /"}` + "\n")
		}
	}
	return b.String()
}

func TestReplayLogs(t *testing.T) {
	p := pasttest.Night(t)
	want, _ := tell(t, p.Journal())
	text := logOf(t, p.Events, "[pod/orders-1] ")
	path := pasttest.NewFile(t, "pod.log", text)
	for name, args := range map[string][]string{"file": {path}, "standard input": {"-"}} {
		got, err := tellOf(t, strings.NewReader(text), args...)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	routine := func(e fsm.Event) bool {
		return e.Trigger == consumer.DrainTimeout || e.Trigger == consumer.HeartbeatOK || e.Trigger == consumer.ReviveFailed && attempt(e)&(attempt(e)-1) != 0
	}
	got, _ := tellOf(t, strings.NewReader(logOf(t, slices.DeleteFunc(p.Events, routine), "")), "-")
	golden.Assert(t, got, "log-info.txt")
}

func attempt(e fsm.Event) int { return consumer.EvidenceOf(e).Attempt }
