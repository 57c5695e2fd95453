package brokertest

import (
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// A commit is answered when the queues of what was published have confirmed; until then nothing else is wanted.
func TestCommitWaitsForConfirms(t *testing.T) {
	for _, test := range []struct {
		name    string
		between wire.Method
	}{{"in peace", nil}, {"disturbed", &wire.BasicQos{}}, {"closed", &wire.ChannelClose{}}} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, s *Server) {
				ok(t, s.DeclareQueue("q", nil))
				s.WithholdConfirms("q")
				p := join(t, s)
				p.channel(2)
				p.send(1, &wire.TxSelect{})
				want[*wire.TxSelectOK](p)
				p.publish(1, "q", "1")
				p.send(1, &wire.TxCommit{})
				p.sync(2) // and nothing came before its answer
				if got := stateOf(t, s, "q").Ready; got != 1 {
					t.Errorf("%d messages, want 1", got)
				}
				switch test.between.(type) {
				case nil:
					s.ReleaseConfirms("q")
					want[*wire.TxCommitOK](p)
					p.sync(1)
				case *wire.ChannelClose:
					p.send(1, test.between)
					want[*wire.ChannelCloseOK](p)
					s.ReleaseConfirms("q")
					p.sync(2)
				default:
					p.send(1, test.between)
					if got := want[*wire.ConnectionClose](p); got.ReplyCode != channelError {
						t.Errorf("got %+v", got)
					}
				}
			})
		})
	}
}
