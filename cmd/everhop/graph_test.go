package main

import (
	"os"
	"os/exec"
	"regexp"
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
