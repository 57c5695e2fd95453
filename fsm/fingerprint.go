package fsm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Fingerprint returns 16 hexadecimal digits that stand for what the table means:
// its states, the initial one, and which trigger leads where. The order of states
// and rows and the Docs do not count. A log with another fingerprint was written
// with another table, which is no reason yet for its replay to diverge.
func (t *Table) Fingerprint() string { return t.fingerprint }

func (t *Table) hash() string {
	lines := []string{fmt.Sprintf("initial %q", t.initial)}
	for _, s := range t.states {
		lines = append(lines, fmt.Sprintf("state %q", s))
	}
	for step, to := range t.next {
		lines = append(lines, fmt.Sprintf("step %q %q %q", step.from, step.trigger, to))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}
