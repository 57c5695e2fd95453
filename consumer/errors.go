package consumer

import (
	"errors"
	"fmt"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/fsm"
)

var (
	// ErrRetriesExhausted means that Run gave up because Config.MaxReviveAttempts attempts of one revival have failed.
	// It comes wrapped in an *Error.
	ErrRetriesExhausted = errors.New("consumer: the attempts to revive are used up")
	// ErrUnfinished means that Run stopped, and handlers had not returned even after their context was
	// cancelled. Their messages were not acknowledged; the broker delivers them again.
	ErrUnfinished = errors.New("consumer: stopped before every handler had finished; its messages go back to the queue")
	// ErrAlreadyRun means that Run was called twice. A Consumer runs once.
	ErrAlreadyRun = errors.New("consumer: Run was called before; a Consumer runs once")
	// ErrHandlerTimeout is the cause of the handler's context when Subscription.HandlerTimeout is over (see context.Cause).
	ErrHandlerTimeout = errors.New("consumer: the handler timeout is over")
	// ErrNotRunning means that a subscription was to be changed while Run was not at work.
	ErrNotRunning = errors.New("consumer: not running")

	errGoexit = errors.New("consumer: the handler, or another function of the caller's, ended its goroutine (runtime.Goexit)")
)

// Error is why Run gave up: trying again cannot help, or is not allowed any more.
type Error struct {
	// State that the consumer was in.
	State fsm.State
	// Class of the last failure.
	Class broker.Class
	// Endpoint is host:port of the last failure.
	Endpoint string
	// Err is the last failure, usually a *broker.Error.
	Err error
}

// Error says what happened, where, and what to do.
func (e *Error) Error() string {
	text := fmt.Sprintf("consumer: gave up while %s (%s at %s): %v", e.State, e.Class, e.Endpoint, e.Err)
	if a := adviceFor(e.Class, asBrokerError(e.Err)); a != "" {
		text += "; " + a
	}
	return text
}

// Unwrap gives the last failure.
func (e *Error) Unwrap() error { return e.Err }

// advice is what a human can do about each class. It is in the error that ends Run, and in the event of
// the first failed attempt.
var advice = map[broker.Class]string{
	broker.Network:         "check that the broker runs and that host and port are right",
	broker.Heartbeat:       "check the network between here and the broker",
	broker.BrokerShutdown:  "check the state of the broker's nodes",
	broker.Resource:        "raise the limit at the broker, or end other connections",
	broker.Auth:            "check user name, password and permissions (rabbitmqctl authenticate_user, list_permissions)",
	broker.VHost:           "create the virtual host, or give the user permissions in it (rabbitmqctl add_vhost, set_permissions)",
	broker.NotFound:        "declare the queue or exchange, or let the consumer declare it",
	broker.Precondition:    "make the declaration equal to what exists, or delete what exists, or leave out Strict",
	broker.ConsumerTimeout: "shorten the handler, lower Prefetch, or raise consumer_timeout at the broker (x-consumer-timeout for one queue) and ConsumerTimeout here",
	broker.Cancelled:       "declare the queue again, or let the consumer declare it",
	broker.Overdue:         "check that the queue has a leader and most of its nodes (rabbitmq-queues check_if_node_is_quorum_critical, rabbitmqctl list_queues name state)",
	broker.Exclusive:       "end the consumer that holds the queue exclusively",
	broker.Protocol:        "check that the port speaks AMQP 0-9-1",
	broker.TLS:             "check certificates, their names and their dates",
}

// adviceOn is the advice on a failure.
func adviceOn(class broker.Class, code int) string {
	if class == broker.Precondition && code == codeInternalError {
		return "ask for what the broker permits, such as a durable queue, or permit the feature (deprecated_features.permit)"
	}
	return advice[class]
}

// adviceFor is the advice on a failure of which more is known than its class.
func adviceFor(class broker.Class, e *broker.Error) string {
	if hint := broker.Hint(e); hint != "" {
		return hint
	}
	return adviceOn(class, e.Code)
}

const codeInternalError = 541 // by which RabbitMQ refuses a feature

// asBrokerError gives every error the broker package's form.
func asBrokerError(err error) *broker.Error {
	var e *broker.Error
	if errors.As(err, &e) {
		return e
	}
	class, code := broker.Classify(err)
	return &broker.Error{Op: "consume", Scope: broker.ScopeConnection, Class: class, Code: code, Err: err}
}
