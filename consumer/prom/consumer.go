package prom

import (
	"iter"
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// source is where a consumer's status comes from.
type source interface {
	Status() consumer.Status
	PublisherStatus() (publish.Status, bool)
	subscriptions(consumer.Status) iter.Seq[consumer.SubscriptionStatus]
}

type consumerSource struct{ *consumer.Consumer }

func (consumerSource) subscriptions(s consumer.Status) iter.Seq[consumer.SubscriptionStatus] {
	return s.Subscriptions()
}

// watched is a consumer that is shown.
type watched struct {
	from source
	name string

	mu   sync.Mutex // one scrape at a time: rows are reused
	rows rows
}

func watch(from source, name string, most int) *watched {
	var queues []string
	for s := range from.subscriptions(from.Status()) {
		queues = append(queues, valid(s.Queue))
	}
	return &watched{from: from, name: name, rows: newRows(name, queues, most)}
}

func (w *watched) collect(to *sink) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.from.Status()
	l := labels{}.with("consumer", w.name)
	state(to, s, l)
	link(to, s, l)
	for _, r := range w.rows.all {
		r.sum = sum{}
	}
	i := 0
	for sub := range w.from.subscriptions(s) {
		w.rows.of[i].sum.add(sub)
		i++
	}
	w.rows.collect(to, s.Time)
}

// state shows the consumer as a whole.
func state(to *sink, s consumer.Status, l labels) {
	for _, state := range consumer.Lifecycle().States() {
		to.flag(consumerState, state == s.State, l.with("state", string(state)))
	}
	to.moment(consumerSince, s.Since, l)
	to.flag(consumerReady, s.Ready(), l)
	to.flag(consumerAlive, s.Alive(), l)
	is := make(map[string]bool)
	for _, reason := range append(s.NotReady[:len(s.NotReady):len(s.NotReady)], s.NotAlive...) {
		is[reason.Code] = true
	}
	for _, code := range reasons {
		to.flag(consumerReason, is[code], l.with("reason", code))
	}
}

var reasons = [...]string{
	consumer.ReasonNotStarted, consumer.ReasonConnecting, consumer.ReasonReviving, consumer.ReasonStopping,
	consumer.ReasonStopped, consumer.ReasonPaused, consumer.ReasonBreaker, consumer.ReasonApart, consumer.ReasonGivenUp,
	consumer.ReasonStuck, consumer.ReasonStopHang, consumer.ReasonFailed,
}

// role is which of a consumer's connections one is.
func role(c consumer.ConnectionStatus) string {
	if c.Home {
		return "home"
	}
	return "apart"
}

// group is what connections have in common that count together.
type group struct{ role, label string }

// link shows the connections. There may be one for each subscription: they are counted.
func link(to *sink, s consumer.Status, l labels) {
	have := map[string]int{"home": 0, "apart": 0}
	attempts := map[string]int{"home": 0, "apart": 0}
	open, failing := make(map[group]int), make(map[group]int)
	var home consumer.ConnectionStatus
	var blockedSince time.Time
	blocked := 0
	for _, c := range s.Connections {
		role := role(c)
		have[role]++
		attempts[role] = max(attempts[role], c.Attempt)
		if c.Home {
			home = c
		}
		if c.Open {
			open[group{role, c.Endpoint}]++
		}
		if c.Class != "" {
			failing[group{role, c.Class}]++
		}
		if since := c.BlockedSince; !since.IsZero() {
			blocked++
			if blockedSince.IsZero() || since.Before(blockedSince) {
				blockedSince = since
			}
		}
	}
	to.flag(connectionUp, home.Open, l)
	to.gauge(connectionSilence, home.Silence.Seconds(), l)
	to.gauge(connectionsBlocked, float64(blocked), l)
	to.age(connectionBlocked, blockedSince, s.Time, l)
	for role, n := range have {
		to.gauge(connections, float64(n), l.with("role", role))
		to.gauge(connectionAttempts, float64(attempts[role]), l.with("role", role))
	}
	for g, n := range open {
		to.gauge(connectionsOpen, float64(n), l.and(pair("role", g.role), pair("endpoint", g.label)))
	}
	for g, n := range failing {
		to.gauge(connectionsFailing, float64(n), l.and(pair("role", g.role), pair("class", g.label)))
	}
}
