package history

import (
	"math"
	"slices"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Summary is a projection of the events of one machine onto a few numbers. The zero value is ready for
// use. It takes constant memory, apart from 8 bytes for each outage that was recovered from.
//
// A Summary belongs to one goroutine at a time.
type Summary struct {
	// Since and Until bound what is counted, where they are not zero. The state and the outage that Since
	// falls into are known from the events before, so it wants these too; an outage counts as a whole.
	// What follows the first event behind Until is ignored. To be set before the first Add.
	Since, Until time.Time

	at      position
	past    []string // runs before that of at, the newest last, at most maxPast
	now     condition
	totals  totals
	counted bool // Since was reached
	over    bool // Until was
}

// maxPast is how many runs may take turns, and be told from runs after one another.
const maxPast = 16

// position is where in the log the newest event is.
type position struct {
	begun bool
	run   string
	seq   uint64
	time  time.Time
	mono  int64
}

// Apply counts an event.
func (s *Summary) Apply(e fsm.Event) { s.add(&e) }

func (s *Summary) add(e *fsm.Event) {
	if s.over {
		return
	}
	if s.at.begun && e.Run == s.at.run && e.Seq <= s.at.seq && e.Kind != fsm.KindSnapshot {
		s.totals.repeated++
		return
	}
	if !s.counted && !e.Time.Before(s.Since) {
		s.bound(e, s.Since)
		s.count()
	}
	if !s.Until.IsZero() && e.Time.After(s.Until) {
		s.bound(e, s.Until)
		s.over = true
		return
	}
	switch {
	case !s.at.begun:
		s.begin(e)
	case e.Kind == fsm.KindSnapshot:
		s.resume(e)
		return
	case e.Kind == fsm.KindGap:
		s.skip(e)
	case e.Run == s.at.run:
		s.follow(e)
	default:
		s.restart(e)
	}
	if e.Kind != fsm.KindSnapshot {
		s.apply(e)
	}
}

// count begins to count.
func (s *Summary) count() {
	s.counted = true
	s.totals = totals{first: s.at.time}
	if s.at.begun {
		s.totals.runs = 1
	}
	if s.now.failed {
		s.totals.outages = 1
	}
}

// begin starts with the first event of the log.
func (s *Summary) begin(e *fsm.Event) {
	state := e.From
	if e.Kind == fsm.KindSnapshot || e.Kind == fsm.KindGap {
		state = e.To
	}
	s.totals.first, s.totals.runs = e.Time, 1
	s.now = condition{
		state: state, stopped: state == consumer.Disconnected,
		since: e.Time.Add(-lasted(e)), known: lasted(e) > 0 || e.Seq <= 1,
	}
	switch s.now.kind() {
	case up:
		s.now.up = s.now.since
	case down:
		s.now.outage = Outage{Begin: e.Time, Cut: true}
		if state != consumer.Connecting {
			s.fail(Cause{})
		}
	}
	s.move(e)
	if e.Kind == fsm.KindGap {
		s.at.seq--
	}
}

// follow reaches the next event of the run. If it comes from another state than the known one, events are
// missing in between, and InStateMS tells when the last of these was.
func (s *Summary) follow(e *fsm.Event) {
	passed := s.elapsed(e)
	if e.From == s.now.state {
		s.pass(passed)
	} else {
		in := min(passed, lasted(e))
		s.pass(passed - in)
		s.enter(e.From, e.Time.Add(-in), nil)
		s.pass(in)
	}
	s.number(e)
	s.move(e)
}

// restart reaches the first event of another run.
func (s *Summary) restart(e *fsm.Event) {
	passed := max(0, e.Time.Sub(s.at.time))
	if e.Trigger == consumer.ProcessRestarted { // From is the state of the run before
		s.end(passed, e)
	} else {
		var in time.Duration
		if e.From != consumer.Disconnected {
			in = min(passed, lasted(e)) // the log has not the begin of the run
		}
		s.end(passed-in, e)
		s.enter(e.From, e.Time.Add(-in), nil)
		s.pass(in)
	}
	if slices.Contains(s.past, e.Run) {
		s.totals.overlaps++
	} else {
		s.totals.runs++
	}
	if e.Seq <= s.at.seq {
		s.at.seq = 0 // without a journal, each run begins with 1
	}
	s.number(e)
	s.move(e)
}

// end passes the time behind a run, before next, which is of another one.
func (s *Summary) end(passed time.Duration, next *fsm.Event) {
	if s.now.state != consumer.Disconnected && !s.now.ended {
		s.abort(next)
	}
	s.pass(passed)
}

// abort says that the run has ended without Stop. When is not recorded: at the newest event, or later.
// A run that overlaps with an older one that goes on need not have ended.
func (s *Summary) abort(next *fsm.Event) {
	if !slices.Contains(s.past, next.Run) {
		s.totals.aborted++
	}
	before := s.now.kind()
	s.now.ended = true
	s.change(before, s.at.time)
	s.fail(Cause{Trigger: consumer.ProcessRestarted})
}

// skip reaches the events behind a gap.
func (s *Summary) skip(gap *fsm.Event) {
	if gap.Run == s.at.run {
		s.lose(s.elapsed(gap))
	} else {
		s.lose(max(0, gap.Time.Sub(s.at.time)))
		s.totals.runs++
	}
	s.enter(gap.To, gap.Time, nil)
	s.number(gap)
	s.move(gap)
	s.at.seq = gap.Seq - 1 // it stands for the first that is missing
}

// resume takes from a snapshot what the log has not said.
func (s *Summary) resume(e *fsm.Event) {
	if e.Run != s.at.run || e.Seq < s.at.seq {
		return
	}
	if e.Seq == s.at.seq { // a sign of life
		s.pass(s.elapsed(e))
	} else {
		s.lose(s.elapsed(e))
		s.enter(e.To, e.Time, nil)
		s.totals.missing += e.Seq - s.at.seq
	}
	s.move(e)
}

// bound reaches a bound of the time that is counted, which lies before e.
func (s *Summary) bound(e *fsm.Event, bound time.Time) {
	wall := bound.Sub(s.at.time)
	if !s.at.begun || wall <= 0 {
		return
	}
	switch {
	case e.Run == s.at.run:
		passed := min(wall, s.elapsed(e))
		if e.Kind == fsm.KindGap {
			s.lose(passed)
		} else {
			s.pass(passed)
		}
		s.at.mono += int64(passed)
	case e.Kind == fsm.KindGap:
		s.lose(wall)
	default:
		s.end(wall, e)
	}
	s.at.time = bound
}

// elapsed is the time since the newest event, within a run.
func (s *Summary) elapsed(e *fsm.Event) time.Duration {
	return time.Duration(max(0, e.MonoNS-s.at.mono))
}

func (s *Summary) move(e *fsm.Event) {
	if s.at.begun && e.Run != s.at.run && !slices.Contains(s.past, s.at.run) {
		s.past = append(s.past, s.at.run)
		s.past = s.past[max(0, len(s.past)-maxPast):]
	}
	s.at = position{begun: true, run: e.Run, seq: e.Seq, time: e.Time, mono: e.MonoNS}
}

// number counts the events that are missing before e.
func (s *Summary) number(e *fsm.Event) {
	if e.Seq > s.at.seq+1 {
		s.totals.missing += e.Seq - s.at.seq - 1
	}
}

// lasted is how long the state before e had lasted, within its run.
func lasted(e *fsm.Event) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(0, e.InStateMS), most)) * time.Millisecond
}
