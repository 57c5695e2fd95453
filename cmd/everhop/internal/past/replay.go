package past

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/fsm"
)

// Replay is what somebody wants to be told of the past.
type Replay struct {
	From Source
	// At asks for the state at a time, and nothing else. Since and Until bound what is told otherwise.
	At, Since, Until TimePoint
	// Machine is the name of the only machine to be told of; empty for all.
	Machine string
	// JSON asks for one object a line, for machines.
	JSON bool
	// Follow goes on as the source grows, until the context ends.
	Follow bool
	// SummaryOnly leaves the timeline out, NoSummary the summary.
	SummaryOnly, NoSummary bool
	// Outages asks for a list of the outages, Messages for one of the messages that are rare in some way, and nothing
	// else.
	Outages, Messages bool
	// Zone is that of the times that are shown, and of those that were asked for without one.
	Zone *time.Location
}

// Tell tells it to out.
func (r *Replay) Tell(ctx context.Context, out *term.Output) (err error) {
	s := r.From
	var log extent
	if r.At.relative() || r.Since.relative() || r.Until.relative() {
		if s.isStream() {
			var done func()
			if s, done, err = s.spool(ctx); err != nil {
				return err
			}
			defer done()
		}
		if log, err = r.extent(ctx, s); err != nil {
			return err
		}
	}
	b := r.bounds(log)
	if !b.since.IsZero() && !b.until.IsZero() && b.since.After(b.until) {
		return fmt.Errorf("--since %s is after --until %s", b.since.Format(time.RFC3339), b.until.Format(time.RFC3339))
	}
	t := newTelling(r, b, out)
	t.live = r.Follow || s.isStream()
	events := s.events(ctx)
	if r.Follow {
		events = s.follow(ctx)
	}
	return t.tell(s.name(), events)
}

// extent reads from when until when the log is. Its last event is not its latest where the clock was set back.
func (r *Replay) extent(ctx context.Context, s Source) (log extent, err error) {
	log.now = time.Now()
	for e, err := range s.events(ctx) {
		if err != nil {
			var damaged *DamagedError
			if errors.As(err, &damaged) && !log.end.IsZero() {
				break // said again when it is told
			}
			return log, err
		}
		if !r.wants(e) {
			continue
		}
		if log.begin.IsZero() || e.Time.Before(log.begin) {
			log.begin = e.Time
		}
		if e.Time.After(log.end) {
			log.end = e.Time
		}
	}
	return log, nil
}

// bounds are the times that were asked for; zero means none.
type bounds struct{ at, since, until time.Time }

// bounds are the times that are meant, of such a log.
func (r *Replay) bounds(log extent) bounds {
	b := bounds{at: r.At.in(log.end, r.Zone), since: r.Since.in(log.end, r.Zone), until: r.Until.in(log.end, r.Zone)}
	if r.At.form == timeOfDay {
		if t := r.At.near(log, r.Zone); !t.After(log.now) {
			b.at = t
		}
	}
	if r.Until.form == timeOfDay {
		if r.Since.Given() {
			b.until = r.Until.from(b.since, r.Zone)
		} else {
			b.until = r.Until.near(log, r.Zone)
		}
	}
	return b
}

func (r *Replay) wants(e fsm.Event) bool { return r.Machine == "" || r.Machine == e.Machine }
