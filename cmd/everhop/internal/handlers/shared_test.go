//go:build unix

package handlers

import (
	"strconv"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

// Commands that run at once write in pieces: what is passed on is whole lines.
func TestSharedLines(t *testing.T) {
	w := newFile(t)
	s := &shared{w: w, lines: true}
	var outputs commandOutputs
	for range 2 {
		o, err := s.open(new(pipes))
		if err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, o)
	}
	outputs.copy()
	write := func(i int, text string) {
		t.Helper()
		if _, err := outputs[i].write.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	has := func(text string) {
		t.Helper()
		rabbittest.Eventually(t, patience, strconv.Quote(text), func() bool { return contents(t, w) == text })
	}
	write(0, "x")
	write(1, "y\nyy")
	has("y\n")
	long := strings.Repeat("z", 3*copied)
	write(1, "y\n"+long)
	has("y\nyyy\n")
	write(0, "x\nx\nend")
	has("y\nyyy\nxx\nx\n")
	outputs.inherited()
	if !outputs.finish(t.Context()) {
		t.Error("not finished")
	}
	got := strings.TrimPrefix(contents(t, w), "y\nyyy\nxx\nx\n")
	if got != "end"+long && got != long+"end" {
		t.Errorf("the ends are %.20q", got)
	}
}
