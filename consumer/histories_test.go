package consumer_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// recordHistories is for a new version of the event format; the histories of a version stay as they are:
//
//	go test ./consumer -run Scenario -record-histories ../testdata/histories/v1
var recordHistories = flag.String("record-histories", "", "directory for the journals of the scenarios")

// Journals that were recorded once, from the scenarios against RabbitMQ, obey today's table. One that does
// not would mean that nobody could read their past any more.
func TestHistories(t *testing.T) {
	t.Parallel()
	histories, err := filepath.Glob("../testdata/histories/v*/*.jsonl")
	if err != nil || len(histories) < 15 {
		t.Fatal(err, histories)
	}
	for _, history := range histories {
		t.Run(filepath.Base(history), func(t *testing.T) {
			var damage error
			events := 0
			state, err := fsm.Replay(consumer.Lifecycle(), journal.Until(journal.Read(history), &damage))
			if err := errors.Join(err, damage); err != nil {
				t.Error(err)
			}
			for range journal.Read(history) {
				events++
			}
			if state != consumer.Disconnected || events < 4 {
				t.Errorf("it ends in %s, after %d events", state, events)
			}
		})
	}
}

// record keeps what a scenario's journal holds, if it is asked for.
func (r *rig) record() {
	name, isScenario := strings.CutPrefix(r.Name(), "TestScenario")
	if *recordHistories == "" || !isScenario || r.Failed() {
		return
	}
	dir := r.TempDir()
	journal, err := journal.Open(dir, journal.Options{})
	if err != nil {
		r.Fatal(err)
	}
	for _, e := range r.journal.Events() {
		err = errors.Join(err, journal.Append(e))
	}
	err = errors.Join(err, journal.Close())
	segments, failure := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err = errors.Join(err, failure); err != nil || len(segments) != 1 {
		r.Fatal(err, segments)
	}
	text, err := os.ReadFile(segments[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(*recordHistories, strings.ReplaceAll(name, "/", "_")+".jsonl"), text, 0o644)
	}
	if err != nil {
		r.Fatal(err)
	}
}
