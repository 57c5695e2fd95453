package journal_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// drawTable draws a table of one to six states: to each leads a trigger, from all
// states or from some; from the first at least.
func drawTable(t *rapid.T) *fsm.Table {
	states := make([]fsm.State, rapid.IntRange(1, 6).Draw(t, "states"))
	for i := range states {
		states[i] = fsm.State(fmt.Sprintf("S%d", i))
	}
	rows := make([]fsm.Row, len(states))
	for i, to := range states {
		from := states[:rapid.IntRange(1, len(states)).Draw(t, "from")]
		rows[i] = fsm.Row{From: from, Trigger: fsm.Trigger("To" + to), To: to, Doc: "drawn"}
	}
	table, err := fsm.NewTable(states[0], states, rows)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// A random walk: runs end and begin, segments rotate and are retained, the disk fills
// within any write, files are removed. Whatever is left replays, and leads to the
// state the machine was in.
func TestRandomWalk(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		table, clock, dir := drawTable(r), newClock(), memoryDir(t)
		triggers := rapid.SampledFrom(append(table.Triggers(), "Unheard"))
		objects := rapid.SampledFrom([]string{`{}`, `{"hosts":3}`, `{"prev":"00000000"}`, `{"x":["}",{"crc":"00000000"}]}`})
		o := journal.Options{
			SegmentBytes: rapid.Int64Range(1, 2000).Draw(r, "segment"), RetainBytes: rapid.Int64Range(2000, 8000).Draw(r, "retain"),
			Sync: journal.SyncNever, Now: clock.Now,
		}
		state := table.Initial()
		for run := range rapid.IntRange(1, 4).Draw(r, "runs") {
			j, err := journal.Open(dir, o)
			if err != nil {
				r.Fatal(err)
			}
			m, err := fsm.New(table, fsm.Options{Run: fmt.Sprint(run), Journal: j, Now: clock.Now})
			if err != nil || m.State() != state {
				r.Fatalf("New: %v, in %s instead of %s", err, m.State(), state)
			}
			for range rapid.IntRange(0, 20).Draw(r, "steps") {
				clock.move(time.Duration(rapid.Int64Range(0, 2e9).Draw(r, "ns")))
				room := rapid.IntRange(-1000, 500).Draw(r, "room")
				j.BreakWrite(func(f *os.File, b []byte) (int, error) {
					if room < 0 {
						return f.Write(b)
					}
					n, _ := f.Write(b[:min(room, len(b))])
					return n, errFull
				})
				if rapid.IntRange(0, 9).Draw(r, "remove") == 0 {
					for _, path := range segmentsOf(t, dir) {
						os.Remove(path)
					}
				}
				if rapid.IntRange(0, 4).Draw(r, "record") == 0 {
					_, _ = m.Record(fsm.KindBoot, "", fsm.Evidence{})
				} else {
					_, _ = m.Fire(triggers.Draw(r, "trigger"), fsm.Evidence{Details: details(t, objects.Draw(r, "details"))})
				}
			}
			state = m.State()
			written := m.Last().Seq > 0
			m.Close()
			j.BreakWrite((*os.File).Write)
			if err := j.Close(); err != nil {
				r.Fatal(err)
			}
			var damage error
			got, err := fsm.Replay(table, journal.Until(journal.Read(dir), &damage))
			if err != nil || damage != nil || written && got != state {
				r.Fatalf("replay: %s, %v, %v; the machine was in %s", got, err, damage, state)
			}
		}
	})
}
