package broker

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What Hint says.
const (
	// HintName is for a name that has no address.
	HintName = "correct the host in the URL, or add the name to DNS or /etc/hosts"
	// HintPlainPort is for TLS spoken to a port that does not.
	HintPlainPort = "the port speaks AMQP without TLS: use amqp:// there, or the port of amqps, usually 5671"
	// HintTLSPort is for a port of TLS that is not spoken to in TLS.
	HintTLSPort = "the port speaks TLS: use amqps:// there, or the plain port, usually 5672"
	// HintHTTPPort is for a port of something else.
	HintHTTPPort = "the port speaks HTTP, as the management plugin does on 15672: use the port of AMQP, usually 5672 (with TLS 5671)"
	// HintNoStream is for a queue that is consumed as a stream, and is of another type.
	HintNoStream = "the queue is no stream: consume it without a stream offset"
)

// Hint is what to do about an error that its Class does not tell: the URL leads to a port or a name that it cannot
// mean, or the queue is of another type. It is "" for any other error.
func Hint(err error) string {
	var name *net.DNSError
	var record tls.RecordHeaderError
	var reply *amqp.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return HintName
	case errors.Is(err, errSpeaksTLS):
		return HintTLSPort
	case errors.Is(err, errSpeaksHTTP):
		return HintHTTPPort
	case errors.As(err, &record) && strings.HasPrefix(string(record.RecordHeader[:]), "AMQP"):
		return HintPlainPort
	case errors.As(err, &record) && strings.HasPrefix(string(record.RecordHeader[:]), "HTTP"):
		return HintHTTPPort
	case errors.As(err, &reply) && reply.Code == amqp.PreconditionFailed && strings.Contains(reply.Reason, "invalid arg 'x-stream-offset'"):
		return HintNoStream
	}
	return ""
}

var (
	errSpeaksTLS  = errors.New("TLS is spoken there, and the URL begins with amqp://")
	errSpeaksHTTP = errors.New("HTTP is spoken there, not AMQP")
)

// otherProtocol is what somebody speaks who begins with this byte, which no frame of AMQP does; nil if it is not known.
func otherProtocol(first byte) error {
	switch first {
	case 0x15, 0x16: // a record of TLS: an alert, a handshake
		return errSpeaksTLS
	case 'H':
		return errSpeaksHTTP
	}
	return nil
}
