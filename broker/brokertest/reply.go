package brokertest

import (
	"fmt"
	"strings"
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
	case 311, 312, 313, 403, 404, 405, 406:
		return false
	}
	return true
}

// codes are the names that RabbitMQ puts before its reply texts.
var codes = map[uint16]string{
	311: "CONTENT_TOO_LARGE",
	312: "NO_ROUTE",
	313: "NO_CONSUMERS",
	320: "CONNECTION_FORCED",
	402: "INVALID_PATH",
	403: "ACCESS_REFUSED",
	404: "NOT_FOUND",
	405: "RESOURCE_LOCKED",
	406: "PRECONDITION_FAILED",
	501: "FRAME_ERROR",
	502: "SYNTAX_ERROR",
	503: "COMMAND_INVALID",
	504: "CHANNEL_ERROR",
	505: "UNEXPECTED_FRAME",
	506: "RESOURCE_ERROR",
	530: "NOT_ALLOWED",
	540: "NOT_IMPLEMENTED",
	541: "INTERNAL_ERROR",
}

func refuse(code uint16, format string, args ...any) *reply {
	text := fmt.Sprintf(format, args...)
	if name := codes[code]; name != "" && !strings.HasPrefix(text, name) {
		text = strings.TrimSuffix(name+" - "+text, " - ")
	}
	if len(text) > 255 { // a short string
		text = text[:252] + "..."
	}
	return &reply{code, text}
}

// missing is the 404 for a queue or an exchange.
func (h *virtualHost) missing(kind, name string) error {
	return refuse(404, "no %s '%s' in vhost '%s'", kind, name, h.name)
}
