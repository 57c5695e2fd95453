package otel

import (
	"context"
	"maps"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/publish"
)

// Publisher is a publish.Publisher whose Publish and Send make a span that ends with the broker's confirm. Its context goes
// into the headers of a copy: the caller's message stays as it is. A message that has a context among its headers, since it is
// passed on, keeps that; the span has a link to it.
type Publisher struct {
	*publish.Publisher
	telemetry *Telemetry
}

// Publisher returns p with spans and metrics.
func (t *Telemetry) Publisher(p *publish.Publisher) *Publisher { return &Publisher{p, t} }

// Publish is that of publish.Publisher.
func (p *Publisher) Publish(ctx context.Context, m *broker.Message) error {
	ctx, s := p.telemetry.begin(ctx, m)
	err := p.Publisher.Publish(ctx, &s.message)
	s.end(ctx, err)
	return err
}

// Send is that of publish.Publisher. If the span is recorded, a goroutine waits for the confirm, which there is at the
// latest when the publisher's Run has returned.
func (p *Publisher) Send(ctx context.Context, m *broker.Message) (*publish.Confirmation, error) {
	ctx, s := p.telemetry.begin(ctx, m)
	c, err := p.Publisher.Send(ctx, &s.message)
	if err != nil || !s.isSeen(ctx) {
		s.end(ctx, err)
		return c, err
	}
	go func() {
		<-c.Done()
		s.end(ctx, c.Err())
	}()
	return c, nil
}

// sending is a message on its way.
type sending struct {
	*Telemetry
	span    trace.Span
	message broker.Message // the copy
	start   time.Time
}

// begin makes the span, and a message with its context.
func (t *Telemetry) begin(ctx context.Context, m *broker.Message) (context.Context, *sending) {
	s := &sending{Telemetry: t, message: *m, start: time.Now()}
	options := make([]trace.SpanStartOption, 0, 3)
	options = append(options, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(sentAttributes(m)...))
	earlier := trace.SpanContextFromContext(t.propagator.Extract(context.Background(), headers(m.Headers)))
	if earlier.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: earlier}))
	}
	ctx, s.span = t.tracer.Start(ctx, "publish "+target(m), options...)
	if !earlier.IsValid() {
		added := make(headers, 3)
		t.propagator.Inject(ctx, added)
		if len(added) > 0 {
			s.message.Headers = make(map[string]any, len(m.Headers)+len(added))
			maps.Copy(s.message.Headers, m.Headers)
			maps.Copy(s.message.Headers, added)
		}
	}
	return ctx, s
}

// target is what there are few of: the exchange, or without one the queue that the routing key is.
func target(m *broker.Message) string {
	if m.Exchange != "" {
		return m.Exchange
	}
	return destination("", m.RoutingKey, "")
}

func sentAttributes(m *broker.Message) []attribute.KeyValue {
	name := destination(m.Exchange, m.RoutingKey, "")
	attrs := make([]attribute.KeyValue, 0, 9)
	attrs = append(attrs,
		semconv.MessagingSystemRabbitMQ,
		semconv.MessagingOperationTypeSend,
		semconv.MessagingOperationName("publish"),
		semconv.MessagingDestinationName(name),
		semconv.MessagingMessageBodySize(len(m.Body)),
	)
	if name != target(m) {
		attrs = append(attrs, semconv.MessagingDestinationTemplate(target(m)))
	}
	return appendNamed(attrs, m.RoutingKey, m.MessageID, m.CorrelationID)
}

// isSeen tells whether anybody wants to know of the confirm.
func (s *sending) isSeen(ctx context.Context) bool {
	return s.span.IsRecording() || s.sent.Enabled(ctx) || s.operation.Enabled(ctx)
}

func (s *sending) end(ctx context.Context, err error) {
	attrs := []attribute.KeyValue{semconv.MessagingSystemRabbitMQ, semconv.MessagingOperationName("publish"), semconv.MessagingDestinationName(target(&s.message))}
	if err != nil {
		kind := refusal(err)
		attrs = append(attrs, kind)
		s.span.RecordError(err)
		s.span.SetStatus(codes.Error, err.Error())
		s.span.SetAttributes(kind)
	}
	s.sent.AddSet(ctx, 1, attribute.NewSet(attrs...))
	s.operation.RecordSet(ctx, time.Since(s.start).Seconds(), attribute.NewSet(append(attrs, semconv.MessagingOperationTypeSend)...))
	s.span.End()
}
