package parked

import (
	"context"
	"errors"
	"fmt"
)

// Discard takes messages out of the queue. They are handed to the sink first, several at once: when it returns nil they
// must be where they will outlive this process, such as in a file that was synced, and are acknowledged. After an error
// they stay in the queue, with all that follow. A message that could not be read (Delivery.Unreadable) stays, and counts as
// failed.
func Discard(ctx context.Context, config Config, sink func([]*Entry) error) (Tally, error) {
	if config.StreamOffset != nil {
		return Tally{}, ErrStream
	}
	d := &discarding{sink: sink}
	return browse(ctx, config, d.add, d.flush)
}

// A batch is one sync of a file.
const (
	batchMessages = 256
	batchBytes    = 4 << 20
)

type discarding struct {
	sink  func([]*Entry) error
	batch []*Entry
	acks  []func() error
	bytes int64
	err   error // of the sink, or of an acknowledgement
}

func (d *discarding) add(b *browser, e *Entry, ack func() error) error {
	if e.Message.Unreadable != nil {
		b.tally.Failed++
		return nil
	}
	d.batch = append(d.batch, e)
	d.acks = append(d.acks, ack)
	d.bytes += sizeOf(e.Message)
	if len(d.batch) < batchMessages && d.bytes < batchBytes {
		return nil
	}
	return d.flush(b)
}

// flush is called once more at the end.
func (d *discarding) flush(b *browser) error {
	if d.err != nil || len(d.batch) == 0 || b.session.Lost() {
		return nil // the error was returned before
	}
	if d.err = d.sink(d.batch); d.err != nil {
		return d.err
	}
	for _, ack := range d.acks {
		if err := ack(); err != nil {
			d.err = errors.Join(d.err, fmt.Errorf("parked: the connection was lost: the last %d messages are in both places: %w", len(d.batch), err))
			return d.err
		}
		b.tally.Done++
	}
	d.batch, d.acks, d.bytes = nil, nil, 0
	return nil
}
