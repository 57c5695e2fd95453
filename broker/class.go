package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Class says what kind of trouble an error is, so that a supervisor decides by one word.
type Class string

const (
	// Network means: refused, reset, unreachable, closed without a word, name not resolved.
	Network Class = "network"
	// Heartbeat means: the peer went silent; the socket is still there.
	Heartbeat Class = "heartbeat"
	// BrokerShutdown means: the broker, or the node that holds the queue, is being stopped or not yet up.
	BrokerShutdown Class = "broker_shutdown"
	// Resource means: a limit or an alarm; it passes when somebody else lets go.
	Resource Class = "resource"
	// Auth means: the credentials, or the user's permissions, are refused.
	Auth Class = "auth"
	// VHost means: the virtual host does not exist, or the user may not enter it.
	VHost Class = "vhost"
	// NotFound means: no such queue or exchange.
	NotFound Class = "not_found"
	// Precondition means: what exists differs from what is declared, or the broker does not permit what is asked for.
	Precondition Class = "precondition"
	// ConsumerTimeout means: the broker gave up waiting for an acknowledgement (consumer_timeout). RabbitMQ says so
	// before 4.3; since then it cancels the consumer without a reason, which is [Cancelled] here.
	ConsumerTimeout Class = "consumer_timeout"
	// Overdue means: the queue does not answer: without a majority of its nodes, or its process hangs. The connection
	// is alive.
	Overdue Class = "overdue"
	// Exclusive means: another connection or consumer holds the queue for itself.
	Exclusive Class = "exclusive"
	// Protocol means: the peers disagree about AMQP itself.
	Protocol Class = "protocol"
	// TLS means: the handshake or the verification of a certificate failed.
	TLS Class = "tls"
	// Cancelled means: the broker cancelled the consumer: the queue was deleted or moved, or from RabbitMQ 4.3 on an
	// acknowledgement did not come in time.
	Cancelled Class = "cancelled"
	// Unknown means: everything else, such as a failure of the caller's own functions.
	Unknown Class = "unknown"
)

// Retryable tells whether waiting can help: whether a human, a cluster or another client can heal
// the cause while the consumer goes on trying. It is false for what will be equally wrong in an hour.
func (c Class) Retryable() bool {
	switch c {
	case Auth, VHost, Precondition:
		return false
	}
	return true
}

// errSilent is the cause of an abort because no byte came in for too long.
var errSilent = errors.New("the peer went silent")

// errOverdue is the cause of leaving a channel behind because one answer did not come on it, though others did.
var errOverdue = errors.New("the broker did not answer in time, though the connection is alive")

// errCallTimeout is the cause of an abort because an answer that concerns the whole connection did not come.
var errCallTimeout = errors.New("the broker did not answer in time")

// errBlocked is the cause of an abort because the broker reads nothing.
var errBlocked = errors.New("the broker has stopped reading because of an alarm")

// errCancelled stands for a basic.cancel from the broker, which carries no reason.
var errCancelled = errors.New("the broker cancelled the consumer and gave no reason (basic.cancel)")

// Classify maps any error met in a session to its class, and to the AMQP reply code if one came.
// errors.Is and As decide wherever the error has structure. Text decides only where RabbitMQ uses
// one reply code for several things; the phrases are those of rabbit_reader and rabbit_channel.
func Classify(err error) (Class, int) {
	var classified *Error
	var reply *amqp.Error
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	var authority x509.UnknownAuthorityError
	switch {
	case err == nil:
		return "", 0
	case errors.Is(err, errProvider), errors.Is(err, errSupplied):
		return Unknown, 0 // the caller's own functions failed, for whatever reason
	case errors.As(err, &classified):
		return classified.Class, classified.Code
	case errors.As(err, &reply) && reply.Server:
		return classifyReply(reply.Code, reply.Reason), reply.Code
	case errors.Is(err, errCancelled):
		return Cancelled, 0
	case errors.Is(err, amqp.ErrSASL):
		return Auth, 0 // no common mechanism: EXTERNAL asked of a broker without its plugin
	case errors.Is(err, errOverdue):
		return Overdue, 0
	case errors.Is(err, errBlocked):
		return Resource, 0
	case errors.Is(err, amqp.ErrChannelMax):
		return Resource, 0 // more subscriptions than channels: others of this connection may end
	case errors.Is(err, amqp.ErrFrame), errors.Is(err, amqp.ErrFrameTooLarge), errors.Is(err, amqp.ErrSyntax),
		errors.Is(err, amqp.ErrCommandInvalid), errors.Is(err, amqp.ErrUnexpectedFrame), errors.Is(err, amqp.ErrFieldType):
		return Protocol, 0
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &authority), errors.Is(err, errSpeaksTLS):
		return TLS, 0
	case errors.Is(err, errSpeaksHTTP):
		return Protocol, 0
	case errors.As(err, &op) && op.Op == "remote error":
		return TLS, 0 // crypto/tls: an alert from the peer, e.g. that it wants a client certificate
	case errors.Is(err, errSilent), errors.Is(err, errCallTimeout):
		return Heartbeat, 0
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Heartbeat, 0 // the read deadline (missed heartbeats) or the write deadline of conn
	case errors.Is(err, errConnectTimeout), errors.Is(err, errConnectionTimeout), errors.Is(err, context.DeadlineExceeded):
		return Network, 0 // the dial as a whole took too long
	}
	if errors.As(err, &reply) && isGarbage(reply) {
		return Protocol, 0
	}
	// What is left came from the socket or from amqp091-go's view of it: resets, refusals, EOF,
	// resolver errors, "channel/connection is not open", and the two errors that it makes up when
	// the socket closes during the handshake (ErrCredentials, ErrVhost): the broker did not say so.
	if isNetwork(err) || errors.As(err, &reply) {
		return Network, 0
	}
	return Unknown, 0
}

// classifyReply judges a connection.close or channel.close by code, then by phrase.
func classifyReply(code int, text string) Class {
	says := func(phrase string) bool { return strings.Contains(text, phrase) }
	_, words, _ := strings.Cut(text, " - ")                                        // behind the code's name
	begins := func(phrase string) bool { return strings.HasPrefix(words, phrase) } // before any name that somebody chose
	switch code {
	case amqp.ConnectionForced: // 320: shutdown, or an operator closed the connection
		return BrokerShutdown
	case amqp.InvalidPath: // 402: the specification's word for an unknown virtual host
		return VHost
	case amqp.AccessRefused: // 403
		if says("in exclusive use") {
			return Exclusive // another consumer has it exclusively; that one can end
		}
		return Auth
	case amqp.NotFound: // 404
		for _, phrase := range []string{"is down or inaccessible", "process is stopped by supervisor",
			"has crashed and failed to restart", "due to timeout"} {
			if strings.HasSuffix(text, phrase) {
				return BrokerShutdown // the queue exists; its node or its process does not run
			}
		}
		return NotFound
	case amqp.ResourceLocked: // 405: an exclusive queue of another connection, often our own previous one
		return Exclusive
	case amqp.PreconditionFailed: // 406
		switch {
		case begins("cannot declare ") && strings.HasSuffix(text, " is reached"): // of queues or exchanges
			return Resource
		case begins("delivery acknowledgement on channel "):
			return ConsumerTimeout
		}
		return Precondition
	case amqp.NotAllowed: // 530
		switch {
		case strings.HasSuffix(text, ") is reached"), begins("number of channels opened "), begins("reached maximum ("), says("negotiated channel_max ("):
			return Resource // of connections, channels or consumers, for a user, virtual host, node, connection or channel
		case strings.HasSuffix(text, "is down"): // a virtual host that is still starting
			return BrokerShutdown
		case says("vhost"):
			return VHost
		}
		return Protocol // e.g. a consumer tag that is used twice on a channel
	case amqp.ContentTooLarge, amqp.NoConsumers, amqp.ResourceError: // 311, 313, 506
		return Resource
	case amqp.InternalError: // 541: e.g. a quorum queue without a leader
		if begins("Feature `") { // "... is deprecated. By default, this feature is not permitted anymore."
			return Precondition
		}
		return BrokerShutdown
	case amqp.CommandInvalid: // 503
		if begins("invalid exchange type ") || begins("unknown exchange type ") { // a 406 from 4.0 on
			return Precondition
		}
		return Protocol
	case amqp.FrameError, amqp.SyntaxError, amqp.ChannelError, amqp.UnexpectedFrame, amqp.NotImplemented:
		return Protocol // 501 to 505, 540
	}
	return Unknown
}

// isGarbage tells whether the peer sent what is not AMQP. amqp091-go keeps only the text of the error
// with which its reader ended.
func isGarbage(e *amqp.Error) bool {
	for _, known := range []*amqp.Error{amqp.ErrFrame, amqp.ErrFrameTooLarge, amqp.ErrSyntax, amqp.ErrUnexpectedFrame, amqp.ErrCommandInvalid, amqp.ErrFieldType} {
		if e.Code == amqp.FrameError && e.Reason == known.Error() {
			return true
		}
	}
	return false
}
