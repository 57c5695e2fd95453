package journal_test

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// An order that is paid and shipped, in two processes: the second continues the
// log of the first, and the log tells both.
func ExampleOpen() {
	if err := shipOrder(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Output:
	// the first process ends in paid
	// the second starts in paid
	// new --pay--> paid after 1m30s
	// paid --ship--> shipped after 2s
	// replayed: shipped
}

func shipOrder() error {
	order, err := fsm.NewTable("new", []fsm.State{"new", "paid", "shipped", "cancelled"}, []fsm.Row{
		{From: []fsm.State{"new"}, Trigger: "pay", To: "paid", Doc: "the money arrived"},
		{From: []fsm.State{"paid"}, Trigger: "ship", To: "shipped", Doc: "the parcel left"},
		{From: []fsm.State{"new", "paid"}, Trigger: "cancel", To: "cancelled", Doc: "the customer changed their mind"},
	})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "order-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	first, err := advance(order, dir, "pay", 90*time.Second)
	if err != nil {
		return err
	}
	fmt.Printf("the first process ends in %s\n", first)
	if _, err := advance(order, dir, "ship", 2*time.Second); err != nil {
		return err
	}

	var summary fsm.Summary
	if err := fsm.Project(journal.Read(dir), &summary); err != nil {
		return err
	}
	for _, edge := range summary.Edges() {
		fmt.Printf("%s --%s--> %s after %s\n", edge.From, edge.Trigger, edge.To, edge.Durations.Quantile(1))
	}
	var damage error
	state, err := fsm.Replay(order, journal.Until(journal.Read(dir), &damage))
	if err := errors.Join(err, damage); err != nil {
		return err
	}
	fmt.Printf("replayed: %s\n", state)
	return nil
}

// advance is one process: it opens the journal, fires once, and goes.
func advance(order *fsm.Table, dir string, trigger fsm.Trigger, after time.Duration) (fsm.State, error) {
	j, err := journal.Open(dir, journal.Options{})
	if err != nil {
		return "", err
	}
	now := time.Now()
	machine, err := fsm.New(order, fsm.Options{Name: "order 7", Journal: j, Now: func() time.Time { return now }})
	if err != nil {
		return "", err
	}
	defer machine.Close()
	if trigger == "ship" {
		fmt.Printf("the second starts in %s\n", machine.State())
	}
	now = now.Add(after) // a clock of our own, for the sake of the output
	if _, err := machine.Fire(trigger, fsm.Evidence{}); err != nil {
		return "", err
	}
	return machine.State(), j.Close()
}
