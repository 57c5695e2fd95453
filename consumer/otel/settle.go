package otel

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/everhop/everhop/consumer"
)

// delivered tells one delivery from all others.
type delivered struct {
	generation, tag uint64
	receivedAt      time.Time
}

func keyOf(d *consumer.Delivery) delivered {
	return delivered{d.Generation, d.DeliveryTag, d.ReceivedAt}
}

// processed is a handler's call whose outcome the broker has not been told yet.
type processed struct {
	span  trace.SpanContext
	ended time.Time
}

// settlements are those of sampled spans that are still to come.
type settlements struct {
	mu    sync.Mutex
	open  map[delivered]processed
	sweep int // when there are so many, what will never be told of is taken out
}

const (
	// fewest is how many there may be before anything is taken out.
	fewest = 1024
	// longest is more than what an outcome usually takes: what is put back waits for three quarters of RabbitMQ's 30 minutes.
	longest = time.Hour
)

func (s *settlements) add(key delivered, p processed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= max(s.sweep, fewest) {
		for other, of := range s.open { // what went back with its connection, or its channel
			if other.generation < key.generation || p.ended.Sub(of.ended) > longest {
				delete(s.open, other)
			}
		}
		s.sweep = 2 * len(s.open)
	}
	s.open[key] = p
}

func (s *settlements) take(key delivered) (p processed, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok = s.open[key]
	delete(s.open, key)
	return p, ok
}

// settled makes a span for each delivery, from its handler's return until now.
func (w *watch) settled(settled []consumer.Settlement) {
	for i := range settled {
		s := &settled[i]
		if p, ok := w.settlements.take(delivered{s.Generation, s.DeliveryTag, s.ReceivedAt}); ok {
			w.settle(s, p)
		}
	}
}

func (w *watch) settle(s *consumer.Settlement, p processed) {
	name := s.By
	if s.Err != nil {
		name = "settle"
	}
	spanName := name
	if w.queue != "" {
		spanName += " " + w.queue
	}
	ctx := trace.ContextWithSpanContext(context.Background(), p.span)
	_, span := w.tracer.Start(ctx, spanName, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(p.ended),
		trace.WithAttributes(
			semconv.MessagingSystemRabbitMQ,
			semconv.MessagingOperationTypeSettle,
			semconv.MessagingOperationName(name),
			w.destination(),
			semconv.MessagingRabbitMQMessageDeliveryTag(int(s.DeliveryTag)),
		))
	if s.MessageID != "" {
		span.SetAttributes(semconv.MessagingMessageID(s.MessageID))
	}
	if s.Err != nil {
		span.SetStatus(codes.Error, "not sent, since its channel was gone: "+s.Err.Error())
		span.SetAttributes(semconv.ErrorTypeKey.String("stale"))
	}
	span.End()
}
