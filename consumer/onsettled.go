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

// settled is told what a frame has settled.
func (c *callbacks) settled(items []ack.Item, by ack.Frame) { c.tellSettled(items, by, nil) }

func (c *callbacks) tellSettled(items []ack.Item, by ack.Frame, why error) {
	told := make([]Settlement, len(items))
	for i, item := range items {
		told[i] = Settlement{
			Queue: item.Queue, MessageID: item.MessageID, DeliveryTag: item.Tag, Generation: item.Generation,
			ReceivedAt: item.ReceivedAt, By: string(by), Err: why,
		}
	}
	err := c.call("OnSettled", func() error {
		c.spec.OnSettled(told)
		return nil
	})
	if err != nil && !errors.Is(err, errEnded) {
		c.env.logger.Error().Err(err).Str(FieldQueue, c.spec.Queue).Msg("OnSettled did not return")
	}
}
