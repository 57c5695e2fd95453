package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/everhop/everhop/consumer"
)

// Subscription returns one with spans and metrics around its Handler and its Commit, and spans for what the broker is told
// (OnSettled).
func (t *Telemetry) Subscription(s consumer.Subscription) consumer.Subscription {
	w := &watch{Telemetry: t, queue: s.Queue, spanName: "process"}
	w.settlements.open = make(map[delivered]processed)
	if s.Queue != "" {
		w.spanName += " " + s.Queue
	}
	w.always = attribute.NewSet(semconv.MessagingSystemRabbitMQ, semconv.MessagingOperationName("process"), w.destination())
	if handler := s.Handler; handler != nil { // or New says so
		s.Handler = func(ctx context.Context, d *consumer.Delivery) error { return w.handle(ctx, d, handler) }
	}
	if commit := s.Commit; commit != nil {
		w.batch = &batch{}
		s.Commit = func(ctx context.Context) error { return w.commit(ctx, commit) }
	}
	told := s.OnSettled
	s.OnSettled = func(settled []consumer.Settlement) {
		w.settled(settled)
		if told != nil {
			told(settled)
		}
	}
	return s
}

// watch is what is known of a subscription.
type watch struct {
	*Telemetry
	queue       string // empty if the broker names it
	spanName    string
	always      attribute.Set // of metrics
	settlements settlements
	batch       *batch // nil without Commit
}

// destination is that of metrics.
func (w *watch) destination() attribute.KeyValue {
	if w.queue == "" {
		return semconv.MessagingDestinationAnonymous(true)
	}
	return semconv.MessagingDestinationName(w.queue)
}

// handle calls the handler, within a span.
func (w *watch) handle(ctx context.Context, d *consumer.Delivery, next consumer.Handler) error {
	ctx = w.propagator.Extract(ctx, headers(d.Headers))
	ctx, span := w.tracer.Start(ctx, w.spanName, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(w.attributes(d)...))
	key := keyOf(d) // the handler may change the delivery
	start, returned := time.Now(), false
	var err error
	defer func() { // also if it panics, or ends its goroutine
		w.measure(ctx, time.Since(start), err, returned)
		if !span.IsRecording() {
			return
		}
		w.conclude(span, err, returned)
		end := time.Now()
		span.End(trace.WithTimestamp(end))
		if span.SpanContext().IsSampled() {
			w.settlements.add(key, processed{span.SpanContext(), end})
			if w.batch != nil && err == nil && returned {
				w.batch.add(span.SpanContext())
			}
		}
	}()
	err = next(ctx, d)
	returned = true
	return err
}

func (w *watch) attributes(d *consumer.Delivery) []attribute.KeyValue {
	name := destination(d.Exchange, d.RoutingKey, d.Queue)
	attrs := make([]attribute.KeyValue, 0, 13)
	attrs = append(attrs,
		semconv.MessagingSystemRabbitMQ,
		semconv.MessagingOperationTypeProcess,
		semconv.MessagingOperationName("process"),
		semconv.MessagingDestinationName(name),
		semconv.MessagingRabbitMQMessageDeliveryTag(int(d.DeliveryTag)),
		semconv.MessagingMessageBodySize(len(d.Body)),
	)
	switch {
	case w.queue == "":
		attrs = append(attrs, semconv.MessagingDestinationAnonymous(true), semconv.MessagingDestinationTemporary(true))
	case name != w.queue:
		attrs = append(attrs, semconv.MessagingDestinationTemplate(w.queue))
	}
	attrs = appendNamed(attrs, d.RoutingKey, d.MessageID, d.CorrelationID)
	if d.Redelivered {
		attrs = append(attrs, redelivered.Bool(true))
	}
	if n := consumer.Attempts(d); n > 0 {
		attrs = append(attrs, attempts.Int(n))
	}
	return attrs
}

// appendNamed adds what a message is known by, as far as it is.
func appendNamed(attrs []attribute.KeyValue, routingKey, messageID, correlationID string) []attribute.KeyValue {
	if routingKey != "" {
		attrs = append(attrs, semconv.MessagingRabbitMQDestinationRoutingKey(routingKey))
	}
	if messageID != "" {
		attrs = append(attrs, semconv.MessagingMessageID(messageID))
	}
	if correlationID != "" {
		attrs = append(attrs, semconv.MessagingMessageConversationID(correlationID))
	}
	return attrs
}

// interrupted is the type of the error of a handler that did not return.
var interrupted = semconv.ErrorTypeKey.String("panic")

func (w *watch) measure(ctx context.Context, took time.Duration, err error, returned bool) {
	set := w.always
	if _, failed := answer(err); failed || !returned {
		kind := interrupted
		if returned {
			kind = errorType(err)
		}
		set = attribute.NewSet(append(set.ToSlice(), kind)...)
	}
	w.consumed.AddSet(ctx, 1, set)
	w.processed.RecordSet(ctx, took.Seconds(), set)
}

// conclude says how a call ended.
func (w *watch) conclude(span trace.Span, err error, returned bool) {
	asks, failed := answer(err)
	switch {
	case !returned:
		span.SetStatus(codes.Error, "the handler panicked, or ended its goroutine")
		span.SetAttributes(interrupted)
	case failed:
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(errorType(err))
	case asks != "":
		span.SetAttributes(outcome.String(asks))
	}
}
