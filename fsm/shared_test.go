package fsm_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
)

// A summary is read while a machine runs: what is read is never half an event, and the
// race detector sees no two of them at once.
func TestSharedIsReadWhileItGrows(t *testing.T) {
	const trips = 2000
	shared := fsm.Share(new(fsm.Summary))
	m := newMachine(t, doorTable(t), fsm.Options{})
	feed := m.Feed(2*trips + 1)
	var group sync.WaitGroup
	group.Go(func() {
		for e := range feed.All(t.Context()) {
			shared.Apply(e)
		}
	})
	read := func() (n uint64) {
		shared.Read(func(s *fsm.Summary) {
			n = s.Transitions
			var edges, visits uint64
			for _, e := range s.Edges() {
				edges += e.Durations.Count
			}
			for _, state := range s.States() {
				visits += state.Visits
			}
			if s.Events != n || edges != n || visits != n {
				t.Errorf("%d events, %d transitions, %d by edges, %d visits", s.Events, n, edges, visits)
			}
		})
		return n
	}
	for range 2 {
		group.Go(func() {
			for seen := uint64(0); seen < 2*trips; {
				n := read()
				if n < seen {
					t.Errorf("%d transitions after %d", n, seen)
				}
				seen = n
			}
		})
	}
	for range trips {
		fire(t, m, "Open", "Close")
	}
	m.Close()
	group.Wait()
}

// How long a door was open is asked for while it is in use.
func ExampleShare() {
	table, err := fsm.NewTable("Closed", []fsm.State{"Closed", "Open"}, []fsm.Row{
		{From: []fsm.State{"Closed"}, Trigger: "Open", To: "Open", Doc: "somebody comes"},
		{From: []fsm.State{"Open"}, Trigger: "Close", To: "Closed", Doc: "it is cold"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC) // a clock of our own, for the sake of the output
	door, err := fsm.New(table, fsm.Options{Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}
	usage := fsm.Share(new(fsm.Summary))
	feed := door.Feed(0)
	var group sync.WaitGroup
	group.Go(func() { // meanwhile
		for e := range feed.All(context.Background()) {
			usage.Apply(e)
		}
	})

	for _, trigger := range []fsm.Trigger{"Open", "Close", "Open"} {
		now = now.Add(time.Minute)
		if _, err := door.Fire(trigger, fsm.Evidence{}); err != nil {
			fmt.Println(err)
		}
		usage.Read(func(s *fsm.Summary) { _ = s.State("Open").Visits }) // 0 or more: it does not wait for the feed
	}
	door.Close()
	group.Wait()
	usage.Read(func(s *fsm.Summary) {
		fmt.Println("opened", s.State("Open").Visits, "times, and open for", s.State("Open").Time)
	})
	// Output: opened 2 times, and open for 1m0s
}
