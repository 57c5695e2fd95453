package consumer

import (
	"errors"
	"time"

	"github.com/everhop/everhop/consumer/internal/ack"
)

// Settlement is what the broker was told about a delivery.
type Settlement struct {
	Queue       string
	MessageID   string
	DeliveryTag uint64
	Generation  uint64
	// ReceivedAt is that of the delivery. With it the delivery is told from others: tags begin anew with each channel.
	ReceivedAt time.Time
	// By is "ack", "nack" or "reject". What was published again (delayed, parked, saved) is acknowledged then. It is empty
	// if nothing was sent.
	By string
	// Err is set if it could not be sent, because the delivery's channel was gone; see [Stale].
	Err error
}

// tellSettled is told what a frame has settled.
func (d *dispatcher) tellSettled(items []ack.Item, by ack.Frame) { d.onSettled(items, by, nil) }

func (d *dispatcher) onSettled(items []ack.Item, by ack.Frame, why error) {
	told := make([]Settlement, len(items))
	for i, item := range items {
		told[i] = Settlement{
			Queue: item.Queue, MessageID: item.MessageID, DeliveryTag: item.Tag, Generation: item.Generation,
			ReceivedAt: item.ReceivedAt, By: string(by), Err: why,
		}
	}
	err := d.calls.call("OnSettled", func() error {
		d.spec.OnSettled(told)
		return nil
	})
	if err != nil && !errors.Is(err, errEnded) {
		d.env.logger.Error().Err(err).Str(FieldQueue, d.spec.Queue).Msg("OnSettled did not return")
	}
}
