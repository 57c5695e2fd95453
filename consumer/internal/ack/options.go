package ack

import (
	"errors"
	"time"
)

// Channel sends what is settled to the broker. An error means that it is gone.
type Channel interface {
	Ack(deliveryTag uint64) error
	AckUpTo(deliveryTag uint64) error
	Nack(deliveryTag uint64) error
	Reject(deliveryTag uint64, requeue bool) error
}

// Options are how a channel's deliveries are acknowledged.
type Options struct {
	// Prefetch is how many deliveries the broker sends before one is settled.
	Prefetch int
	// Each acknowledges every delivery by a frame of its own, at once.
	Each bool
	// From is where the channel began in a stream; nil: nobody knows, or it is none.
	From *int64
	// Commit, if set, is called before acknowledgements are sent. If it fails, nothing is sent, and it is
	// called again after CommitPause.
	Commit      func() error
	CommitPause time.Duration
	// Acknowledged is told how many deliveries a frame stood for.
	Acknowledged func(deliveries int)
	// Stale is told of deliveries whose outcome could not be sent.
	Stale func(deliveries []Item, why error)
	// Settled, if set, is told of those that a frame has settled, but for what was returned.
	Settled func(deliveries []Item, by Frame)
}

// Frame is what is sent to settle deliveries.
type Frame string

// The frames.
const (
	AckFrame    Frame = "ack"
	NackFrame   Frame = "nack"
	RejectFrame Frame = "reject"
)

// ErrEnded is what Commit returns when it is called no more: what it has not made last is not acknowledged,
// and nobody is told.
var ErrEnded = errors.New("consumer: the consumer has ended")
