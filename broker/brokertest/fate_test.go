package brokertest

import (
	"slices"
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// The second of three messages meets the fault; those before and behind are as they would have been.
func TestFate(t *testing.T) {
	for _, test := range []struct {
		fault     Fault
		mandatory bool
		answers   []string // to the three
	}{
		{Nack(), false, []string{"basic.ack", "basic.nack", "basic.ack"}},
		{Nack(), true, []string{"basic.ack", "basic.nack", "basic.ack"}},
		{Unroute(), false, []string{"basic.ack", "basic.ack", "basic.ack"}},
		{Unroute(), true, []string{"basic.ack", "basic.return", "basic.ack", "basic.ack"}},
	} {
		t.Run(test.fault.String(), func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				p.send(1, &wire.ConfirmSelect{})
				want[*wire.ConfirmSelectOK](p)
				played := s.Inject(OnMethod("basic.publish", 2), test.fault).Played
				for _, body := range []string{"1", "2", "3"} {
					p.write(wire.AppendContent(nil, 1, &wire.BasicPublish{RoutingKey: "q", Mandatory: test.mandatory},
						wire.Header{BodySize: 1}, []byte(body), maxFrame))
				}
				happens(t, s, "the fault", played)
				var answers []string
				for len(answers) < len(test.answers) {
					f, err := p.frame()
					ok(t, err)
					if f.Type != wire.FrameMethod {
						continue // the content of what was returned
					}
					m, err := wire.ParseMethod(f.Payload)
					ok(t, err)
					answers = append(answers, wire.Name(m))
				}
				if !slices.Equal(answers, test.answers) {
					t.Errorf("answered %q, want %q", answers, test.answers)
				}
				var left []string
				for _, m := range s.Messages("q") {
					left = append(left, string(m.Body))
				}
				if !slices.Equal(left, []string{"1", "3"}) {
					t.Errorf("the queue holds %q", left)
				}
			})
		})
	}
}

// In tx mode a nacked message fails the commit, and what goes nowhere does not.
func TestFateInTransaction(t *testing.T) {
	for _, version := range []string{"3.10", "4.3"} {
		for _, fault := range []Fault{Nack(), Unroute()} {
			t.Run(version+" "+fault.String(), func(t *testing.T) {
				s := NewServer(t, Version(version))
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				p.send(1, &wire.TxSelect{})
				want[*wire.TxSelectOK](p)
				s.Inject(OnMethod("basic.publish", 1), fault)
				p.publish(1, "q", "1")
				p.send(1, &wire.TxCommit{})
				if fault.String() == "Nack" {
					if got := want[*wire.ChannelClose](p); got.ReplyCode != preconditionFailed {
						t.Errorf("got %+v", got)
					}
				} else {
					want[*wire.TxCommitOK](p)
				}
				if got := stateOf(t, s, "q").Ready; got != 0 {
					t.Errorf("%d messages", got)
				}
			})
		}
	}
}
