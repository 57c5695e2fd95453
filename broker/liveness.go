package broker

import (
	"context"
	"fmt"
	"time"
)

// probes is the basic.qos round trips on the control channel: one under way, one that waits for it.
type probes struct {
	requests chan struct{}
	over     chan struct{} // closed when no more is made
}

func newProbes() probes { return probes{requests: make(chan struct{}, 1), over: make(chan struct{})} }

// request asks for a round trip that begins later than now. It must not be dropped because one is
// under way: the answer to that one may have arrived already, and not been digested yet.
func (p *probes) request() {
	select {
	case p.requests <- struct{}{}:
	default:
	}
}

// probe serves the requests. basic.qos costs the broker next to nothing, needs no permission and is
// answered by the channel's process at once, even while another channel waits for a queue.
func (s *Session) probe() {
	defer close(s.probes.over)
	for {
		select {
		case <-s.ended:
			return
		case <-s.probes.requests:
		}
		if err := s.control.Qos(1, 0, false); err != nil {
			if !s.ending.Load() {
				s.abort(s.newError("probe", ScopeConnection, "", err)) // without it, nobody is left to ask
			}
			return
		}
	}
}

// lastProbe returns when the broker has read everything that was written. It is called once the session has ended.
func (s *Session) lastProbe() error {
	<-s.probes.over
	return s.control.Qos(1, 0, false)
}

// Silence is how long ago the broker last sent a byte, of whatever kind, or was seen to take what is sent to it: a
// large message over a slow network.
func (s *Session) Silence() time.Duration { return s.link.conn.silence() }

// Blocked tells whether the broker has stopped reading because of an alarm. It answers no probe
// then; only its heartbeats tell that it lives.
func (s *Session) Blocked() bool { return s.isBlocked.Load() }

// Probe asks the broker for a sign of life and returns nil as soon as any byte comes in (the answer,
// a delivery, a heartbeat), or a write that waits for the broker goes on. After ProbeTimeout without one it returns
// an *Error of class Heartbeat; the session is left as it is. While the broker still takes what was sent before
// the probe, that time does not run. It returns early, with ctx's error, when ctx ends.
func (s *Session) Probe(ctx context.Context) error {
	return s.signOfLife(ctx, s.ended)
}

// signOfLife is Probe; guard uses it without ended, since Close ends the session before it says goodbye.
func (s *Session) signOfLife(ctx context.Context, ended <-chan struct{}) error {
	arrived := s.link.conn.arrived()
	s.probes.request()
	// The time is spent in slices, and one that passed while this process did not run (SIGSTOP, a
	// virtual machine that was paused) counts once, however long it was: what the broker sent
	// meanwhile is still in the socket, and its reader needs a moment to run too.
	const slices = 4
	slice := time.NewTicker(max(s.plan.ProbeTimeout/slices, time.Millisecond))
	defer slice.Stop()
	backlog := s.link.conn.backlog()
	for spent := 0; spent < slices; spent++ {
		select {
		case <-arrived:
			return nil
		case <-ended:
			return s.newError("probe", ScopeConnection, "", errAborted)
		case <-ctx.Done():
			return ctx.Err()
		case <-slice.C:
		}
		if backlog.shrinks() {
			spent = -1 // the probe has not been sent yet
		}
	}
	select {
	case <-arrived:
		return nil
	default:
		s.plan.blame(s.link.target)
		return s.link.newError("probe", ScopeConnection, "",
			fmt.Errorf("%w: no byte came in for %v", errSilent, s.Silence().Round(100*time.Millisecond)))
	}
}

// guard aborts the connection when the broker is found silent while something is asked of it.
func (s *Session) guard(ctx context.Context) {
	for {
		wait := s.plan.DrainTimeout - s.Silence()
		if wait <= 0 && s.Blocked() {
			wait = s.plan.DrainTimeout
		}
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			continue
		}
		if err := s.signOfLife(ctx, nil); err != nil {
			if ctx.Err() == nil {
				s.abort(errSilent)
			}
			return
		}
	}
}
