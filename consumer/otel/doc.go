// Package otel shows messages to OpenTelemetry: a trace goes from who publishes a message, through its headers, to the handler
// and to what the broker was told in the end. Importing package consumer costs none of what this one needs.
//
//	publish orders                producer: from Publish, until the broker has confirmed it
//	  |    traceparent, tracestate, baggage: headers of the message
//	  +-- process orders          consumer: a call of the handler
//	  |     +-- ack orders        client: from the handler's return until the acknowledgement was sent
//	  +-- process orders          once more, if the message came again
//	        +-- settle orders     an error: its channel was gone, nothing was sent, and the broker delivers it again
//
// There is a span for each call of the handler, be it again in place, after a delay or because the message was redelivered:
// they have the same parent, and everhop.attempts and everhop.redelivered say which it is. What a handler does within its
// ctx, such as to publish with a [Publisher], belongs to its span.
//
// With a Commit there is one more, "commit orders", with a link to each call that it makes last.
//
// # Use
//
//	telemetry, err := otel.New(otel.Config{})
//	...
//	config.Subscriptions = append(config.Subscriptions, telemetry.Subscription(consumer.Subscription{Queue: "orders", Handler: handle}))
//	...
//	publisher := telemetry.Publisher(p)
//
// # Conventions
//
// Names and attributes are those of the semantic conventions for messaging, version 1.43, which are in development:
// messaging.destination.name is exchange:routing key:queue, without what is empty or the same, and
// messaging.destination.template, by which spans are called, is the queue, or the exchange published to; routing keys
// may be many. The metrics are messaging.client.consumed.messages, messaging.process.duration,
// messaging.client.sent.messages and messaging.client.operation.duration; messaging.destination.name is the queue or the
// exchange there. What the conventions have no name for is everhop.attempts, everhop.redelivered and everhop.outcome: what
// the handler asked for (requeue, reject, retry_after, permanent).
//
// # What the caller must do
//
//  1. Wrap each subscription before consumer.New: what is around the Handler by then is within the span.
//  2. Publish with the handler's ctx, or the trace ends there.
//  3. Set a propagator, in [Config] or with otel.SetTextMapPropagator. OpenTelemetry's default propagates nothing.
package otel
