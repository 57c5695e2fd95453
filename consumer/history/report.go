package history

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/everhop/everhop/fsm"
)

// Report is what a [Summary] has counted.
type Report struct {
	// First and Last are the times of the first and the last event, or Since and Until. If the log has the start
	// of its first run, First is that.
	First, Last time.Time
	// Events is how many the log has in that time, each once. Gaps and snapshots are none.
	Events uint64
	// Runs counts the runs, Aborted those of them that ended without Stop. The last one is not among these
	// while nothing follows it: nobody has recorded whether it goes on. [Summary.Now] tells how it ends in the log.
	Runs, Aborted int

	// Up, Down, Stopped and Unknown make up the time from First to Last; see the package's documentation.
	Up, Down, Stopped, Unknown time.Duration
	// Unrecorded is the part of Down in which it may have been up after all.
	Unrecorded time.Duration
	// InState is how long each state lasted altogether, as [fsm.Summary] has it. The rest is in none: Between is
	// the time between two runs, when no process ran, Unseen that in which events are missing, Suspended that
	// in which the machine was suspended, with the clock that states are measured by.
	InState                    map[fsm.State]time.Duration
	Between, Unseen, Suspended time.Duration

	// Stalls counts how often the process stood still while it was up, and Stalled is for how long. It is a part of Down,
	// though the state says otherwise.
	Stalls  int
	Stalled time.Duration
	// Outages counts those under way too.
	Outages int
	// Revivals counts the outages after which it was up, by [Cause.Name].
	Revivals map[string]int
	// Recoveries is how many of them the log has from their beginning on; the times are theirs. At least
	// 50 per cent of them took P50 or less, and 95 per cent P95 or less.
	Recoveries                         int
	RecoverP50, RecoverP95, RecoverMax time.Duration
	// Longest is the longest outage. Its Begin is zero if there was none.
	Longest Outage
	// Attempts counts the attempts to connect or to revive, MostAttempts those of the outage with most.
	Attempts, MostAttempts int

	Rejected, Stale, Notes uint64
	// Gaps counts the records of missing events, Missing the events that the log does not have between its
	// first and its last one; not all of these need have been written. A gap at the end counts as one.
	Gaps, Missing uint64
	// Queues are what became of messages, by the queue's name. A minute counts where it ends.
	Queues []Outcomes
	// Repeated counts the events that the log had before.
	Repeated uint64
	// Overlaps counts how often a run went on after the next one had begun. If it is not zero, several
	// machines have the same name, and all other numbers mean little.
	Overlaps int
}

// Availability is the share of the time in which it was up, of that in which it should be; false if there
// was none.
func (r Report) Availability() (share float64, ok bool) {
	should := r.Up + r.Down
	if should <= 0 {
		return 0, false
	}
	return float64(r.Up) / float64(should), true
}

// totals is what was counted so far.
type totals struct {
	first                          time.Time
	events, rejected, stale, notes uint64
	gaps, missing, repeated        uint64
	runs, aborted, overlaps        int
	up, down, stopped, unknown     time.Duration
	unrecorded                     time.Duration
	between, unseen, suspended     time.Duration
	inState                        map[fsm.State]time.Duration
	outages, attempts, most        int
	revivals                       map[string]int
	recoveries                     []time.Duration
	longest                        Outage
	queues                         queues
	stalls                         int
	stalled                        time.Duration
}

// step counts what lies before an event.
func (t *totals) step(step *fsm.Step) {
	t.missing += step.Missing
	switch {
	case step.Run == fsm.OldRun:
		t.overlaps++
	case step.Run == fsm.NewRun && !step.First:
		t.runs++
	}
}

func (t *totals) spend(state fsm.State, d time.Duration) {
	if t.inState == nil {
		t.inState = make(map[fsm.State]time.Duration)
	}
	t.inState[state] += d
}

func (t *totals) revived(cause string) {
	if t.revivals == nil {
		t.revivals = make(map[string]int)
	}
	t.revivals[cause]++
}

// ended counts an outage that is over, and whether it has been up since.
func (t *totals) ended(o Outage, isRecovered bool) {
	t.saw(o)
	if !isRecovered {
		return
	}
	t.revived(o.Cause.Name())
	if !o.Cut {
		t.recoveries = append(t.recoveries, o.Duration)
	}
}

// clone shares nothing with t.
func (t totals) clone() totals {
	t.inState, t.revivals, t.recoveries = maps.Clone(t.inState), maps.Clone(t.revivals), slices.Clone(t.recoveries)
	t.queues = t.queues.clone()
	return t
}

// saw compares an outage with those before.
func (t *totals) saw(o Outage) {
	t.most = max(t.most, o.Attempts)
	if t.longest.Begin.IsZero() || o.Duration > t.longest.Duration {
		t.longest = o
	}
}

// Report returns what was counted so far: the zero Report before the first event, or the first behind Since.
func (s *Summary) Report() Report {
	if !s.begun || !s.counted {
		return Report{}
	}
	c := s.Clone()
	c.settle()
	t := c.totals
	if c.now.failed {
		t.saw(c.now.outage)
	}
	r := Report{
		First: t.first, Last: c.at, Events: t.events, Runs: t.runs, Aborted: t.aborted,
		Up: t.up, Down: t.down, Stopped: t.stopped, Unknown: t.unknown, Unrecorded: t.unrecorded,
		InState: t.inState, Between: t.between, Unseen: t.unseen, Suspended: t.suspended,
		Outages: t.outages, Revivals: t.revivals, Longest: t.longest,
		Attempts: t.attempts, MostAttempts: t.most,
		Rejected: t.rejected, Stale: t.stale, Notes: t.notes,
		Gaps: t.gaps, Missing: t.missing, Repeated: t.repeated, Overlaps: t.overlaps,
		Queues: t.queues.sorted(), Stalls: t.stalls, Stalled: t.stalled,
	}
	if n := len(t.recoveries); n > 0 {
		slices.Sort(t.recoveries)
		r.Recoveries, r.RecoverP50, r.RecoverP95, r.RecoverMax = n, rank(t.recoveries, 0.50), rank(t.recoveries, 0.95), t.recoveries[n-1]
	}
	return r
}

// rank is the least of the values that so big a share of all does not exceed.
func rank(sorted []time.Duration, share float64) time.Duration {
	return sorted[max(1, int(math.Ceil(share*float64(len(sorted)))))-1]
}
