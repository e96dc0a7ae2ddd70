package main

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/internal/catalog"
)

// TestResult: the whole account in every format, by the run's name or the key alone.
func TestResult(t *testing.T) {
	f := newFake()
	f.report(collectRun, rows(collected())...)
	want := foldPages(collected())
	for _, name := range []string{collectRun, "20261123-051500-ab12"} {
		for _, output := range []string{outputTable, outputJSON, outputCSV} {
			got := f.start(t.Context(), "result", name, "-o", output)
			assert.Equal(t, activities.Partial, got.code)
			assert.Equal(t, printed(t, want, output), got.stdout)
			assert.Empty(t, got.stderr)
		}
	}
	assert.Empty(t, f.started, "nothing but reports")

	f.report(ownRun, decompressed())
	got := f.start(t.Context(), "result", ownRun, "-o", "json")
	assert.Zero(t, got.code)
	assert.Equal(t, printed(t, foldPages(decompressed()), outputJSON), got.stdout)
}

func TestUnknownRun(t *testing.T) {
	newFake().start(t.Context(), "result", "yesterday", "-o", "json").
		unusable(t, `there is no run "collect/yesterday" in the catalog`, "as the Web UI shows it")

	f := newFake()
	f.status = enumspb.WORKFLOW_EXECUTION_STATUS_FAILED
	f.end("collect/typo", nil, workflowError(temporal.NewNonRetryableApplicationError(`there is no server "brnch"`, activities.UnknownServer, nil)))
	f.start(t.Context(), "result", "typo").unusable(t, `collect/typo could not run: there is no server "brnch"`)
	f.status = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	f.start(t.Context(), "result", "typo").unusable(t, "collect/typo has not begun yet")
}

func TestReportUnreadable(t *testing.T) {
	for _, test := range []struct {
		broken error
		words  string
	}{
		{workflowError(temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)), "no tiger worker answered within 2m0s"},
		{workflowError(temporal.NewApplicationError("the catalog is locked", "")), "read the report of collect/x: the catalog is locked\n"},
		{errors.New("connection reset"), "read the report of collect/x: connection reset"},
	} {
		f := newFake()
		f.broken = test.broken
		f.start(t.Context(), "result", "x").unusable(t, test.words)
	}
}

// TestOpenRun: a run without an end in the catalog goes on, or has ended without a word; Temporal knows.
func TestOpenRun(t *testing.T) {
	for status, want := range map[enumspb.WorkflowExecutionStatus]struct {
		result int
		reason string
	}{
		enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:     {activities.Partial, "running"},
		enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:   {activities.Partial, "running"},
		enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:    {activities.Failed, "cancelled"},
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:  {activities.Failed, "unfinished"},
		enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:      {activities.Failed, "unfinished"},
		enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:   {activities.Failed, "timeout"},
		enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED: {activities.Failed, "unfinished"}, // Temporal has forgotten it
	} {
		f := newFake()
		f.status = status
		f.report(collectRun, activities.ReportPage{Run: &catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0)}})
		got := f.start(t.Context(), "result", collectRun, "-o", "json")
		assert.Equal(t, want.result, got.code, status)
		var result runResult
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &result))
		assert.Equal(t, want.reason, result.Reason, status)
		assert.Zero(t, result.EndTime, status)
	}
}
