package past

import (
	"slices"
	"strings"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// machines are the names that a log has, in their order, as far as anybody wants to read them.
type machines []string

const mostMachines = 10

// saw adds a name, unless it is there already.
func (m *machines) saw(name string) {
	if len(*m) < mostMachines && !slices.Contains(*m, name) {
		*m = append(*m, name)
	}
}

func (m machines) String() string {
	names := make([]string, len(m))
	for i, name := range m {
		if names[i] = term.Clean(name); name == "" {
			names[i] = "one without a name"
		}
	}
	return strings.Join(names, ", ")
}

// without is the error that name, in a source, is not among them.
func (m machines) without(source, name string) error {
	return about(source, "nothing of machine %q; there is: %v", name, m)
}
