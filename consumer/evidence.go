package consumer

import (
	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// The names of what a consumer adds to an event, in JSON and in log lines.
const (
	FieldGeneration = "gen"
	FieldAttempt    = "attempt"
	FieldBackoffMS  = "backoff_ms"
	FieldSilenceMS  = "silence_ms"
	FieldStalledMS  = "stalled_ms"
	FieldEndpoint   = "endpoint"
	FieldQueue      = "queue"
	FieldScope      = "scope"
	FieldClass      = "class"
	FieldCode       = "code"
)

// Evidence is what a consumer says of why an event happened. The zero value of a field means that
// nothing is known.
type Evidence struct {
	// Generation counts the connections of a run.
	Generation uint64 `json:"gen,omitempty"`
	// Attempt counts the attempts since Consuming was lost.
	Attempt int `json:"attempt,omitempty"`
	// BackoffMS is the pause before the next attempt, in milliseconds.
	BackoffMS int64 `json:"backoff_ms,omitempty"`
	// SilenceMS is for how long nothing had come in when HeartbeatFailed was fired, in milliseconds.
	SilenceMS int64 `json:"silence_ms,omitempty"`
	// StalledMS is for how long the process had stood still, in milliseconds; see [NoteStalled].
	StalledMS int64 `json:"stalled_ms,omitempty"`
	// Endpoint is host:port, without credentials.
	Endpoint string `json:"endpoint,omitempty"`
	// Queue is the name of the queue concerned.
	Queue string `json:"queue,omitempty"`
	// Scope says how much was lost: a broker.Scope.
	Scope string `json:"scope,omitempty"`
	// Class is the class of the error: a broker.Class.
	Class string `json:"class,omitempty"`
	// Code is the reply code that the broker gave with the error.
	Code int `json:"code,omitempty"`
	// Prefetch and Concurrency are what a subscription has now, or is to have.
	Prefetch    int `json:"prefetch,omitempty"`
	Concurrency int `json:"concurrency,omitempty"`
	// ReturnedUnstarted and Unfinished count the deliveries that went back to their queues: those that
	// no handler had begun with, and the others.
	ReturnedUnstarted uint64 `json:"returned_unstarted,omitempty"`
	Unfinished        uint64 `json:"unfinished,omitempty"`

	// Error and Note are those of the event.
	Error string `json:"-"`
	Note  string `json:"-"`
}

// EvidenceOf returns what a consumer said of an event. What it did not say, because another
// machine's event or an older one has it otherwise, is zero.
func EvidenceOf(e fsm.Event) Evidence {
	var evidence Evidence
	_ = e.Details.Decode(&evidence) // what cannot be read is not known
	evidence.Error, evidence.Note = e.Error, e.Note
	return evidence
}

// Event returns the evidence as an event carries it; EvidenceOf is the way back.
func (e Evidence) Event() fsm.Evidence {
	details, err := fsm.NewDetails(e)
	if err != nil { // they are a few short names and numbers
		e.Note += " (" + err.Error() + ")"
	}
	return fsm.Evidence{Details: details, Error: e.Error, Note: e.Note}
}

// evidence is what a failure leaves in an event.
func evidence(e *broker.Error) Evidence {
	return Evidence{
		Endpoint: e.Endpoint,
		Queue:    e.Queue,
		Scope:    string(e.Scope),
		Class:    string(e.Class),
		Code:     e.Code,
		Error:    e.Op + ": " + e.Reason(),
	}
}
