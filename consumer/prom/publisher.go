package prom

import (
	"github.com/everhop/everhop/consumer/publish"
)

// publisherSource is where a publisher's status comes from.
type publisherSource interface{ Status() publish.Status }

func showPublisher(to *sink, s publish.Status) {
	l := labels{}.with("publisher", s.Name)
	for _, state := range publish.Lifecycle().States() {
		to.flag(publisherState, state == s.State, l.with("state", string(state)))
	}
	to.moment(publisherSince, s.Since, l)
	to.flag(publisherUp, s.Endpoint != "", l)
	if s.Endpoint != "" {
		to.gauge(publisherEndpoint, 1, l.with("endpoint", s.Endpoint))
	}
	if s.Class != "" {
		to.gauge(publisherFailing, 1, l.with("class", s.Class))
	}
	to.age(publisherBlocked, s.Stats.BlockedSince, s.Time, l)
	to.gauge(publisherSilence, s.Silence.Seconds(), l)
	to.gauge(publisherAttempts, float64(s.Attempt), l)
	for _, o := range []struct {
		outcome string
		n       uint64
	}{
		{"confirmed", s.Stats.Confirmed}, {"unroutable", s.Stats.Unroutable}, {"refused", s.Stats.Refused},
		{"not_sent", s.Stats.NotSent}, {"not_known", s.Stats.NotKnown},
	} {
		to.counter(published, o.n, l.with("outcome", o.outcome))
	}
	to.counter(publishResent, s.Stats.Resent, l)
	to.gauge(publishWaiting, float64(s.Stats.Waiting), l)
	to.gauge(publishUnconfirmed, float64(s.Stats.Unconfirmed), l)
	to.age(oldestUnconfirmed, s.OldestUnconfirmed, s.Time, l)
}
