package consumer

import (
	"context"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// compare asks the broker, beside the supervisor, how what a subscription found there differs from what it declares.
// Once in a run is enough: it changes nothing for the consumer, and a revival has no time for it. It opens a channel,
// of which there may not be many more: so one subscription asks at a time.
func (s *supervisor) compare(sub *subscription) {
	if sub.compared || sub.spec.Declare == nil && len(sub.spec.Exchanges) == 0 {
		return
	}
	sub.compared = true
	c := sub.live
	s.background.Go(func() {
		s.comparing.Lock()
		differences := c.Differences(context.Background())
		s.comparing.Unlock()
		for _, d := range differences {
			s.post(differs{sub, d})
		}
	})
}

// differs says in which way a queue or an exchange is not what a subscription declares.
type differs struct {
	sub        *subscription
	difference *broker.Error
}

func (d differs) apply(s *supervisor) error {
	name, note := NoteQueueDiffers, "the queue exists otherwise than it is declared, and is used as it is"
	if d.difference.Queue == "" {
		name, note = NoteExchangeDiffers, "the exchange exists otherwise than it is declared, and is used as it is"
	}
	e := evidence(d.difference)
	e.Generation, e.Queue, e.Scope = d.sub.on.generation, d.sub.spec.Queue, string(broker.ScopeSubscription)
	e.Note = note + "; " + advice[broker.Precondition]
	s.record(fsm.KindNote, name, e)
	return nil
}
