package tracing

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWanted: traces are off unless the environment names where they go.
func TestWanted(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"nothing":    {nil, false},
		"endpoint":   {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		"of traces":  {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true},
		"disabled":   {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false},
		"no traces":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, false},
		"of metrics": {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			assert.Equal(t, test.want, Wanted())
			traces, stop, err := Start(t.Context(), "test", slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			stop()
			assert.Equal(t, test.want, traces != nil)
		})
	}
}

// TestACollectorThatIsAway: work goes on as without, the log says so once, and the end does not wait for long.
func TestACollectorThatIsAway(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	var log bytes.Buffer
	traces, stop, err := Start(t.Context(), "test", slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	for range 3 {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestWorkflowEnvironment()
		env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{traces}})
		env.ExecuteWorkflow(func(workflow.Context) error { return nil })
		require.NoError(t, env.GetWorkflowError())
	}
	stop()
	assert.LessOrEqual(t, bytes.Count(log.Bytes(), []byte("traces cannot be sent")), 1, log.String())
	assert.Contains(t, log.String(), "traces cannot be sent")
}

// TestOtherProtocols are refused: spans sent to the wrong port would vanish.
func TestOtherProtocols(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	_, _, err := Start(t.Context(), "test", slog.New(slog.DiscardHandler))
	assert.ErrorContains(t, err, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
}
