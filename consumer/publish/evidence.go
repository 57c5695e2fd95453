package publish

import (
	"encoding/json"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// The names of a publisher's notes ([fsm.KindNote]): what happened that changed no state. What a consumer tells, too, has
// the same name.
const (
	// NoteRefused: the broker ended a channel because of a message. What goes to the same exchange (or, without one, to
	// the same queue) is sent one by one from here on, until one is accepted; others that are refused until then are
	// not told of.
	NoteRefused = "refused"
	// NoteUnconfirmed: the broker does not confirm a message, and others would have to wait for it. They go on over another
	// channel, but what goes to the same exchange and routing key waits. Other targets may have the same trouble. It is told
	// again on another channel, as after a reconnect.
	NoteUnconfirmed = "unconfirmed"
	// NoteStalled: the process stood still for Evidence.StalledMS, or the clock was set ahead by so much. It was stopped
	// (SIGSTOP), the machine was suspended, or the processor was not to be had. Nothing was sent meanwhile.
	NoteStalled = "stalled"
	// NoteClockSetBack: the wall clock was set back by more than a second.
	NoteClockSetBack = "clock_set_back"
)

// The names of what a publisher adds to an event, in JSON and in log lines. What a consumer has, too, has the same name.
const (
	FieldGeneration = "gen"
	FieldAttempt    = "attempt"
	FieldBackoffMS  = "backoff_ms"
	FieldSilenceMS  = "silence_ms"
	FieldStalledMS  = "stalled_ms"
	FieldEndpoint   = "endpoint"
	FieldExchange   = "exchange"
	FieldRoutingKey = "routing_key"
	FieldResent     = "resent"
	FieldScope      = "scope"
	FieldClass      = "class"
	FieldCode       = "code"
)

// Evidence is what a publisher says of why an event happened. The zero value of a field means that nothing is known.
type Evidence struct {
	// Generation counts the connections of a run.
	Generation uint64
	// Attempt counts the attempts since Publishing was lost.
	Attempt int
	// BackoffMS is the pause before the next attempt, in milliseconds.
	BackoffMS int64
	// SilenceMS is for how long nothing had come in when HeartbeatFailed was fired, in milliseconds.
	SilenceMS int64
	// StalledMS is for how long the process had stood still, in milliseconds; see [NoteStalled].
	StalledMS int64
	// Endpoint is host:port, without credentials.
	Endpoint string
	// Exchange and RoutingKey are those of the message concerned.
	Exchange, RoutingKey string
	// Resent counts the messages that are sent again.
	Resent int
	// Scope says how much was lost: a broker.Scope.
	Scope string
	// Class is the class of the error: a broker.Class.
	Class string
	// Code is the reply code that the broker gave with the error.
	Code int

	// Error and Note are those of the event.
	Error, Note string
}

// EvidenceOf returns what a publisher said of an event. What it did not say, because another machine's event or an older
// one has it otherwise, is zero.
func EvidenceOf(e fsm.Event) Evidence {
	evidence := Evidence{Error: e.Error, Note: e.Note}
	for name, value := range e.Details.All() {
		if field := evidence.field(name); field != nil {
			_ = json.Unmarshal([]byte(value), field) // what cannot be read is not known
		}
	}
	return evidence
}

// field is where a member belongs, nil for one of somebody else's.
func (e *Evidence) field(name string) any {
	switch name {
	case FieldGeneration:
		return &e.Generation
	case FieldAttempt:
		return &e.Attempt
	case FieldBackoffMS:
		return &e.BackoffMS
	case FieldSilenceMS:
		return &e.SilenceMS
	case FieldStalledMS:
		return &e.StalledMS
	case FieldEndpoint:
		return &e.Endpoint
	case FieldExchange:
		return &e.Exchange
	case FieldRoutingKey:
		return &e.RoutingKey
	case FieldResent:
		return &e.Resent
	case FieldScope:
		return &e.Scope
	case FieldClass:
		return &e.Class
	case FieldCode:
		return &e.Code
	}
	return nil
}

// Event returns the evidence as an event carries it; EvidenceOf is the way back.
func (e Evidence) Event() fsm.Evidence {
	var b fsm.DetailsBuilder
	b.Uint(FieldGeneration, e.Generation)
	b.Int(FieldAttempt, int64(e.Attempt))
	b.Int(FieldBackoffMS, e.BackoffMS)
	b.Int(FieldSilenceMS, e.SilenceMS)
	b.Int(FieldStalledMS, e.StalledMS)
	b.Text(FieldEndpoint, e.Endpoint)
	b.Text(FieldExchange, e.Exchange)
	b.Text(FieldRoutingKey, e.RoutingKey)
	b.Int(FieldResent, int64(e.Resent))
	b.Text(FieldScope, e.Scope)
	b.Text(FieldClass, e.Class)
	b.Int(FieldCode, int64(e.Code))
	details, err := b.Details()
	if err != nil { // they are a few short names and numbers
		e.Note += " (" + err.Error() + ")"
	}
	return fsm.Evidence{Details: details, Error: e.Error, Note: e.Note}
}

// evidence is what a failure leaves in an event.
func evidence(e *broker.Error) Evidence {
	return Evidence{Endpoint: e.Endpoint, Scope: string(e.Scope), Class: string(e.Class), Code: e.Code, Error: e.Op + ": " + e.Reason()}
}
