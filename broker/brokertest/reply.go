package brokertest

import (
	"fmt"
	"strings"

	"github.com/everhop/everhop/broker/internal/wire"
)

// reply is why the broker refuses something: a reply code of AMQP 0-9-1 and a text.
type reply struct {
	code uint16
	text string
}

func (r *reply) Error() string { return fmt.Sprintf("%d %s", r.code, r.text) }

// hard tells whether the code ends the connection; the others end the channel only.
func (r *reply) hard() bool {
	switch r.code {
	case contentTooLarge, noRoute, noConsumers, accessRefused, notFound, resourceLocked, preconditionFailed:
		return false
	}
	return true
}

// The reply codes of AMQP 0-9-1.
const (
	contentTooLarge    = 311
	noRoute            = 312
	noConsumers        = 313
	connectionForced   = 320
	invalidPath        = 402
	accessRefused      = 403
	notFound           = 404
	resourceLocked     = 405
	preconditionFailed = 406
	frameError         = 501
	syntaxError        = 502
	commandInvalid     = 503
	channelError       = 504
	unexpectedFrame    = 505
	resourceError      = 506
	notAllowed         = 530
	notImplemented     = 540
	internalError      = 541
)

// codes are the names that RabbitMQ puts before its reply texts.
var codes = map[uint16]string{
	contentTooLarge:    "CONTENT_TOO_LARGE",
	noRoute:            "NO_ROUTE",
	noConsumers:        "NO_CONSUMERS",
	connectionForced:   "CONNECTION_FORCED",
	invalidPath:        "INVALID_PATH",
	accessRefused:      "ACCESS_REFUSED",
	notFound:           "NOT_FOUND",
	resourceLocked:     "RESOURCE_LOCKED",
	preconditionFailed: "PRECONDITION_FAILED",
	frameError:         "FRAME_ERROR",
	syntaxError:        "SYNTAX_ERROR",
	commandInvalid:     "COMMAND_INVALID",
	channelError:       "CHANNEL_ERROR",
	unexpectedFrame:    "UNEXPECTED_FRAME",
	resourceError:      "RESOURCE_ERROR",
	notAllowed:         "NOT_ALLOWED",
	notImplemented:     "NOT_IMPLEMENTED",
	internalError:      "INTERNAL_ERROR",
}

func refuse(code uint16, format string, args ...any) *reply {
	text := fmt.Sprintf(format, args...)
	if name := codes[code]; name != "" && !strings.HasPrefix(text, name) {
		text = strings.TrimSuffix(name+" - "+text, " - ")
	}
	if more := "..."; len(text) > wire.MaxShortString {
		text = text[:wire.MaxShortString-len(more)] + more
	}
	return &reply{code, text}
}

// missing is the 404 for a queue or an exchange.
func (h *virtualHost) missing(kind, name string) error {
	return refuse(notFound, "no %s '%s' in vhost '%s'", kind, name, h.name)
}
