package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/everhop/everhop/consumer/internal/ack"
	"github.com/everhop/everhop/fsm"
)

// Stale is a delivery whose outcome was not sent, because the channel that delivered it was gone. If
// it came from a queue that still holds it, the broker delivers it again.
type Stale struct {
	Queue       string
	MessageID   string
	DeliveryTag uint64
	Generation  uint64
	// Age is how long ago it was received.
	Age time.Duration
}

// stale counts what could not be sent, and tells the supervisor and the caller.
func (c *callbacks) stale(items []ack.Item, why error) {
	if !c.unlessEnded(&c.env.counts.stale, len(items)) {
		return
	}
	first, last := items[0], items[len(items)-1]
	note := fmt.Sprintf("outcome of delivery tag %d dropped", first.Tag)
	if len(items) > 1 {
		note = fmt.Sprintf("%d outcomes of delivery tags %d to %d dropped", len(items), first.Tag, last.Tag)
	}
	e := Evidence{Generation: first.Generation, Queue: first.Queue, Error: why.Error(), Note: note}
	if len(items) == 1 {
		e.MessageID = first.MessageID
	}
	c.env.tell(fsm.KindStale, StaleOutcome, e)
	if c.spec.OnSettled != nil {
		c.tellSettled(items, "", why)
	}
	if c.env.onStale == nil {
		return
	}
	for _, i := range items {
		c.tellStale(Stale{
			Queue: i.Queue, MessageID: i.MessageID, DeliveryTag: i.Tag, Generation: i.Generation, Age: time.Since(i.ReceivedAt),
		})
	}
}

func (c *callbacks) tellStale(s Stale) {
	err := c.call("OnStale", func() error {
		c.env.onStale(s)
		return nil
	})
	if err != nil && !errors.Is(err, errEnded) {
		c.env.logger.Error().Err(err).Str(FieldQueue, s.Queue).Uint64(FieldGeneration, s.Generation).
			Uint64("delivery_tag", s.DeliveryTag).Str("message_id", s.MessageID).Msg("OnStale did not return")
	}
}
