package consumer

import (
	"fmt"
	"time"

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

// staleOutcomes counts what could not be sent, and tells the supervisor and the caller.
func (d *dispatcher) staleOutcomes(deliveries []*Delivery, why error) {
	if d.ended.Load() {
		return
	}
	d.counts.stale.Add(uint64(len(deliveries)))
	first, last := deliveries[0], deliveries[len(deliveries)-1]
	note := fmt.Sprintf("outcome of delivery tag %d dropped", first.DeliveryTag)
	if len(deliveries) > 1 {
		note = fmt.Sprintf("%d outcomes of delivery tags %d to %d dropped", len(deliveries), first.DeliveryTag, last.DeliveryTag)
	}
	d.dropped(Evidence{Generation: first.Generation, Queue: first.Queue, Error: why.Error(), Note: note})
	if d.onStale == nil {
		return
	}
	for _, delivery := range deliveries {
		d.tellStale(delivery)
	}
}

func (d *dispatcher) tellStale(delivery *Delivery) {
	d.telling.RLock()
	defer d.telling.RUnlock()
	if d.ended.Load() {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			d.about(d.logger.Error(), delivery).Msgf("OnStale panicked: %v", r)
		}
	}()
	d.onStale(Stale{
		Queue: delivery.Queue, MessageID: delivery.MessageID, DeliveryTag: delivery.DeliveryTag,
		Generation: delivery.Generation, Age: time.Since(delivery.ReceivedAt),
	})
}

// staleOutcome says that a handler finished after its delivery's channel was gone.
type staleOutcome struct{ evidence Evidence }

func (o staleOutcome) apply(s *supervisor) error {
	s.record(fsm.KindStale, StaleOutcome, o.evidence)
	return nil
}
