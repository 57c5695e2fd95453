package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/everhop/everhop/consumer"
)

func TestGraph(t *testing.T) {
	for _, format := range []string{"dot", "mermaid", "markdown"} {
		_, stdout, _ := inProcess(t, "graph", "--format", format)
		for _, state := range consumer.Lifecycle().States() {
			if !strings.Contains(stdout, string(state)) {
				t.Errorf("%s: no %s in\n%s", format, state, stdout)
			}
		}
	}
	t.Run("drawn", func(t *testing.T) {
		_, stdout, _ := inProcess(t, "graph")
		drawn(t, stdout)
	})
}

// What is drawn is one machine's, and standard error tells what the drawing cannot.
func TestGraphOfAJournal(t *testing.T) {
	orders, mails := newPast(t, "orders").connect().idle(3), newPast(t, "mails").connect()
	unnamed := newPast(t, "").connect()
	both := past{t: t, log: slices.Concat(orders.log[:4], mails.log, orders.log[4:])}
	three := past{t: t, log: slices.Concat(unnamed.log, both.log)}
	whole := orders.logFile()

	second := newPast(t, "orders").connect() // in another process
	for i := range second.log {
		second.log[i].Run = "another"
	}
	overlapping := past{t: t, log: slices.Concat(orders.log[:4], second.log[:2], orders.log[4:])}
	holes := past{t: t, log: slices.Delete(slices.Clone(orders.log), 4, 7)}
	hole := past{t: t, log: slices.Delete(slices.Clone(orders.log), 4, 5)}
	gone := hole
	gone.log = slices.Insert(slices.Clone(hole.log), 7, second.log[0])
	damaged := segmentsOf(t, orders.journal())[0]
	changed := strings.Replace(readFile(t, damaged), `"Connect"`, `"connect"`, 1)
	if err := os.WriteFile(damaged, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}

	const overlaps = "everhop: warning: runs went on after the next one had begun: several machines have this name; times are not to be trusted\n"
	tests := []struct {
		name   string
		args   []string
		status int
		idle   int // DrainTimeouts that are drawn
		stderr string
	}{
		{"one machine", []string{whole}, 0, 3, ""},
		{"by its name", []string{whole, "--machine", "orders"}, 0, 3, ""},
		{"several", []string{both.logFile()}, 1, 0, "%s: --machine has to tell which one of several: orders, mails"},
		{"several, one without a name", []string{three.logFile()}, 1, 0, "%s: --machine has to tell which one of several: one without a name, orders, mails"},
		{"one of several", []string{three.logFile(), "--machine", "orders"}, 0, 3, ""},
		{"the other of several", []string{three.logFile(), "--machine=mails"}, 0, 0, ""},
		{"the one without a name", []string{three.logFile(), "--machine="}, 0, 0, ""},
		{"none of them", []string{both.logFile(), "--machine", "x"}, 1, 0, `%s: nothing of machine "x"; there is: orders, mails`},
		{"overlapping runs", []string{overlapping.logFile()}, 0, 3, overlaps},
		{"a hole", []string{hole.logFile()}, 0, 3, "everhop: warning: 1 event is not in this log: counts and times are lower bounds\n"},
		{"holes", []string{holes.logFile()}, 0, 2, "everhop: warning: 3 events are not in this log: counts and times are lower bounds\n"},
		{"both", []string{gone.logFile()}, 0, 3, overlaps + "everhop: warning: 1 event is not in this log: counts and times are lower bounds\n"},
		{"a journal", []string{orders.journal()}, 0, 3, ""},
		{"damaged", []string{damaged}, 3, 0, "%s:3 is damaged at byte "},
		{"nothing", []string{newFile(t, "empty", "")}, 1, 0, "%s: empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := inProcess(t, append([]string{"graph", "--journal"}, tt.args...)...)
			want := tt.stderr
			if tt.status != 0 {
				want = "everhop: " + fmt.Sprintf(want, tt.args[0]) + "\n"
			}
			if tt.status == 3 {
				stderr = stderr[:min(len(stderr), len(want)-1)] + "\n" // what follows is fsm's
			}
			if status != tt.status || stderr != want || (stdout != "") != (status == 0) {
				t.Errorf("exit status %d, stderr\n%s\nwant %d and\n%s", status, stderr, tt.status, want)
			}
			if drawn := fmt.Sprintf(`"DrainTimeout %d×`, tt.idle); tt.idle > 0 && !strings.Contains(stdout, drawn) {
				t.Errorf("%s is not in\n%s", drawn, stdout)
			}
		})
	}
}

func TestGraphUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--journal=":                   "--journal: empty",
		"--journal= --machine x":       "--journal: empty",
		"--journal= --format markdown": "--journal: empty",
		"--machine x":                  "--machine: only with --journal",
		"--machine=":                   "--machine: only with --journal",
	} {
		status, stdout, stderr := inProcess(t, append([]string{"graph"}, strings.Fields(args)...)...)
		if want = "everhop: " + want + "; see 'everhop graph --help'\n"; status != 2 || stdout != "" || stderr != want {
			t.Errorf("%s: exit status %d, stderr %q, want 2 and %q", args, status, stderr, want)
		}
	}
}

// drawn expects Graphviz to draw all states, and so many labels.
func drawn(t *testing.T, graph string, labels ...string) {
	t.Helper()
	dot, err := exec.LookPath("dot")
	if err != nil {
		missing := t.Skip
		if os.Getenv("EVERHOP_TEST_REQUIRE") == "1" {
			missing = t.Fatal
		}
		missing("needs Graphviz: apt-get install graphviz")
	}
	cmd := exec.Command(dot, "-Tsvg")
	cmd.Stdin = strings.NewReader(graph)
	svg, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, svg)
	}
	for _, state := range consumer.Lifecycle().States() {
		labels = append(labels, string(state))
	}
	for _, label := range labels {
		if !regexp.MustCompile(">" + regexp.QuoteMeta(label) + `( \(.*\))?</text>`).Match(svg) {
			t.Errorf("%s is not drawn", label)
		}
	}
}
