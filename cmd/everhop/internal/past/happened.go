package past

import (
	"cmp"
	"context"
	"fmt"

	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// Drawing is what there is to draw of a machine.
type Drawing struct {
	Of       *history.Lifecycle
	Happened *fsm.Summary // nil if that is not to be drawn
	Warnings []string     // of what the drawing does not show
}

// Happened returns what happened to the machine of that name, or with nil to the only one there is.
func Happened(ctx context.Context, s Source, name *string) (Drawing, error) {
	happened, told := new(fsm.Summary), new(history.Summary)
	var of *history.Lifecycle
	var found bool
	var all machines
	machine := ""
	if name != nil {
		machine = *name
	}
	for e, err := range s.events(ctx) {
		if err != nil {
			return Drawing{}, err
		}
		if all.saw(e.Machine); len(all) == 1 && name == nil {
			machine = e.Machine
		}
		if e.Machine == machine {
			found = true
			happened.Apply(e)
			told.Apply(e)
			if of == nil {
				of = history.LifecycleOf(e)
			}
		}
	}
	switch {
	case name == nil && len(all) > 1:
		return Drawing{}, about(s.name(), "--machine has to tell which one of several: %v", all)
	case !found && len(all) > 0:
		return Drawing{}, all.without(s.name(), machine)
	}
	of = cmp.Or(of, history.Consumer())
	if r := told.Report(); r.Stalls > 0 {
		happened.Remarks = map[fsm.State]string{of.Up: fmt.Sprintf("stood still %d×, %s (down)", r.Stalls, Span(r.Stalled))}
	}
	return Drawing{of, happened, doubts(happened)}, nil
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
