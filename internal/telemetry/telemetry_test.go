package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// scrape returns the lines of a scrape that are about one metric.
func scrape(t *testing.T, m *Metrics, name string) (lines []string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, recorder.Code, recorder.Body)
	for line := range strings.Lines(recorder.Body.String()) {
		if strings.HasPrefix(line, name) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func newMetrics(t *testing.T) *Metrics {
	t.Helper()
	m, err := New("v1")
	require.NoError(t, err)
	return m
}

// TestWatch: a source is asked when somebody scrapes, not more often than it wants; what it does not know is absent, and that is counted.
func TestWatch(t *testing.T) {
	m := newMetrics(t)
	asked := 0
	m.Watch("slow", time.Hour, func(_ context.Context, emit Emit) error {
		asked++
		emit(ConfigServers, 3)
		return errors.New("the rest is not known")
	})
	assert.Zero(t, asked)
	for range 3 {
		assert.Equal(t, []string{"talon_config_servers 3"}, scrape(t, m, "talon_config_servers"))
	}
	assert.Equal(t, 1, asked)
	assert.Contains(t, scrape(t, m, "talon_lookup_errors_total"), `talon_lookup_errors_total{source="slow"} 1`)
	assert.Empty(t, scrape(t, m, "talon_queue_pollers"))

	m.Watch("fast", 0, func(_ context.Context, emit Emit) error {
		asked++
		if asked%2 == 0 {
			emit(RunLastEnd, 7)
		}
		return nil
	})
	assert.Len(t, scrape(t, m, "talon_run_last_end"), 1)
	assert.Empty(t, scrape(t, m, "talon_run_last_end"), "what is not known any more is not repeated")
}

// TestWatchHangs: a source that does not keep to its time, as a broken disk, holds up neither the scrape nor the next ones, and is not asked again
// before it has answered. What it says too late nobody hears.
func TestWatchHangs(t *testing.T) {
	m := newMetrics(t)
	m.lookupLimit = time.Millisecond
	var asked atomic.Int32
	release, ended := make(chan struct{}), make(chan struct{})
	m.Watch("stuck", 0, func(_ context.Context, emit Emit) error {
		if asked.Add(1) > 1 {
			emit(ConfigServers, 2)
			return nil
		}
		defer close(ended)
		emit(RunLastEnd, 1)
		<-release
		emit(ConfigServers, 1)
		return nil
	})
	for range 2 {
		assert.Empty(t, scrape(t, m, "talon_config_servers"))
	}
	assert.EqualValues(t, 1, asked.Load())
	assert.NotContains(t, scrape(t, m, "talon_lookup_errors_total"), `talon_lookup_errors_total{source="stuck"} 0`)
	assert.Empty(t, scrape(t, m, "talon_run_last_end"))

	close(release)
	<-ended
	m.lookupLimit = time.Minute
	require.Eventually(t, func() bool { return len(scrape(t, m, "talon_config_servers")) > 0 }, time.Minute, time.Millisecond)
	assert.Equal(t, []string{"talon_config_servers 2"}, scrape(t, m, "talon_config_servers"))
}

// TestMeter: what the tests of whole runs do not bring about.
func TestMeter(t *testing.T) {
	m := newMetrics(t)
	assert.Equal(t, []string{`talon_build_info{version="v1"} 1`}, scrape(t, m, "talon_build_info"))
	assert.Equal(t, []string{"talon_extraction_crashes_total 0"}, scrape(t, m, "talon_extraction_crashes_total"), "there before the first, so that it is seen")
	m.Layer("")
	m.Layer("crashed")
	m.Layer("timeout")
	m.Layer("limit_ratio")
	assert.Equal(t, []string{"talon_extraction_crashes_total 1"}, scrape(t, m, "talon_extraction_crashes_total"))
	assert.Equal(t, []string{`talon_extraction_limits_total{limit="limit_ratio"} 1`, `talon_extraction_limits_total{limit="timeout"} 1`},
		scrape(t, m, "talon_extraction_limits_total"))
	m.Took(activities.StepSeal, 3*time.Second, nil)
	m.Took(activities.StepSeal, time.Second, errors.New("no"))
	assert.Contains(t, scrape(t, m, "talon_step"), `talon_step_duration_seconds_sum{outcome="ok",step="seal"} 3`)
	assert.Contains(t, scrape(t, m, "talon_step"), `talon_step_duration_seconds_sum{outcome="failed",step="seal"} 1`)
	m.SDK().WithTags(map[string]string{"operation": "x"}).Timer("temporal_request_latency").Record(20 * time.Millisecond)
	assert.Contains(t, scrape(t, m, "temporal_request_latency"), `temporal_request_latency_seconds_bucket{operation="x",le="0.025"} 1`)
}

// TestNoStepBack: a count that is wrong costs a count, not the activity that tells it.
func TestNoStepBack(t *testing.T) {
	m := newMetrics(t)
	m.Server(activities.ServerResult{Server: "a"}, []activities.Outcome{{State: "refused", Reason: "no_size", Files: 1, Bytes: -1}})
	assert.Contains(t, scrape(t, m, "talon_bytes_total"), `talon_bytes_total{outcome="refused",reason="no_size",server="a"} 0`)
}

// TestLabelsAreFew: an eagle that makes up reasons fills neither tiger's memory nor Prometheus.
func TestLabelsAreFew(t *testing.T) {
	m := newMetrics(t)
	m.Archive("a", activities.Failed, "corrupt", 0, 0)
	for i := range 2 * maxCodes {
		m.Archive("a", 100+i, fmt.Sprint("reason_", i), 0, 0)
	}
	m.Archive("a", activities.Partial, "What? \xff "+strings.Repeat("x", 1000), 0, 0)
	lines := scrape(t, m, "talon_archives_total")
	assert.Len(t, lines, maxCodes+2)
	assert.Contains(t, lines, `talon_archives_total{reason="corrupt",result="1",server="a"} 1`)
	assert.Contains(t, lines, fmt.Sprintf(`talon_archives_total{reason="other",result="1",server="a"} %d`, maxCodes+1))
	assert.Contains(t, lines, `talon_archives_total{reason="other",result="2",server="a"} 1`)
}

// TestLogFields: the lines of workflows and activities say what they are about, each once.
func TestLogFields(t *testing.T) {
	var written bytes.Buffer
	fields := NewLogFields()
	logger := slog.New(fields.Handler(slog.NewTextHandler(&written, nil)))
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(logger))
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{fields}})
	temporalRun := ""
	fetch := func(ctx context.Context, _ activities.DownloadInput) error {
		temporalRun = activity.GetInfo(ctx).WorkflowExecution.RunID
		activity.GetLogger(ctx).Info("fetching")
		return nil
	}
	env.RegisterActivity(fetch)
	env.ExecuteWorkflow(func(ctx workflow.Context, in activities.ListInput) error {
		workflow.GetLogger(ctx).Info("listing")
		in2 := activities.DownloadInput{Run: in.Run, Server: in.Server, FileRef: activities.FileRef{Name: "a.zip"}}
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute}), fetch, in2).Get(ctx, nil)
	}, activities.ListInput{Run: "collect/x", Server: "b1"})
	require.NoError(t, env.GetWorkflowError())
	logger.Info("of the SDK", "RunID", temporalRun)
	logger.Info("of others", "RunID", "unknown")
	for line := range strings.Lines(written.String()) {
		switch {
		case strings.Contains(line, "msg=listing"), strings.Contains(line, `msg="of the SDK"`):
			assert.Contains(t, line, "run=collect/x server=b1")
		case strings.Contains(line, "msg=fetching"):
			assert.Contains(t, line, "run=collect/x server=b1 file=a.zip")
		case strings.Contains(line, `msg="of others"`):
			assert.NotContains(t, line, "run=")
		}
		assert.LessOrEqual(t, strings.Count(line, " run="), 1, line)
	}
	for _, message := range []string{"msg=listing", "msg=fetching", `msg="of the SDK"`} {
		assert.Contains(t, written.String(), message)
	}
}
