package consumer

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

// The names of what a consumer adds to an event, in JSON and in log lines.
const (
	FieldGeneration        = "gen"
	FieldAttempt           = "attempt"
	FieldBackoffMS         = "backoff_ms"
	FieldSilenceMS         = "silence_ms"
	FieldStalledMS         = "stalled_ms"
	FieldEndpoint          = "endpoint"
	FieldQueue             = "queue"
	FieldScope             = "scope"
	FieldClass             = "class"
	FieldCode              = "code"
	FieldPrefetch          = "prefetch"
	FieldConcurrency       = "concurrency"
	FieldReturnedUnstarted = "returned_unstarted"
	FieldUnfinished        = "unfinished"
	FieldSaved             = "saved"
	FieldAcknowledged      = "acknowledged"
	FieldFailed            = "failed"
	FieldKept              = "kept"
	FieldRequeued          = "requeued"
	FieldRejected          = "rejected"
	FieldDelayed           = "delayed"
	FieldParked            = "parked"
	FieldDeduplicated      = "deduplicated"
	FieldStale             = "stale"
	FieldPeriodMS          = "period_ms"
	FieldCalls             = "calls"
	FieldHandlingUS        = "handling_us"
	FieldLongestUS         = "longest_us"
	FieldOldestMS          = "oldest_ms"
	FieldLeftOut           = "left_out"
	FieldMessageID         = "message_id"
	FieldCause             = "cause"
)

// Evidence is what a consumer says of why an event happened. The zero value of a field means that
// nothing is known.
type Evidence struct {
	// Generation counts the connections of a run.
	Generation uint64 `json:"gen,omitempty"`
	// Attempt counts the attempts since Consuming was lost; in what is about one message, the calls of its handler.
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
	// These and ReturnedUnstarted are what [Stats] count, of one queue and since the last [NoteOutcomes].
	Saved        uint64 `json:"saved,omitempty"`
	Acknowledged uint64 `json:"acknowledged,omitempty"`
	Failed       uint64 `json:"failed,omitempty"`
	Kept         uint64 `json:"kept,omitempty"`
	Requeued     uint64 `json:"requeued,omitempty"`
	Rejected     uint64 `json:"rejected,omitempty"`
	Delayed      uint64 `json:"delayed,omitempty"`
	Parked       uint64 `json:"parked,omitempty"`
	Deduplicated uint64 `json:"deduplicated,omitempty"`
	Stale        uint64 `json:"stale,omitempty"`
	// PeriodMS is the time until the event that a [NoteOutcomes] tells of, in milliseconds.
	PeriodMS int64 `json:"period_ms,omitempty"`
	// Calls counts the handler's calls that returned in that time; HandlingUS is how long they took, one after the
	// other, and LongestUS how long the longest took, in microseconds.
	Calls      uint64 `json:"calls,omitempty"`
	HandlingUS int64  `json:"handling_us,omitempty"`
	LongestUS  int64  `json:"longest_us,omitempty"`
	// OldestMS is for how long the call had lasted that was under way for longest in the end, in milliseconds.
	OldestMS int64 `json:"oldest_ms,omitempty"`
	// LeftOut counts the messages and the bursts of stale outcomes that have no event of their own; see [NoteParked].
	LeftOut uint64 `json:"left_out,omitempty"`
	// MessageID is the message-id property of the message concerned.
	MessageID string `json:"message_id,omitempty"`
	// Cause is why it was parked or dead-lettered: the name of a note, see [NoteParked].
	Cause string `json:"cause,omitempty"`

	// Error and Note are those of the event.
	Error string `json:"-"`
	Note  string `json:"-"`
}

// EvidenceOf returns what a consumer said of an event. What it did not say, because another
// machine's event or an older one has it otherwise, is zero.
func EvidenceOf(e fsm.Event) Evidence {
	evidence := Evidence{Error: e.Error, Note: e.Note}
	for name, value := range e.Details.All() {
		evidence.read(name, value)
	}
	return evidence
}

// read reads a member's JSON. What cannot be read is not known.
func (e *Evidence) read(name, value string) {
	switch name {
	case FieldGeneration:
		readUint(value, &e.Generation)
	case FieldAttempt:
		readInt(value, &e.Attempt)
	case FieldBackoffMS:
		readInt(value, &e.BackoffMS)
	case FieldSilenceMS:
		readInt(value, &e.SilenceMS)
	case FieldStalledMS:
		readInt(value, &e.StalledMS)
	case FieldEndpoint:
		readText(value, &e.Endpoint)
	case FieldQueue:
		readText(value, &e.Queue)
	case FieldScope:
		readText(value, &e.Scope)
	case FieldClass:
		readText(value, &e.Class)
	case FieldCode:
		readInt(value, &e.Code)
	case FieldPrefetch:
		readInt(value, &e.Prefetch)
	case FieldConcurrency:
		readInt(value, &e.Concurrency)
	case FieldReturnedUnstarted:
		readUint(value, &e.ReturnedUnstarted)
	case FieldUnfinished:
		readUint(value, &e.Unfinished)
	case FieldSaved:
		readUint(value, &e.Saved)
	case FieldAcknowledged:
		readUint(value, &e.Acknowledged)
	case FieldFailed:
		readUint(value, &e.Failed)
	case FieldKept:
		readUint(value, &e.Kept)
	case FieldRequeued:
		readUint(value, &e.Requeued)
	case FieldRejected:
		readUint(value, &e.Rejected)
	case FieldDelayed:
		readUint(value, &e.Delayed)
	case FieldParked:
		readUint(value, &e.Parked)
	case FieldDeduplicated:
		readUint(value, &e.Deduplicated)
	case FieldStale:
		readUint(value, &e.Stale)
	case FieldPeriodMS:
		readInt(value, &e.PeriodMS)
	case FieldCalls:
		readUint(value, &e.Calls)
	case FieldHandlingUS:
		readInt(value, &e.HandlingUS)
	case FieldLongestUS:
		readInt(value, &e.LongestUS)
	case FieldOldestMS:
		readInt(value, &e.OldestMS)
	case FieldLeftOut:
		readUint(value, &e.LeftOut)
	case FieldMessageID:
		readText(value, &e.MessageID)
	case FieldCause:
		readText(value, &e.Cause)
	}
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
	b.Text(FieldQueue, e.Queue)
	b.Text(FieldScope, e.Scope)
	b.Text(FieldClass, e.Class)
	b.Int(FieldCode, int64(e.Code))
	b.Int(FieldPrefetch, int64(e.Prefetch))
	b.Int(FieldConcurrency, int64(e.Concurrency))
	b.Uint(FieldReturnedUnstarted, e.ReturnedUnstarted)
	b.Uint(FieldUnfinished, e.Unfinished)
	b.Uint(FieldSaved, e.Saved)
	b.Uint(FieldAcknowledged, e.Acknowledged)
	b.Uint(FieldFailed, e.Failed)
	b.Uint(FieldKept, e.Kept)
	b.Uint(FieldRequeued, e.Requeued)
	b.Uint(FieldRejected, e.Rejected)
	b.Uint(FieldDelayed, e.Delayed)
	b.Uint(FieldParked, e.Parked)
	b.Uint(FieldDeduplicated, e.Deduplicated)
	b.Uint(FieldStale, e.Stale)
	b.Int(FieldPeriodMS, e.PeriodMS)
	b.Uint(FieldCalls, e.Calls)
	b.Int(FieldHandlingUS, e.HandlingUS)
	b.Int(FieldLongestUS, e.LongestUS)
	b.Int(FieldOldestMS, e.OldestMS)
	b.Uint(FieldLeftOut, e.LeftOut)
	b.Text(FieldMessageID, e.MessageID)
	b.Text(FieldCause, e.Cause)
	details, err := b.Details()
	if err != nil { // they are a few short names and numbers
		e.Note += " (" + err.Error() + ")"
	}
	return fsm.Evidence{Details: details, Error: e.Error, Note: e.Note}
}

// readInt reads a whole number, as encoding/json does.
func readInt[T int | int64](value string, to *T) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && int64(T(n)) == n {
		*to = T(n)
	}
}

func readUint(value string, to *uint64) {
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		*to = n
	}
}

func readText(value string, to *string) {
	if value[0] == '"' && strings.IndexByte(value, '\\') < 0 {
		*to = value[1 : len(value)-1]
		return
	}
	text := *to
	if json.Unmarshal([]byte(value), &text) == nil {
		*to = text
	}
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
