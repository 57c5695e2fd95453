package main

import "fmt"

// summary is what a demo came to.
func summary(outcomes []outcome, t tally, ink ink) []string {
	var lines []string
	if len(outcomes) > 0 {
		lines = append(lines, "", ink.paint("what happened        noticed after   handled again after   redelivered", bold))
	}
	for _, o := range outcomes {
		lines = append(lines, fmt.Sprintf("%-20s %13s %21s %13d", o.fault, span(o.noticed), span(o.handled), o.redelivered))
		if o.ended != absent {
			lines = append(lines, fmt.Sprintf("%-20s %13s %21s", "  since its return", "", span(o.sinceReturn())))
		}
	}
	lost := fmt.Sprintf("%d lost", t.lost)
	if t.lost > 0 {
		lost = ink.paint(lost, bold, red)
	} else {
		lost = ink.paint(lost, bold, green)
	}
	total := fmt.Sprintf("%s published and confirmed, %d handled, %s", messages(t.published), t.handled, lost)
	if t.waiting > 0 {
		total += fmt.Sprintf(", %d still in the queue", t.waiting)
	}
	lines = append(lines, "", total+".")
	if t.redelivered > 0 {
		lines = append(lines,
			fmt.Sprintf("%d redelivered, %d handled more than once (at least once is the promise).", t.redelivered, t.repeated))
	}
	return lines
}

// whereToGo is what to do next; graph is the file that has the graph of this run, if there is one.
func whereToGo(graph string, ink ink) []string {
	drawing := "everhop demo --dot run.dot"
	if graph != "" {
		drawing = "dot -Tsvg " + graph + " > run.svg"
	}
	return []string{
		"",
		ink.paint("Where to go next", bold),
		"  your queue    everhop consume --url amqp://localhost/ --queue orders",
		`  your program  import "github.com/everhop/everhop/consumer"`,
		"  the states    everhop graph | dot -Tsvg > states.svg",
		"  with counts   " + drawing,
	}
}
