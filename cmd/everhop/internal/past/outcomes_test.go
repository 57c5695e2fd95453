package past

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// What became of messages is told, listed and summed up.
func TestReplayOutcomes(t *testing.T) {
	path := pasttest.Troubled(t).File()
	for _, tt := range []struct {
		golden string
		args   []string
	}{
		{"outcomes.txt", nil},
		{"outcomes-messages.txt", []string{"--messages"}},
		{"outcomes-outages.txt", []string{"--outages"}},
		{"outcomes-json.txt", []string{"--json"}},
		{"outcomes-messages-json.txt", []string{"--json", "--messages", "--since", "22:16"}},
		{"outcomes-outages-json.txt", []string{"--json", "--outages"}},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			told, err := tell(t, append([]string{path}, tt.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, told, tt.golden)
		})
	}
}

// A terminal may be narrow.
func TestReplayOutcomesOnATerminal(t *testing.T) {
	p := pasttest.Troubled(t)
	for _, columns := range []int{40, 80, 140} {
		for _, asked := range []Replay{{}, {Messages: true}, {Outages: true}} {
			var out strings.Builder
			told := newTelling(&asked, bounds{}, term.To(&out))
			told.page = page{width: columns, zone: time.UTC}
			err := told.tell("the night", func(yield func(fsm.Event, error) bool) {
				for _, e := range p.Events {
					if !yield(e, nil) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(line) - 1; n > columns {
					t.Errorf("%d columns of %d: %s", n, columns, line)
				}
			}
		}
	}
}

// Lists are as long as what happened: of a calm night they say so.
func TestReplayListsOfNothing(t *testing.T) {
	calm := pasttest.New(t, "orders").Connect().Idle(3).Fire(0, consumer.Stop, consumer.Evidence{}).File()
	for flag, want := range map[string]string{"--outages": "no outages\n", "--messages": "no messages that are rare in any way\n"} {
		if told, err := tell(t, calm, flag); told != want || err != nil {
			t.Errorf("%s: %q, %v", flag, told, err)
		}
		if told, err := tell(t, calm, flag, "--json"); told != "" || err != nil {
			t.Errorf("%s --json: %q, %v", flag, told, err)
		}
	}
}

// The list of outages has those that the summary counts, with one that is not over.
func TestReplayOutagesAreThoseOfTheSummary(t *testing.T) {
	open := pasttest.New(t, "orders").Connect().Idle(3).Fire(0, consumer.ConnectionError, consumer.Evidence{Class: "network"})
	for name, log := range map[string]*pasttest.Log{
		"night": pasttest.Night(t), "uneasy": pasttest.Uneasy(t), "open": open, "troubled": pasttest.Troubled(t), "publisher": pasttest.Published(t),
	} {
		path := log.File()
		for _, args := range [][]string{nil, {"--since", "22:50"}, {"--until", "22:45"}} {
			list, err := tell(t, append([]string{path, "--outages", "--json"}, args...)...)
			if err != nil {
				continue // nothing since then
			}
			told, err := tell(t, append([]string{path, "--summary", "--json"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			var summary struct {
				Outages int   `json:"outages"`
				Down    int64 `json:"down_ms"`
			}
			if err := json.Unmarshal([]byte(told), &summary); err != nil {
				t.Fatal(err)
			}
			n, down := 0, int64(0)
			for lines := bufio.NewScanner(strings.NewReader(list)); lines.Scan(); n++ {
				var o struct {
					Duration int64 `json:"duration_ms"`
				}
				if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
					t.Fatal(err)
				}
				down += o.Duration
			}
			if n != summary.Outages {
				t.Errorf("%s %v: %d outages are listed, %d counted:\n%s", name, args, n, summary.Outages, list)
			}
			if args == nil && (down-summary.Down < -int64(summary.Outages)-100 || down > summary.Down+int64(summary.Outages)) {
				t.Errorf("%s: the outages listed come to %d ms, and it was down for %d", name, down, summary.Down)
			}
		}
	}
}

// A process that stood still is down wherever one looks.
func TestStallIsDownEverywhere(t *testing.T) {
	p := pasttest.New(t, "orders").Connect().Idle(10)
	const stood = time.Minute
	p.Clock = p.Clock.Add(stood)
	p.Record("note", consumer.NoteStalled, consumer.Evidence{StalledMS: stood.Milliseconds(), Note: "the process stood still for 1m0s"})
	path := p.Idle(10).Fire(0, consumer.Stop, consumer.Evidence{}).File()
	told, err := tell(t, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Consuming             1m  stood still                         down; the process stood still for 1m0s",
		"down 1m\n", "outages           1, revived 1: 1 stalled", "longest outage    1m, ", "stood still       1 time, 1m in all, which counts as down",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("replay does not say %q:\n%s", want, told)
		}
	}
	if list, err := tell(t, path, "--outages"); err != nil || strings.Count(list, "the process stood still") != 1 || !strings.Contains(list, "  1m ") {
		t.Errorf("--outages: %v\n%s", err, list)
	}
	drawing, err := Happened(t.Context(), Source{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for format, text := range map[string]string{
		"DOT": drawing.Of.Table.DOTSummary(drawing.Happened), "Mermaid": drawing.Of.Table.MermaidSummary(drawing.Happened),
	} {
		if want := "stood still 1×, 1m (down)"; !strings.Contains(text, want) {
			t.Errorf("%s does not say %q:\n%s", format, want, text)
		}
	}
}
