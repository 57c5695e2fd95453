package publish_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	past "github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// A publisher whose process stood still says so, within 5 s of going on, whatever it waits for; and it was down meanwhile.
func TestStandstill(t *testing.T) {
	const s = time.Second
	type told struct {
		name  string
		ms    int64
		level string
	}
	stalled := func(d time.Duration) told { return told{publish.NoteStalled, d.Milliseconds(), "warn"} }
	for name, c := range map[string]struct {
		before      func(*rig)
		stood, set  time.Duration
		want        []told
		down, stall time.Duration // down of what was up, and as an outage of its own
	}{
		"nothing":            {nil, 0, 0, nil, 0, 0},
		"a busy machine":     {nil, s * 9 / 10, 0, nil, 0, 0},
		"stopped":            {nil, 50 * s, 0, []told{stalled(50 * s)}, 50 * s, 50 * s},
		"suspended":          {nil, 0, 60 * s, []told{stalled(60 * s)}, 60 * s, 60 * s},
		"the clock set back": {nil, 0, -60 * s, []told{{publish.NoteClockSetBack, 0, "info"}}, 0, 0},
		"stopped, and the clock set back": {nil, 50 * s, -60 * s,
			[]told{stalled(50 * s), {publish.NoteClockSetBack, 0, "info"}}, 50 * s, 50 * s},
		"an idle hour before": {func(*rig) { time.Sleep(time.Hour) }, 50 * s, 0, []told{stalled(50 * s)}, 50 * s, 50 * s},
		"while it is blocked": {func(r *rig) {
			r.declare("q")
			r.server.Alarm("low on disk")
			r.send(to("q", "")) // the broker tells who publishes
		}, 50 * s, 0, []told{stalled(50 * s)}, 5 * s, 0}, // for as long as it is watched below
		"while it waits to revive": {func(r *rig) {
			r.server.RefuseConnections()
			r.server.Inject(brokertest.Now(), brokertest.Reset())
			time.Sleep(s) // an attempt has failed, and the next one is far away
		}, 50 * s, 0, []told{stalled(50 * s)}, 6 * s, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			far := publish.Backoff{Initial: 23 * time.Hour, Max: 24 * time.Hour}
			inRig(t, func(c *publish.Config) { c.Logger, c.ReviveBackoff = zerolog.New(zerolog.SyncWriter(&log)), far }, func(r *rig) {
				time.Sleep(5*time.Minute + s)
				if c.before != nil {
					c.before(r)
				}
				synctest.Wait()
				r.standStill(c.stood)
				r.setAhead(c.set)
				time.Sleep(5 * s)
				synctest.Wait()
				levels := levelsOf(t, log.Bytes())
				var got []told
				for _, e := range r.notes() {
					got = append(got, told{e.Name, publish.EvidenceOf(e).StalledMS, levels[e.Seq]})
					if e.Note == "" || publish.EvidenceOf(e).Generation == 0 {
						t.Errorf("%+v", e)
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("told %v, want %v", got, c.want)
				}
				r.server.ClearAlarm()
				synctest.Wait()
				r.must(r.p.Stop(r.Context()))
				synctest.Wait()
				var sum past.Summary
				for _, e := range r.events {
					sum.Apply(e)
				}
				if report := sum.Report(); report.Down != c.down || report.Stalled != c.stall || report.Up < 4*time.Minute {
					t.Errorf("up %v, down %v, of that stalled %v", report.Up, report.Down, report.Stalled)
				}
			})
		})
	}
}

// levelsOf are those of log lines, by the number of the event.
func levelsOf(t *testing.T, log []byte) map[uint64]string {
	t.Helper()
	levels := map[uint64]string{}
	for line := range bytes.Lines(log) {
		var said struct {
			Seq   uint64
			Level string
		}
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		levels[said.Seq] = said.Level
	}
	return levels
}

// slowDisk is a journal that holds up whoever appends to it, at each transition by one trigger.
type slowDisk struct {
	*fsm.Ring
	at   fsm.Trigger
	hold time.Duration
}

func (d *slowDisk) Append(e fsm.Event) error {
	if e.Trigger == d.at {
		time.Sleep(d.hold)
	}
	return d.Ring.Append(e)
}

// A journal that is slow is no standstill.
func TestSlowJournalIsNoStandstill(t *testing.T) {
	for _, at := range []fsm.Trigger{publish.Connect, publish.Connected, publish.ConnectionBlocked, publish.ConnectionError, publish.Revived} {
		t.Run(string(at), func(t *testing.T) {
			inRig(t, func(c *publish.Config) { c.Journal = &slowDisk{fsm.NewRing(0), at, 50 * time.Second} }, func(r *rig) {
				r.declare("q")
				for range 3 {
					time.Sleep(3 * time.Minute)
					r.server.Alarm("low on disk")
					r.send(to("q", "")) // the broker tells who publishes
					time.Sleep(3 * time.Minute)
					r.server.ClearAlarm()
					time.Sleep(3 * time.Minute)
					r.server.Inject(brokertest.Now(), brokertest.Reset())
				}
				time.Sleep(3 * time.Minute)
				if triggers := r.triggers(); !slices.Contains(triggers, at) {
					t.Errorf("%v", triggers)
				}
				for _, e := range r.notes() {
					t.Errorf("%s, %s", e.Name, e.Note)
				}
			})
		})
	}
}
