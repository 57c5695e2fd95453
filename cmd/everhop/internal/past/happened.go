package past

import (
	"context"
	"fmt"

	"github.com/everhop/everhop/fsm"
)

// Happened returns what happened to the machine of that name, or with nil to the only one there is. The warnings
// say what a drawing of it does not show.
func Happened(ctx context.Context, s Source, name *string) (happened *fsm.Summary, warnings []string, err error) {
	happened = new(fsm.Summary)
	var found bool
	var all machines
	machine := ""
	if name != nil {
		machine = *name
	}
	for e, err := range s.events(ctx) {
		if err != nil {
			return nil, nil, err
		}
		if all.saw(e.Machine); len(all) == 1 && name == nil {
			machine = e.Machine
		}
		if e.Machine == machine {
			found = true
			happened.Apply(e)
		}
	}
	switch {
	case name == nil && len(all) > 1:
		return nil, nil, about(s.name(), "--machine has to tell which one of several: %v", all)
	case !found && len(all) > 0:
		return nil, nil, all.without(s.name(), machine)
	}
	return happened, doubts(happened), nil
}

// doubts say why a drawing is not to be trusted.
func doubts(happened *fsm.Summary) (warnings []string) {
	if happened.Overlaps > 0 {
		warnings = append(warnings, "runs went on after the next one had begun: several machines have this name; times are not to be trusted")
	}
	if missing := happened.Missing; missing > 0 {
		verb := "are"
		if missing == 1 {
			verb = "is"
		}
		warnings = append(warnings, fmt.Sprintf("%s %s not in this log: counts and times are lower bounds", counted(missing, "event"), verb))
	}
	return warnings
}
