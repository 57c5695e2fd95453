package consumer_test

import (
	"slices"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// setApart says in an outcome that a subscription goes on on a connection of its own.
const setApart = "apart"

func (s *stage) outcome(f matrixFault) string {
	events := s.journal.Events()[s.since:]
	var transitions []fsm.Event
	for _, e := range events {
		if e.Kind == fsm.KindTransition {
			transitions = append(transitions, e)
		}
	}
	names := triggers(transitions)
	if f.again {
		names = once(names)
	}
	if len(names) == 0 {
		names = []string{"-"}
	}
	if slices.ContainsFunc(events, func(e fsm.Event) bool { return e.Name == consumer.NoteApart }) {
		names = append(names, setApart)
	}
	if s.hasEnded() && s.err != nil {
		names = append(names, "error")
	}
	return strings.Join(names, " ")
}

// inTime checks how long it took, after the fault had ended, until everything was handled or Run had
// returned.
func (s *stage) inTime(f matrixFault, took time.Duration) {
	s.Helper()
	limit := 12*time.Second + f.slow // what is long may have to be handled twice
	if f.silent > 0 {
		limit += 3 * broker.DefaultHeartbeat // until the broker gives back what it had sent
	}
	if took > limit {
		s.Errorf("over after %v, and %v is the limit", took, limit)
	}
	if !s.stopped.IsZero() {
		if took := s.over.Sub(s.stopped); took > 7*time.Second { // what is cancelled is waited for 1 s, and the farewell takes 5 s at most
			s.Errorf("it took %v to stop", took)
		}
	}
}

// sameConnection checks that the connection was left alone.
func (s *stage) sameConnection() {
	s.Helper()
	if all := s.server.Connections(); len(all) > 0 && all[0].ID != 1 {
		s.Errorf("only a channel was lost, and this is connection number %d", all[0].ID)
	}
}

// lostToo tells whether more was lost in a revival.
func (s *stage) lostToo() bool {
	return slices.ContainsFunc(s.journal.Events()[s.since:], func(e fsm.Event) bool { return e.Name == consumer.NoteLossWhileReviving })
}

// said checks that the loss of the connection was told as what it is.
func (s *stage) said(class broker.Class) {
	s.Helper()
	for _, e := range s.journal.Events()[s.since:] {
		if e.Trigger == consumer.ConnectionError {
			if got := consumer.EvidenceOf(e).Class; got != string(class) {
				s.Errorf("it was told as %s, and is %s: %s", got, class, e.Error)
			}
			return
		}
	}
}

// noticed checks that the peer's silence was found out in time, whatever was under way. Where no event
// tells of it, another connection was quicker.
func (s *stage) noticed(struck time.Time, f matrixFault) {
	s.Helper()
	silent := f.silent
	if f.heard && s.neighbour != nil {
		silent = 3 * broker.DefaultHeartbeat // what the neighbour is sent is no silence, until the broker gives up
	}
	for _, e := range s.journal.Events()[s.since:] {
		switch e.Trigger {
		case consumer.HeartbeatFailed, consumer.ConnectionError, consumer.ReviveFailed:
			after := e.Time.Sub(struck)
			if f.waits && e.Trigger == consumer.HeartbeatFailed {
				after = time.Duration(consumer.EvidenceOf(e).SilenceMS) * time.Millisecond
			}
			if after > silent {
				s.Errorf("%s came after %v, and %v is promised", e.Trigger, after, silent)
			}
		}
	}
}

// account checks that every message is where it belongs: acknowledged, and then handled before, or in
// its queue.
func (s *stage) account() {
	s.Helper()
	s.neighbour.end()
	s.sleep(time.Minute) // the broker's heartbeat ends what was cut without a word
	if n := len(s.server.Connections()); n > 0 {
		s.Errorf("%d connections are left", n)
	}
	if _, err := fsm.Replay(consumer.Lifecycle(), slices.Values(s.journal.Events())); err != nil {
		s.Errorf("the journal does not replay: %v", err)
	}
	acknowledged := map[string]map[string]time.Time{stageQueue: {}, neighbourQueue: {}}
	for _, one := range s.server.Settlements() {
		if one.Method == "basic.ack" { // at last: of one with few lives left, a copy was published before
			acknowledged[one.Queue][string(one.Body)] = one.Time
		}
	}
	for _, of := range acknowledged {
		for body, at := range of {
			if handled, ok := s.handled[body]; !ok || handled.After(at) {
				s.Errorf("%q was acknowledged at %v, handled at %v", body, at, handled)
			}
		}
	}
	published := map[string]int{stageQueue: s.published, neighbourQueue: s.neighbour.count()}
	for _, q := range s.server.Queues() {
		if q.Unacknowledged > 0 || q.Consumers > 0 {
			s.Errorf("left at the broker: %+v", q)
		}
		if lost := s.lost && q.Name == stageQueue; !lost && len(acknowledged[q.Name])+q.Ready != published[q.Name] {
			s.Errorf("%s: %d published, but %d acknowledged and %d in the queue", q.Name, published[q.Name], len(acknowledged[q.Name]), q.Ready)
		}
	}
}
