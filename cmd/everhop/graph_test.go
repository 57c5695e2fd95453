package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
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
	for _, format := range []string{"dot", "mermaid", "markdown"} {
		_, stdout, _ := inProcess(t, "graph", "--publisher", "--format", format)
		for _, state := range publish.Lifecycle().States() {
			if !strings.Contains(stdout, string(state)) {
				t.Errorf("%s of a publisher: no %s in\n%s", format, state, stdout)
			}
		}
		if strings.Contains(stdout, "Consuming") {
			t.Errorf("%s of a publisher has a consumer's states:\n%s", format, stdout)
		}
	}
	t.Run("drawn", func(t *testing.T) {
		_, stdout, _ := inProcess(t, "graph")
		drawn(t, stdout)
	})
}

// What a journal has is drawn; what the drawing cannot show is said.
func TestGraphOfAJournal(t *testing.T) {
	log := pasttest.New(t, "orders").Connect().Idle(3)
	log.Events = slices.Delete(log.Events, 4, 5)
	status, stdout, stderr := inProcess(t, "graph", "--journal", log.File())
	want := "everhop: warning: 1 event is not in this log: counts and times are lower bounds\n"
	if status != 0 || stderr != want || !strings.Contains(stdout, `"DrainTimeout 3×`) {
		t.Errorf("exit status %d, stderr %q, stdout\n%s", status, stderr, stdout)
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
