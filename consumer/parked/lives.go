package parked

import (
	"context"

	"github.com/everhop/everhop/broker"
)

// Lives is what looking costs the messages of a queue.
type Lives int

const (
	// LivesUnknown means that nothing tells whether it is a quorum queue: no message has come back before, and the user may
	// not configure the queue, which is what it takes to ask.
	LivesUnknown Lives = iota
	// LivesKept means that it is no quorum queue, or the broker counts no look (from RabbitMQ 4.3 on).
	LivesKept
	// LivesSpent means that it is a quorum queue, and each message that was looked at and stays has come back once more.
	LivesSpent
)

// livesOf is what one delivery tells.
func (b *browser) livesOf(d *broker.Delivery) Lives {
	switch {
	case b.config.StreamOffset != nil, b.nackSparesLives():
		return LivesKept
	case timesReturned(d) > 0:
		return LivesSpent
	case d.Redelivered:
		return LivesKept
	}
	return LivesUnknown
}

// askLives asks for the type of the queue if no delivery has told what a look costs, and something is put back.
func (b *browser) askLives(ctx context.Context) {
	if b.tally.Lives != LivesUnknown || b.tally.Seen == b.tally.Done || b.session.Lost() {
		return
	}
	switch kind, err := b.session.QueueType(ctx, b.config.Queue); {
	case err != nil: // so it stays unknown
	case kind == "quorum":
		b.tally.Lives = LivesSpent
	default:
		b.tally.Lives = LivesKept
	}
}

// isStream tells whether the queue is one, which delivers nothing that is there unless it is asked for an offset.
func (b *browser) isStream(ctx context.Context) bool {
	kind, err := b.session.QueueType(ctx, b.config.Queue)
	return err == nil && kind == "stream"
}

// timesReturned is how often a message has come back to a quorum queue; 0 for any other queue.
func timesReturned(d *broker.Delivery) int { return number(d.Headers, "x-delivery-count") }

// nackSparesLives tells whether it costs no life of a message of a quorum queue: from RabbitMQ 4.3 on.
func (b *browser) nackSparesLives() bool {
	major, minor := b.session.ServerVersion()
	return b.config.StreamOffset == nil && (major > 4 || major == 4 && minor >= 3)
}
