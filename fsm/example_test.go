package fsm_test

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/everhop/everhop/fsm"
)

// A door that opens, closes, and refuses what makes no sense.
func Example() {
	if err := runDoor(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Output:
	// Closed, permits [Open]
	// fsm: "Open" does not permit "Open", only: Close
	// 1 transition Closed --Open--> Open after 0 ms: the bell rang
	// 2 rejected   Open --Open--> Open after 250 ms
	// 3 transition Open --Close--> Closed after 500 ms
	// replayed: Closed, live: Closed
}

func runDoor() error {
	table, err := fsm.NewTable("Closed", []fsm.State{"Closed", "Open"}, []fsm.Row{
		{From: []fsm.State{"Closed"}, Trigger: "Open", To: "Open", Doc: "somebody comes"},
		{From: []fsm.State{"Open"}, Trigger: "Close", To: "Closed", Doc: "it is cold"},
	})
	if err != nil {
		return err
	}

	now := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC) // a clock of our own, for the sake of the output
	journal := fsm.NewRing(100)
	door, err := fsm.New(table, fsm.Options{Name: "front door", Journal: journal, Now: func() time.Time { return now }})
	if err != nil {
		return err
	}
	defer door.Close()
	fmt.Printf("%s, permits %s\n", door.State(), table.Permitted(door.State()))

	if _, err := door.Fire("Open", fsm.Evidence{Note: "the bell rang"}); err != nil {
		return err
	}
	now = now.Add(250 * time.Millisecond)
	if _, err := door.Fire("Open", fsm.Evidence{}); err != nil {
		fmt.Println(err) // refused, and the log says so
	}
	now = now.Add(250 * time.Millisecond)
	if _, err := door.Fire("Close", fsm.Evidence{}); err != nil {
		return err
	}

	for _, e := range journal.Events() {
		fmt.Printf("%d %-10s %s --%s--> %s after %d ms", e.Seq, e.Kind, e.From, e.Trigger, e.To, e.InStateMS)
		if e.Note != "" {
			fmt.Printf(": %s", e.Note)
		}
		fmt.Println()
	}
	state, err := fsm.Replay(table, slices.Values(journal.Events()))
	fmt.Printf("replayed: %s, live: %s\n", state, door.State())
	return err
}
