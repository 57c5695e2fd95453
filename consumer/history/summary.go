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
// A Summary belongs to one goroutine at a time; [fsm.Share] is for several. It must not be copied, but with
// Clone.
type Summary struct {
	// Since and Until bound what is counted, where they are not zero. The state and the outage that Since
	// falls into are known from the events before, so it wants these too; an outage counts as a whole.
	// What follows the first event behind Until is ignored, even if it would tell that what came before was not
	// up. To be set before the first Apply.
	Since, Until time.Time
	// Keep is how many outages are kept for Outages, the newest ones. Defaults to none. To be set before the first Apply.
	Keep int

	walker  fsm.Walker
	begun   bool
	at      time.Time // of the newest event, or of a bound behind it
	now     condition
	totals  totals
	kept    []Outage
	counted bool // Since was reached
	over    bool // Until was
}

// Apply counts an event.
func (s *Summary) Apply(e fsm.Event) {
	if s.over {
		return
	}
	step := s.walker.Walk(&e)
	if step.Repeated {
		if e.Kind != fsm.KindSnapshot {
			s.totals.repeated++
		}
		return
	}
	isBehind := !s.Until.IsZero() && e.Time.After(s.Until)
	switch {
	case isBehind && (step.First || !s.Until.After(s.at)):
		s.over = true
		return
	case step.First:
		s.begin(&e, &step)
	case step.Run != fsm.SameRun && !isLost(&e, &step) && s.now.state != consumer.Disconnected && !s.now.ended:
		s.abort(&step)
	}
	if !s.counted && !e.Time.Before(s.Since) {
		s.passUntil(s.Since, &e, &step)
		s.count()
	}
	if isBehind {
		s.passUntil(s.Until, &e, &step)
		s.over = true
		return
	}
	ahead := e.Time.Sub(s.at) - step.Between - step.Before - step.After
	s.pass(&e, &step, forever)
	s.at = e.Time
	s.totals.step(&step)
	s.apply(&e, ahead)
}

// Clone returns a copy that shares nothing with s.
func (s *Summary) Clone() *Summary {
	c := *s
	c.totals, c.kept = s.totals.clone(), slices.Clone(s.kept)
	return &c
}

// Outages returns the outages that are kept, the oldest of them first. The last one may be under way.
func (s *Summary) Outages() []Outage {
	c := s.Clone()
	c.settle()
	if c.now.failed {
		c.keep(c.now.outage)
	}
	return c.kept
}

// ended counts an outage that is over, and keeps it.
func (s *Summary) ended(o Outage, isRecovered bool) {
	s.totals.ended(o, isRecovered)
	s.keep(o)
}

func (s *Summary) keep(o Outage) {
	if s.Keep <= 0 {
		return
	}
	s.kept = append(s.kept, o)
	s.kept = s.kept[max(0, len(s.kept)-s.Keep):]
}

// count begins to count.
func (s *Summary) count() {
	s.counted = true
	s.settle()
	s.now.stint.skipped = s.now.stint.length
	s.totals, s.kept = totals{first: s.at}, nil
	if s.begun {
		s.totals.runs = 1
	}
	if s.now.failed {
		s.totals.outages = 1
	}
}

// begin starts with the first event of the log.
func (s *Summary) begin(e *fsm.Event, step *fsm.Step) {
	s.begun, s.at = true, e.Time.Add(-step.Before-step.After)
	s.totals.first, s.totals.runs = s.at, 1
	s.now = condition{
		state: step.Then, stopped: step.Then == consumer.Disconnected,
		since: e.Time.Add(-e.InState()), known: e.InState() > 0 || e.Seq <= 1,
	}
	switch s.now.kind() {
	case up:
		s.now.up = s.now.since
	case down:
		s.now.outage = Outage{Begin: s.at, Cut: true}
		if step.Then != consumer.Connecting {
			s.fail(Cause{})
		}
	}
}

// forever is longer than any step.
const forever time.Duration = math.MaxInt64

// pass lets the time pass that a step has until e, or the first part of it, which it takes off the step.
func (s *Summary) pass(e *fsm.Event, step *fsm.Step, most time.Duration) {
	isAll := most == forever
	take := func(part *time.Duration) time.Duration {
		d := min(*part, most)
		*part -= d
		most -= d
		return d
	}
	between, before := take(&step.Between), take(&step.Before)
	s.totals.between += between
	if step.Unsure {
		s.totals.unseen += before
	} else {
		s.totals.spend(step.Was, before)
	}
	if isLost(e, step) {
		s.lose(between + before)
	} else {
		s.lapse(between + before)
	}
	if most == 0 && !isAll {
		return
	}
	if e.Trigger != consumer.ProcessRestarted { // its From is the state of the run before
		s.enter(step.Then, e.Time.Add(-step.After), nil)
	}
	after := take(&step.After)
	s.totals.spend(step.Then, after)
	s.lapse(after)
}

// isLost tells that nothing is known of the time before e.
func isLost(e *fsm.Event, step *fsm.Step) bool {
	return e.Kind == fsm.KindGap || e.Kind == fsm.KindSnapshot && (step.Missing > 0 || step.Run != fsm.SameRun)
}

// passUntil reaches a bound of the time that is counted, which lies before e.
func (s *Summary) passUntil(bound time.Time, e *fsm.Event, step *fsm.Step) {
	if wall := bound.Sub(s.at); wall > 0 {
		s.pass(e, step, wall)
		s.at = bound
	}
}

// abort says that the run has ended without Stop. When is not recorded: at the newest event, or later.
// A run that overlaps with an older one that goes on need not have ended.
func (s *Summary) abort(step *fsm.Step) {
	if step.Run == fsm.NewRun {
		s.totals.aborted++
	}
	before := s.now.kind()
	s.now.ended = true
	s.change(before, s.at, 0)
	s.fail(Cause{Trigger: consumer.ProcessRestarted})
}
