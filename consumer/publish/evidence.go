package publish

import (
	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// The names of a publisher's notes ([fsm.KindNote]): what happened that changed no state.
const (
	// NoteRefused: the broker ended a channel because of a message. What goes to the same exchange (or, without one, to
	// the same queue) is sent one by one from here on, until one is accepted; others that are refused until then are
	// not told of.
	NoteRefused = "refused"
)

// evidence is what a publisher says of why an event happened, by the names that a consumer has for the same.
type evidence struct {
	generation uint64 // counts the connections of a run
	attempt    int    // since Publishing was lost
	backoffMS  int64  // the pause before the next attempt
	endpoint   string // host:port
	exchange   string // of the message concerned, as the next
	routingKey string
	resent     int // messages that are sent again
	scope      broker.Scope
	class      broker.Class
	code       int
	err, note  string
}

func evidenceOf(e *broker.Error) evidence {
	return evidence{endpoint: e.Endpoint, scope: e.Scope, class: e.Class, code: e.Code, err: e.Op + ": " + e.Reason()}
}

func (e evidence) event() fsm.Evidence {
	var b fsm.DetailsBuilder
	b.Uint("gen", e.generation)
	b.Int("attempt", int64(e.attempt))
	b.Int("backoff_ms", e.backoffMS)
	b.Text("endpoint", e.endpoint)
	b.Text("exchange", e.exchange)
	b.Text("routing_key", e.routingKey)
	b.Int("resent", int64(e.resent))
	b.Text("scope", string(e.scope))
	b.Text("class", string(e.class))
	b.Int("code", int64(e.code))
	details, err := b.Details()
	if err != nil { // they are a few short names and numbers
		e.note += " (" + err.Error() + ")"
	}
	return fsm.Evidence{Details: details, Error: e.err, Note: e.note}
}
