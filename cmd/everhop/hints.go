package main

import (
	"errors"
	"fmt"

	"github.com/everhop/everhop/broker"
)

// withHint says what to do about an error that kept a message from being published.
func withHint(err error, exchange, routingKey string) error {
	if errors.Is(err, broker.ErrUnroutable) {
		return unroutable(exchange, routingKey)
	}
	if hint := hintOn(err); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}

func unroutable(exchange, routingKey string) error {
	if exchange == "" {
		return fmt.Errorf("unroutable: there is no queue %q (exchange \"\", routing key %[1]q); check its name, or declare it first", routingKey)
	}
	return fmt.Errorf("unroutable: no queue is bound to the exchange %q for the routing key %q; check both, or bind a queue first", exchange, routingKey)
}

// internalError is how RabbitMQ ends the connection over a message with which it cannot cope.
const internalError = 541

const unreadable = "there may be a header in the message that the broker cannot read: NaN, Infinity"

// hintOn is "" for what a broker explains itself, such as a message that is too large.
func hintOn(err error) string {
	var failure *broker.Error
	switch {
	case errors.Is(err, broker.ErrRefused):
		return "is the queue full? Look at its length, and at max-length and overflow of its policy (rabbitmqctl list_queues name messages policy)"
	case errors.Is(err, broker.ErrHeaderTooLarge):
		return "send fewer or shorter headers, or raise frame_max at the broker"
	case broker.Hint(err) != "":
		return broker.Hint(err)
	case !errors.As(err, &failure):
		return ""
	}
	if failure.Code == internalError {
		return unreadable
	}
	switch failure.Class {
	case broker.NotFound: // the broker says which: it need not be that of the first message that is not confirmed
		return "check the name of the exchange, or declare it first"
	case broker.Auth:
		return "check user name, password and permissions (rabbitmqctl authenticate_user, list_permissions)"
	case broker.VHost:
		return "create the virtual host, or give the user permissions in it (rabbitmqctl add_vhost, set_permissions)"
	case broker.Network:
		return "check that the broker runs and that host and port are right"
	}
	return ""
}
