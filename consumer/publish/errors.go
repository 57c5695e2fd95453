package publish

import (
	"errors"
	"fmt"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

var (
	// ErrNotSent means that the broker does not have the message: nothing of it was written.
	ErrNotSent = errors.New("publish: not sent")
	// ErrNotKnown means that the message was sent, and its confirm has not come: the broker may have it or not.
	ErrNotKnown = errors.New("publish: sent and not confirmed: the broker may have it")
	// ErrStopped is the cause when the publisher was stopped before the message was confirmed, or accepted.
	ErrStopped = errors.New("publish: the publisher has stopped")
	// ErrAlreadyRun means that Run was called twice. A Publisher runs once.
	ErrAlreadyRun = errors.New("publish: Run was called before; a Publisher runs once")
	// ErrRetriesExhausted means that Run gave up because Config.MaxReviveAttempts attempts have failed. It comes wrapped
	// in an *Error.
	ErrRetriesExhausted = errors.New("publish: the attempts to revive are used up")
)

// UnroutableError means that no queue is bound for the message (basic.return). The broker has not stored it.
type UnroutableError struct {
	Exchange   string
	RoutingKey string
}

// Error names exchange and routing key.
func (e *UnroutableError) Error() string {
	if e.Exchange == "" {
		return fmt.Sprintf("publish: unroutable: there is no queue %q", e.RoutingKey)
	}
	return fmt.Sprintf("publish: unroutable: no queue is bound to exchange %q for routing key %q", e.Exchange, e.RoutingKey)
}

// Unwrap makes it a broker.ErrUnroutable.
func (e *UnroutableError) Unwrap() error { return broker.ErrUnroutable }

// Error is why Run gave up: trying again cannot help, or is not allowed any more.
type Error struct {
	// State that the publisher was in.
	State fsm.State
	// Class and Endpoint, host:port, of the last failure.
	Class    broker.Class
	Endpoint string
	// Err is the last failure, usually a *broker.Error.
	Err error
}

// Error says what happened, and where.
func (e *Error) Error() string {
	return fmt.Sprintf("publish: gave up while %s (%s at %s): %v", e.State, e.Class, e.Endpoint, e.Err)
}

// Unwrap gives the last failure.
func (e *Error) Unwrap() error { return e.Err }

// asBrokerError gives every error the broker package's form.
func asBrokerError(err error) *broker.Error {
	var e *broker.Error
	if errors.As(err, &e) {
		return e
	}
	class, code := broker.Classify(err)
	return &broker.Error{Op: "publish", Scope: broker.ScopeConnection, Class: class, Code: code, Err: err}
}
