package fsm_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/everhop/everhop/fsm"
)

// A deployment that is rolled out, fails its check and is rolled back. What it knows
// besides its states, a version and how far it got, are details of its own.
func Example_deployment() {
	if err := deploy(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Output:
	// Planned --Start--> Rolling: 2.4.0, 0 %
	// Rolling --Batch--> Rolling: 2.4.0, 50 %
	// Rolling --Batch--> Rolling: 2.4.0, 100 %
	// Rolling --Done--> Verifying: 2.4.0, 100 %
	// Verifying --Fail--> RolledBack: 2.4.0, 100 %, because 3 of 20 requests failed
	// as JSON: "trigger":"Fail","in_state_ms":60000,"version":"2.4.0","percent":100,"error":"3 of 20 requests failed"}
	// the table has 5 rows
}

// progress is what the events of a deployment tell of it.
type progress struct {
	Version string `json:"version"`
	Percent int    `json:"percent"`
}

func deploy() error {
	table, err := fsm.NewTable("Planned", []fsm.State{"Planned", "Rolling", "Verifying", "Live", "RolledBack"}, []fsm.Row{
		{From: []fsm.State{"Planned"}, Trigger: "Start", To: "Rolling", Doc: "somebody gave the word"},
		{From: []fsm.State{"Rolling"}, Trigger: "Batch", To: "Rolling", Doc: "some more hosts have it"},
		{From: []fsm.State{"Rolling"}, Trigger: "Done", To: "Verifying", Doc: "all hosts have it"},
		{From: []fsm.State{"Verifying"}, Trigger: "Pass", To: "Live", Doc: "it answers as it should"},
		{From: []fsm.State{"Rolling", "Verifying"}, Trigger: "Fail", To: "RolledBack", Doc: "the old version is back"},
	})
	if err != nil {
		return err
	}
	now := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC) // a clock of our own, for the sake of the output
	log := fsm.NewRing(100)
	deployment, err := fsm.New(table, fsm.Options{Name: "shop", Run: "1", Journal: log, Now: func() time.Time { return now }})
	if err != nil {
		return err
	}
	defer deployment.Close()

	for _, step := range []struct {
		trigger fsm.Trigger
		percent int
		failure string
	}{{"Start", 0, ""}, {"Batch", 50, ""}, {"Batch", 100, ""}, {"Done", 100, ""}, {"Fail", 100, "3 of 20 requests failed"}} {
		now = now.Add(time.Minute)
		details, err := fsm.NewDetails(progress{"2.4.0", step.percent})
		if err != nil {
			return err
		}
		if _, err := deployment.Fire(step.trigger, fsm.Evidence{Details: details, Error: step.failure}); err != nil {
			return err
		}
	}

	for _, e := range log.Events() {
		var p progress
		if err := e.Details.Decode(&p); err != nil {
			return err
		}
		fmt.Printf("%s --%s--> %s: %s, %d %%", e.From, e.Trigger, e.To, p.Version, p.Percent)
		if e.Error != "" {
			fmt.Printf(", because %s", e.Error)
		}
		fmt.Println()
	}
	text, err := json.Marshal(deployment.Last())
	if err != nil {
		return err
	}
	_, end, _ := strings.Cut(string(text), `"to":"RolledBack",`)
	fmt.Println("as JSON:", end)
	fmt.Printf("the table has %d rows\n", strings.Count(table.Markdown(), "\n")-2)
	return nil
}
