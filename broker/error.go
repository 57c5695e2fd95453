package broker

import (
	"errors"
	"fmt"
	"io"
	"net"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Scope says how much an error broke.
type Scope string

const (
	// ScopeConnection means that everything on it is gone.
	ScopeConnection Scope = "connection"
	// ScopeChannel means that one subscription's channel is closed.
	ScopeChannel Scope = "channel"
	// ScopeSubscription means that the channel lives, the consumer on it does not.
	ScopeSubscription Scope = "subscription"
)

// Error is how every failure leaves this package: classified once, with what was being done, where.
// It unwraps to the cause. Its text holds no credentials.
type Error struct {
	// Op is what was being done: "dial", "declare queue", "consume", ...
	Op string
	// Scope is what broke.
	Scope Scope
	// Class decides whether to try again.
	Class Class
	// Code is the AMQP reply code, 0 if the broker sent none.
	Code int
	// Endpoint is host:port.
	Endpoint string
	// Address is the one of the host's addresses that was in use. It is "" if the host is an address itself, if
	// Plan.Dial was given the host, and if not the connection broke.
	Address string
	// Queue is the queue concerned, "" if none.
	Queue string
	// Err is the cause.
	Err error
}

// Error says what was being done, where, and the Reason.
func (e *Error) Error() string {
	at := e.Op
	if e.Queue != "" {
		at += fmt.Sprintf(" (queue %q)", e.Queue)
	}
	return fmt.Sprintf("broker: %s at %s: %s", at, e.Endpoint, e.Reason())
}

// Reason is the cause alone, in the broker's own words where it spoke, and the Address if there is one.
func (e *Error) Reason() string {
	if e.Address != "" {
		return e.cause() + " (" + e.Address + ")"
	}
	return e.cause()
}

func (e *Error) cause() string {
	var reply *amqp.Error
	if errors.As(e.Err, &reply) && reply.Server {
		return fmt.Sprintf("%d %s", reply.Code, reply.Reason)
	}
	var op *net.OpError
	if errors.As(e.Err, &op) && op.Err != nil {
		return op.Err.Error() // the rest of it is addresses, and Endpoint says which
	}
	if errors.Is(e.Err, io.EOF) {
		return "the broker closed the connection without a word"
	}
	return e.Err.Error()
}

// IsChannelLimit tells whether there are as many channels on the connection as the broker permits (channel_max).
func (e *Error) IsChannelLimit() bool { return errors.Is(e.Err, amqp.ErrChannelMax) }

// EndedByBroker tells whether the broker has ended the connection because of what came in on it: with a reply code, and not
// since it stops, or somebody wants it to (320).
func (e *Error) EndedByBroker() bool {
	return e.Scope == ScopeConnection && e.Code != 0 && e.Code != amqp.ConnectionForced
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func newError(op string, scope Scope, endpoint Endpoint, queue string, err error) *Error {
	class, code := Classify(err)
	return &Error{Op: op, Scope: scope, Class: class, Code: code, Endpoint: endpoint.String(), Queue: queue, Err: err}
}

// ErrStale is returned for an acknowledgement whose delivery came over a channel that is no longer
// open. Nothing was sent; the broker delivers the message again.
var ErrStale = errors.New("broker: stale delivery: its channel is gone, the broker delivers it again")

var (
	errConnectTimeout = errors.New("no endpoint completed the connection in time")
	// errConnectionTimeout is about one endpoint, the URL of which says how long it may take.
	errConnectionTimeout = errors.New("the endpoint did not complete the connection in time")
	errAborted           = errors.New("aborted")
)

func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
