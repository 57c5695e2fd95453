package otel

import (
	"context"
	"errors"
	"sync"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/everhop/everhop/consumer"
)

// batch is the calls that the next Commit makes last.
type batch struct {
	mu    sync.Mutex
	calls []trace.Link
	more  int // that are not linked
}

// mostLinks is as many as OpenTelemetry keeps by default.
const mostLinks = 128

func (b *batch) add(call trace.SpanContext) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.calls) < mostLinks {
		b.calls = append(b.calls, trace.Link{SpanContext: call})
	} else {
		b.more++
	}
}

func (b *batch) take() (calls []trace.Link, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls, n = b.calls, len(b.calls)+b.more
	b.calls, b.more = nil, 0
	return calls, n
}

// putBack is for a Commit that failed: they are the next one's.
func (b *batch) putBack(calls []trace.Link, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n += len(b.calls) + b.more
	b.calls = append(calls, b.calls...)
	b.calls = b.calls[:min(len(b.calls), mostLinks)]
	b.more = n - len(b.calls)
}

// commit calls Commit, within a span if one of the calls was sampled.
func (w *watch) commit(ctx context.Context, next func(context.Context) error) error {
	calls, n := w.batch.take()
	if n == 0 {
		return next(ctx)
	}
	spanName := "commit"
	if w.queue != "" {
		spanName += " " + w.queue
	}
	ctx, span := w.tracer.Start(ctx, spanName, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(calls...),
		trace.WithAttributes(
			semconv.MessagingSystemRabbitMQ,
			semconv.MessagingOperationTypeProcess,
			semconv.MessagingOperationName("commit"),
			w.destination(),
			semconv.MessagingBatchMessageCount(n),
		))
	returned := false
	var err error
	defer func() {
		if err != nil || !returned {
			w.batch.putBack(calls, n)
		}
		if errors.Is(err, consumer.CommitLater) {
			span.SetAttributes(outcome.String("commit_later"))
			err = nil // for the span
		}
		w.conclude(span, err, returned)
		span.End()
	}()
	e := next(ctx)
	err, returned = e, true
	return e
}
