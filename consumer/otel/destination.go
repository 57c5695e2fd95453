package otel

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// destination is where a message was published to and, if it is consumed, the queue that it came from; each name once.
func destination(exchange, routingKey, queue string) string {
	if queue == routingKey {
		queue = ""
	}
	parts := slices.DeleteFunc([]string{exchange, routingKey, queue}, func(part string) bool { return part == "" })
	if len(parts) == 0 {
		return "amq.default"
	}
	return strings.Join(parts, ":")
}

// The attributes that the conventions have no name for.
const (
	attempts    = attribute.Key("everhop.attempts")
	redelivered = attribute.Key("everhop.redelivered")
	outcome     = attribute.Key("everhop.outcome")
)

// answer is what a handler's error means: what it asks for, if that is no failure.
func answer(err error) (asks string, failed bool) {
	var after interface{ Delay() time.Duration }
	switch {
	case err == nil:
		return "", false
	case errors.Is(err, consumer.Requeue):
		return "requeue", false
	case errors.Is(err, consumer.Reject):
		return "reject", false
	case errors.As(err, &after):
		return "retry_after", false
	}
	return "", true
}

// errorType is the type of an error, without what package consumer puts around it.
func errorType(err error) attribute.KeyValue {
	for isOurs(err) && errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return semconv.ErrorType(err)
}

var ours = reflect.TypeFor[consumer.Consumer]().PkgPath()

func isOurs(err error) bool {
	t := reflect.TypeOf(err)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == ours
}

// refusal is the type of an error of a Publisher's.
func refusal(err error) attribute.KeyValue {
	var e *broker.Error
	kind := "_OTHER"
	switch {
	case errors.Is(err, broker.ErrUnroutable):
		kind = "unroutable"
	case errors.Is(err, publish.ErrNotSent):
		kind = "not_sent"
	case errors.Is(err, publish.ErrNotKnown):
		kind = "not_known"
	case errors.Is(err, broker.ErrRefused):
		kind = "refused"
	case errors.As(err, &e):
		kind = string(e.Class)
	}
	return semconv.ErrorTypeKey.String(kind)
}
