// Package tracing sends OpenTelemetry traces of runs to a collector, if the environment names one.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
)

// flushLimit is how long the end of a program waits for a collector that does not answer.
const flushLimit = 2 * time.Second

// Wanted tells whether the environment asks for traces, by the variables of the OpenTelemetry specification.
func Wanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Start returns the interceptor that traces calls to Temporal and, in a worker, workflows and activities: nil unless Wanted. service is what the
// spans belong to where OTEL_SERVICE_NAME does not say. Spans are sent over OTLP/HTTP in the background; what cannot be sent is dropped, and log
// hears of the first time. stop sends what is left, within two seconds.
func Start(ctx context.Context, service string, log *slog.Logger) (traces interceptor.Interceptor, stop func(), err error) {
	stop = func() {}
	if !Wanted() {
		return nil, stop, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if protocol := os.Getenv(name); protocol != "" && protocol != "http/protobuf" {
			return nil, stop, fmt.Errorf("%s=%s: traces are sent as http/protobuf only: unset it, and name the collector's port for that (4318)", name, protocol)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, stop, fmt.Errorf("traces: %w", err)
	}
	if name := os.Getenv("OTEL_SERVICE_NAME"); name != "" {
		service = name
	}
	described := resource.NewSchemaless(attribute.String("service.name", service))
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described))
	complainOnce(log)
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
		defer cancel()
		_ = provider.Shutdown(ctx) // what is lost is a trace
	}
	traces, err = opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{Tracer: provider.Tracer("talon"), AllowInvalidParentSpans: true})
	if err != nil {
		stop()
		return nil, func() {}, fmt.Errorf("traces: %w", err)
	}
	return traces, stop, nil
}

// complainOnce logs the first failure of an exporter: a collector that is down would fill the log.
func complainOnce(log *slog.Logger) {
	var said atomic.Bool
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if said.CompareAndSwap(false, true) {
			log.Warn("traces cannot be sent; they are dropped until that is over", "error", err)
		}
	}))
}
