package fsm_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/fsm"
)

// goldens is where the golden files are, seen from this package's folder testdata.
const goldens = "../../testdata/fsm/"

// oddTable has parallel edges, self loops and the names that break writers.
func oddTable(t *testing.T) *fsm.Table {
	t.Helper()
	const quoted = `say "hi"`
	states := []fsm.State{"Idle", quoted, "Note", "s4", `back\slash|pipe`, "two\nlines"}
	table, err := fsm.NewTable("Idle", states, []fsm.Row{
		{From: []fsm.State{"Idle"}, Trigger: "Greet", To: quoted, Doc: `a "guest" came`},
		{From: []fsm.State{"Idle"}, Trigger: `Wave "now"`, To: quoted, Doc: "a | b"},
		{From: []fsm.State{quoted}, Trigger: "Again", To: quoted, Doc: "self loop"},
		{From: []fsm.State{quoted}, Trigger: "Write", To: "Note", Doc: "a keyword of Mermaid"},
		{From: []fsm.State{"Note"}, Trigger: "a:b;c#d%%", To: "s4", Doc: "looks like an alias"},
		{From: []fsm.State{"s4"}, Trigger: `C:\new`, To: `back\slash|pipe`, Doc: `C:\new`},
		{From: []fsm.State{"s4", `back\slash|pipe`}, Trigger: "Break", To: "two\nlines", Doc: "first\nsecond"},
		{From: []fsm.State{"Note"}, Trigger: "Skip", To: "two\nlines", Doc: "nothing to say"},
		{From: []fsm.State{quoted, "Note", "s4", `back\slash|pipe`, "two\nlines"}, Trigger: "Stop", To: "Idle", Doc: "done"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestGoldenDrawings(t *testing.T) {
	for name, table := range map[string]*fsm.Table{"door": doorTable(t), "odd": oddTable(t)} {
		t.Run(name, func(t *testing.T) {
			golden.Assert(t, table.DOT(), goldens+name+".dot")
			golden.Assert(t, table.Mermaid(), goldens+name+".mmd")
			golden.Assert(t, table.Markdown(), goldens+name+".md")
		})
	}
}

// Of what happened, the drawing counts transitions only: not the boot, not the Close that was refused.
func TestGoldenSummary(t *testing.T) {
	table := doorTable(t)
	ring := fsm.NewRing(0)
	synctest.Test(t, func(t *testing.T) { // where no time passes: the drawing has times in it
		m := newMachine(t, table, fsm.Options{Journal: ring})
		if _, err := m.Record(fsm.KindBoot, "", fsm.Evidence{}); err != nil {
			t.Fatal(err)
		}
		fire(t, m, "Knock", "Knock", "Open", "Close")
		m.Fire("Close", fsm.Evidence{})
		fire(t, m, "Open", "Kick")
	})
	happened := summaryOf(ring.Events())
	golden.Assert(t, table.DOTSummary(happened, "Kick"), goldens+"door-summary.dot")
	golden.Assert(t, table.MermaidSummary(happened), goldens+"door-summary.mmd")
	golden.Assert(t, table.DOTSummary(&fsm.Summary{}), goldens+"door-nothing.dot")
	golden.Assert(t, oddTable(t).DOTSummary(oddSummary(), "Greet"), goldens+"odd-summary.dot")
	golden.Assert(t, oddTable(t).MermaidSummary(oddSummary()), goldens+"odd-summary.mmd")
}

// oddSummary has one of two parallel edges of the odd table, and what only another
// table had: states, a trigger, a trigger that led elsewhere. What has no name cannot
// be drawn.
func oddSummary() *fsm.Summary {
	const quoted fsm.State = `say "hi"`
	var s fsm.Summary
	for i, e := range []fsm.Event{
		{From: "for no time", Trigger: "Begin", To: "Idle"},
		{From: "Idle", Trigger: "Greet", To: quoted},
		{From: quoted, Trigger: "Again", To: quoted},
		{From: quoted, Trigger: "Again", To: quoted},
		{From: quoted, Trigger: "Again", To: quoted},
		{From: quoted, Trigger: "Ask", To: "no more"},
		{From: "no more", Trigger: "Stop", To: "Idle"},
		{From: "Idle", Trigger: "Greet", To: "Idle"},
		{From: "", Trigger: "Greet", To: "Idle"},
		{From: "Idle", Trigger: "Greet", To: ""},
	} {
		e.Kind, e.Seq, e.Run, e.MonoNS, e.InStateMS = fsm.KindTransition, uint64(i+1), "r1", int64(i)*1e9, 1000*int64(i)
		s.Apply(e)
	}
	return &s
}

// A machine was in a state and never entered or left it.
func TestDrawingOfStatesAlone(t *testing.T) {
	for state, want := range map[fsm.State]string{
		"Closed": `	"Closed" [label="Closed\n0×, 1s"];`,
		"Ajar":   `	"Ajar" [label="Ajar\n0×, 1s\nnot in this table", style="rounded,dotted"];`,
	} {
		s := summaryOf([]fsm.Event{{Kind: fsm.KindNote, Seq: 1, Run: "r1", MonoNS: 1e9, From: state, To: state}})
		if got := doorTable(t).DOTSummary(s); !strings.Contains(got, want+"\n") {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
}

func TestGraphvizReadsDOT(t *testing.T) {
	dot, err := exec.LookPath("dot")
	if err != nil {
		missing := t.Skip
		if os.Getenv("EVERHOP_TEST_REQUIRE") == "1" {
			missing = t.Fatal
		}
		missing("dot is missing: apt-get install graphviz")
	}
	table := oddTable(t)
	svg := drawn(t, dot, table.DOT())
	for _, label := range []string{
		`>say &quot;hi&quot;<`, `>back\slash|pipe<`, `>two<`, `>lines<`, // states
		`>Greet<`, `>Wave &quot;now&quot;<`, `>C:\new<`, `>a:b;c#d%%<`, // triggers, one a line
	} {
		if !strings.Contains(svg, label) {
			t.Errorf("the drawing does not show %s", label)
		}
	}
	// Six states and the start point; a misquoted name would make another node.
	if got := strings.Count(svg, `class="node"`); got != 7 {
		t.Errorf("the drawing has %d nodes, want 7", got)
	}
	// Two states more, and an edge for each trigger, the four that are not in the table and the start point's.
	svg = drawn(t, dot, table.DOTSummary(oddSummary()))
	if nodes, edges := strings.Count(svg, `class="node"`), strings.Count(svg, `class="edge"`); nodes != 9 || edges != 14+4+1 {
		t.Errorf("the drawing of what happened has %d nodes and %d edges", nodes, edges)
	}
}

// drawn returns a graph as SVG.
func drawn(t *testing.T, dot, graph string) string {
	t.Helper()
	cmd := exec.Command(dot, "-Tsvg")
	cmd.Stdin = strings.NewReader(graph)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	svg, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("dot: %v\n%s", err, &stderr)
	}
	return string(svg)
}
