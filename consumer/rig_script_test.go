package consumer_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// replays checks the journal against the table.
func (r *rig) replays() {
	r.Helper()
	if _, err := fsm.Replay(consumer.Lifecycle(), slices.Values(r.journal.Events())); err != nil {
		r.Errorf("the journal does not replay: %v", err)
	}
	for _, e := range r.journal.Events() {
		if e.Kind == fsm.KindRejected {
			r.Errorf("rejected: %+v", e)
		}
	}
}

// check compares what was logged with testdata/scenarios/NAME.txt, and the journal with the table.
func (r *rig) check(scenario string) {
	r.Helper()
	r.replays()
	path := filepath.Join(testdata, "scenarios", scenario+".txt")
	script, err := os.ReadFile(path)
	if err != nil {
		r.Fatal(err)
	}
	if diff := compare(parseScript(string(script)), r.log.transitions(r)); diff != "" {
		r.Errorf("%s: %s", path, diff)
	}
}

// step is one expected transition: "From Trigger To key=value ...", with " *" behind To for one that
// may come any number of times, and "." for any From.
type step struct {
	text  string
	want  [3]string
	any   bool
	pairs map[string]string
}

func parseScript(text string) []step {
	var steps []step
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] == "#" {
			continue
		}
		s := step{text: strings.TrimSpace(line), want: [3]string(fields), pairs: map[string]string{}}
		for _, f := range fields[3:] {
			if f == "*" {
				s.any = true
			} else if k, v, ok := strings.Cut(f, "="); ok {
				s.pairs[k] = v
			}
		}
		steps = append(steps, s)
	}
	return steps
}

func (s step) matches(line map[string]any) bool {
	if s.want[0] != "." && line[fsm.FieldFrom] != s.want[0] || line[fsm.FieldTrigger] != s.want[1] || line[fsm.FieldTo] != s.want[2] {
		return false
	}
	for k, v := range s.pairs {
		if fmt.Sprint(line[k]) != v {
			return false
		}
	}
	return true
}

// compare matches the logged transitions against the script, without the idle heartbeat cycles.
func compare(script []step, logged []map[string]any) string {
	i := 0
	for _, line := range logged {
		for i < len(script) && script[i].any && !script[i].matches(line) {
			i++
		}
		if i == len(script) || !script[i].matches(line) {
			want := "nothing more"
			if i < len(script) {
				want = script[i].text
			}
			got, _ := json.Marshal(line)
			return fmt.Sprintf("expected %s\n     got %s", want, got)
		}
		if !script[i].any {
			i++
		}
	}
	for ; i < len(script); i++ {
		if !script[i].any {
			return "expected " + script[i].text + ", and nothing more was logged"
		}
	}
	return ""
}
