package otel

import (
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/everhop/everhop/broker"
)

// Config says where spans and metrics go. Its zero value takes what is set globally.
type Config struct {
	// TracerProvider defaults to otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// MeterProvider defaults to otel.GetMeterProvider().
	MeterProvider metric.MeterProvider
	// Propagator carries a context in headers. Defaults to otel.GetTextMapPropagator().
	Propagator propagation.TextMapPropagator
}

// Telemetry makes spans and metrics. Its methods may be called from any goroutine.
type Telemetry struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator

	consumed  messagingconv.ClientConsumedMessages
	processed messagingconv.ProcessDuration
	sent      messagingconv.ClientSentMessages
	operation messagingconv.ClientOperationDuration
}

// New returns an error if the MeterProvider has one for an instrument.
func New(config Config) (*Telemetry, error) {
	if config.TracerProvider == nil {
		config.TracerProvider = otel.GetTracerProvider()
	}
	if config.MeterProvider == nil {
		config.MeterProvider = otel.GetMeterProvider()
	}
	if config.Propagator == nil {
		config.Propagator = otel.GetTextMapPropagator()
	}
	const scope = "github.com/everhop/everhop/consumer/otel"
	t := &Telemetry{
		tracer: config.TracerProvider.Tracer(scope,
			trace.WithInstrumentationVersion(broker.Version()), trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: config.Propagator,
	}
	meter := config.MeterProvider.Meter(scope,
		metric.WithInstrumentationVersion(broker.Version()), metric.WithSchemaURL(semconv.SchemaURL))
	var problems [4]error
	t.consumed, problems[0] = messagingconv.NewClientConsumedMessages(meter)
	t.processed, problems[1] = messagingconv.NewProcessDuration(meter, metric.WithExplicitBucketBoundaries(bounds...))
	t.sent, problems[2] = messagingconv.NewClientSentMessages(meter)
	t.operation, problems[3] = messagingconv.NewClientOperationDuration(meter, metric.WithExplicitBucketBoundaries(bounds...))
	return t, errors.Join(problems[:]...)
}

// bounds are those that the conventions recommend, in seconds.
var bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
