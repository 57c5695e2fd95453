package publish

import (
	"errors"
	"time"

	"github.com/everhop/everhop/broker"
)

// Stats count messages since New.
type Stats struct {
	// Confirmed: the broker has taken responsibility.
	Confirmed uint64 `json:"confirmed"`
	// Unroutable and Refused: it did not, since no queue is bound, or by a nack or the end of a channel.
	Unroutable uint64 `json:"unroutable"`
	Refused    uint64 `json:"refused"`
	// NotSent and NotKnown: the caller's ctx or the publisher ended before.
	NotSent  uint64 `json:"not_sent"`
	NotKnown uint64 `json:"not_known"`
	// Again: sent once more, after a connection or a channel was lost.
	Again uint64 `json:"again"`

	// Waiting are those that wait for room in the window now, Unconfirmed those that are in it.
	Waiting     int `json:"waiting"`
	Unconfirmed int `json:"unconfirmed"`
	// BlockedSince is when the broker stopped reading; zero if it reads, or did when Run ended.
	BlockedSince time.Time `json:"blocked_since,omitzero"`
}

func (l *ledger) count(err error) {
	n := &l.counts
	switch {
	case err == nil:
		n.Confirmed++
	case errors.Is(err, broker.ErrUnroutable):
		n.Unroutable++
	case errors.Is(err, ErrNotSent):
		n.NotSent++
	case errors.Is(err, ErrNotKnown):
		n.NotKnown++
	default:
		n.Refused++
	}
}

func (l *ledger) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.summed()
}

// summed is called with mu held.
func (l *ledger) summed() Stats {
	s := l.counts
	s.Unconfirmed, s.BlockedSince = l.used, l.blockedSince
	for _, t := range l.targets {
		s.Waiting += t.waiting.len()
	}
	return s
}
