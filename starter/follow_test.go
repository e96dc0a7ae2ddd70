package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/internal/catalog"
	"talon/workflows"
)

// finished is a Temporal whose collection ends at once, with this account.
func finished(page activities.ReportPage) *fakeTemporal {
	f := newFake()
	f.end("", workflows.CollectResult{Run: collectRun}, nil)
	f.report("", rows(page)...)
	return f
}

func allWell() activities.ReportPage {
	return codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0), End: at(16, 0)}, []int{activities.Success}, nil)
}

// TestCollectStarts: the run's name is on stdout, and the workflow is started on tiger, under a name of its own, with a limit.
func TestCollectStarts(t *testing.T) {
	f := newFake()
	file := filepath.Join(t.TempDir(), "run")
	config := writeConfig(t, settings)
	got := f.start(t.Context(), "collect", "--config", config, "--server", "branch-001", "--server", "branch-002", "--run-file", file)
	assert.Zero(t, got.code)
	assert.Empty(t, got.stderr)
	require.Len(t, f.started, 1)
	options := f.started[0].options
	assert.Regexp(t, `^collect/\d{8}-\d{6}-[a-z0-9]{4}$`, options.ID)
	assert.Equal(t, options.ID+"\n", got.stdout)
	named, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, options.ID+"\n", string(named))
	assert.Equal(t, "tiger", options.TaskQueue)
	assert.Equal(t, 24*time.Hour, options.WorkflowExecutionTimeout)
	assert.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, options.WorkflowIDConflictPolicy)
	assert.Equal(t, "started by hand: collect branch-001, branch-002", options.StaticSummary)
	assert.Equal(t, workflows.CollectInput{Servers: []string{"branch-001", "branch-002"}}, f.started[0].input)
	assert.Equal(t, 1, f.closed)
}

func TestCollectInputs(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	require.NoError(t, err)
	f := newFake()
	got := f.start(t.Context(), "collect", "-o", "json", "--buffer", "zip")
	assert.Zero(t, got.code)
	assert.JSONEq(t, `{"run": "`+f.started[0].options.ID+`"}`, got.stdout)
	assert.Equal(t, workflows.CollectInput{Buffer: filepath.Join(here, "zip")}, f.started[0].input)
	assert.Equal(t, "started by hand: collect all servers", f.started[0].options.StaticSummary)

	args := []string{"collect"}
	for range 100 {
		args = append(args, "--server", "branch-of-a-long-name")
	}
	f = newFake()
	assert.Zero(t, f.start(t.Context(), args...).code)
	assert.Less(t, len(f.started[0].options.StaticSummary), 300, "a server refuses longer summaries")
}

func TestDecompressStarts(t *testing.T) {
	dir := t.TempDir()
	f := newFake()
	got := f.start(t.Context(), "decompress", dir, filepath.Join(dir, "out"), "--recursive")
	assert.Zero(t, got.code)
	options := f.started[0].options
	assert.Regexp(t, `^decompress/\d{8}-\d{6}-[a-z0-9]{4}$`, options.ID)
	assert.Equal(t, options.ID+"\n", got.stdout)
	assert.Equal(t, "tiger", options.TaskQueue)
	assert.Equal(t, workflows.DecompressInput{ZipDir: dir, UnzipDir: filepath.Join(dir, "out"), Own: true, Recursive: true}, f.started[0].input)
	assert.Contains(t, options.StaticDetails, "in `"+dir+"`, and in its subdirectories")
	assert.Equal(t, whoami(), options.Memo["by"])

	f = newFake()
	long := "/nowhere/" + strings.Repeat("日报/", 100)
	assert.Zero(t, f.start(t.Context(), "decompress", "--remote", long, "/out").code, "tiger checks it")
	assert.Equal(t, filepath.Clean(long), f.started[0].input.(workflows.DecompressInput).ZipDir)
	assert.Less(t, len(f.started[0].options.StaticSummary), 300, "a server refuses longer summaries")
}

func TestStartRefused(t *testing.T) {
	f := newFake()
	f.startError = errors.New("namespace branches is not found")
	f.start(t.Context(), "collect", "--wait").unusable(t, "start the collection: namespace branches is not found")
	f.start(t.Context(), "decompress", t.TempDir(), "out").unusable(t, "start the decompression: namespace")
}

// TestRunFileUnwritable: the run has been started all the same, and its name is told.
func TestRunFileUnwritable(t *testing.T) {
	f := newFake()
	got := f.start(t.Context(), "collect", "--run-file", filepath.Join(t.TempDir(), "no", "file"))
	got.unusable(t, "the run "+f.started[0].options.ID+" was started")
}

// TestExitCodes: the exit code of --wait is the result, and JSON is all that stdout carries.
func TestExitCodes(t *testing.T) {
	for want, servers := range map[int][]int{
		activities.Success: {activities.Success},
		activities.Failed:  {activities.Failed},
		activities.Partial: {activities.Success, activities.Failed},
	} {
		f := finished(codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0), End: at(16, 0)}, servers, nil))
		f.progress[""] = []workflows.Progress{{State: workflows.StateDone, Finished: []workflows.Brief{goodServer}, Position: 1}}
		before := time.Now()
		got := f.start(t.Context(), "collect", "--wait", "-o", "json")
		assert.Equal(t, want, got.code)
		assert.Equal(t, "branch-001: complete, 2 files, 2.0 KiB\n", got.stderr)
		var result runResult
		decoder := json.NewDecoder(strings.NewReader(got.stdout))
		require.NoError(t, decoder.Decode(&result))
		assert.False(t, decoder.More())
		assert.Equal(t, want, result.Result)
		assert.False(t, result.StartTime.Before(before.Truncate(0)) || result.EndTime.Before(result.StartTime), "the call's own times")
	}
}

// TestEveryServerIsShown: the last answers come after the end, and hold only so many servers each.
func TestEveryServerIsShown(t *testing.T) {
	f := finished(allWell())
	f.progress[""] = []workflows.Progress{
		{Finished: []workflows.Brief{{Server: "a"}, {Server: "b"}}, Position: 2},
		{Finished: []workflows.Brief{{Server: "c"}}, Position: 3},
		{State: workflows.StateDone, Position: 3},
	}
	got := f.start(t.Context(), "collect", "--wait")
	assert.Zero(t, got.code)
	assert.Equal(t, "a: complete, 0 files, 0 B\nb: complete, 0 files, 0 B\nc: complete, 0 files, 0 B\n", got.stderr)
	assert.Contains(t, got.stdout, "│ Server ")
	assert.Contains(t, got.stdout, "\nRun "+collectRun+": complete, ")
}

// TestProgressWhileItRuns: progress is asked for until the end, and a question without an answer does no harm.
func TestProgressWhileItRuns(t *testing.T) {
	f := finished(allWell())
	f.progress[""] = []workflows.Progress{{Finished: []workflows.Brief{goodServer}, Position: 1}}
	f.ends[""] = func() (any, error) {
		for f.asked("") < 2 {
			time.Sleep(time.Millisecond)
		}
		return workflows.CollectResult{Run: collectRun}, nil
	}
	got := f.start(t.Context(), "collect", "--wait")
	assert.Zero(t, got.code)
	assert.Equal(t, "branch-001: complete, 2 files, 2.0 KiB\n", got.stderr, "once, however often it was asked for")
}

// TestDecompressionsAreWaitedFor: those of the run itself, and those of the shards of a long list.
func TestDecompressionsAreWaitedFor(t *testing.T) {
	f := finished(allWell())
	f.end("", workflows.CollectResult{
		Run: collectRun, Shards: []string{collectRun + "/1"}, Decompressions: []workflows.Decompressions{{Server: "a", Count: 2, Archives: 5}},
	}, nil)
	f.end(collectRun+"/1", workflows.CollectResult{Decompressions: []workflows.Decompressions{{Server: "b", Count: 1, Archives: 1}}}, nil)
	for id, total := range map[string]int{"a": 3, "a/2": 2, "b": 1} {
		id = "decompress/" + strings.TrimPrefix(collectRun, "collect/") + "/" + id
		f.end(id, workflows.DecompressResult{Total: total}, nil)
		f.progress[id] = []workflows.Progress{{State: workflows.StateDone, Done: total, Total: total}}
	}
	got := f.start(t.Context(), "collect", "--wait")
	assert.Zero(t, got.code)
	assert.Equal(t, "archives: extracting, 3 of 6 finished\narchives: done, 6 of 6 finished\n", got.stderr)
	for id, asked := range f.queried {
		assert.Equal(t, 1, asked, id)
	}
	assert.Len(t, f.queried, 3)
}

// TestBrokenDecompression: it does not take the account of the rest away.
func TestBrokenDecompression(t *testing.T) {
	f := finished(allWell())
	f.end("", workflows.CollectResult{Run: collectRun, Decompressions: []workflows.Decompressions{{Server: "a", Count: 1, Archives: 1}}}, nil)
	id := workflows.DecompressID(collectRun, "a", 1)
	f.end(id, nil, workflowError(errors.New("seal: catalog is gone")))
	got := f.start(t.Context(), "collect", "--wait")
	assert.Zero(t, got.code)
	assert.Equal(t, id+" could not run: seal: catalog is gone\n", got.stderr)
	assert.Contains(t, got.stdout, "│ Server ")
}

// TestOwnDecompression is followed and printed as what it is.
func TestOwnDecompression(t *testing.T) {
	dir := t.TempDir()
	f := newFake()
	f.end("", workflows.DecompressResult{Total: 1}, nil)
	f.report("", rows(decompressed())...)
	f.progress[""] = []workflows.Progress{{State: workflows.StateDone, Done: 1, Total: 1}}
	got := f.start(t.Context(), "decompress", dir, dir, "--wait", "-o", "json")
	assert.Zero(t, got.code)
	assert.Equal(t, "archives: done, 1 of 1 finished\n", got.stderr)
	var result decompressResult
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &result))
	assert.Equal(t, ownRun, result.Run)
	assert.Equal(t, map[string]layerResult{"file1.zip": {Archives: 1, Files: 11}, "file1.zip/inner.tar.gz": {Files: 1}}, result.Archives["file1.zip"].Layers)
}

// TestCouldNotRun: a run that refused its input has no result; its own words say why.
func TestCouldNotRun(t *testing.T) {
	f := newFake()
	f.end("", nil, workflowError(temporal.NewNonRetryableApplicationError(`there is no server "brnch" in talon.yaml: did you mean branch?`, activities.UnknownServer, nil)))
	got := f.start(t.Context(), "collect", "--wait", "-o", "json", "--server", "brnch")
	got.unusable(t, f.started[0].options.ID+" could not run: there is no server \"brnch\" in talon.yaml: did you mean branch?\n")
	assert.NotContains(t, got.stderr, "workflow execution error")
}

// TestEndedEarly: what a run did until it was cancelled, terminated or timed out is its result.
func TestEndedEarly(t *testing.T) {
	for name, test := range map[string]struct {
		end    error
		status enumspb.WorkflowExecutionStatus
		row    catalog.RunRow
		reason string
	}{
		"cancelled": {
			workflowError(temporal.NewCanceledError()), enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
			catalog.RunRow{Result: activities.Partial, Reason: "cancelled", End: at(16, 0)},
			"cancelled",
		},
		"cancelled, no account": {
			workflowError(temporal.NewCanceledError()), enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, catalog.RunRow{}, "cancelled",
		},
		"terminated": {workflowError(&temporal.TerminatedError{}), enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, catalog.RunRow{}, "unfinished"},
		"timed out": {
			workflowError(temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)), enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
			catalog.RunRow{},
			"timeout",
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.row.ID, test.row.Kind, test.row.Start = collectRun, catalog.KindCollect, at(15, 0)
			f := newFake()
			f.end("", nil, test.end)
			f.status = test.status
			f.report("", codes(test.row, []int{activities.Success, activities.Failed}, nil))
			got := f.start(t.Context(), "collect", "--wait")
			assert.Equal(t, activities.Partial, got.code)
			assert.Contains(t, got.stdout, "Run "+collectRun+": PARTLY ("+test.reason+")")
		})
	}
}

// TestLostSight: when Temporal goes away meanwhile, nobody claims that the run failed.
func TestLostSight(t *testing.T) {
	f := newFake()
	f.end("", nil, errors.New("connection reset"))
	f.start(t.Context(), "collect", "--wait").unusable(t, "lost sight of collect/", "connection reset", "starter result")
}

// TestInterrupted: Ctrl-C ends the program, not the run, and the program says so.
func TestInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	f := newFake()
	f.endless = true
	go func() {
		<-f.waiting
		interrupt()
	}()
	got := f.start(ctx, "collect", "--wait", "-o", "json")
	run := f.started[0].options.ID
	got.unusable(t, "interrupted; the run "+run+" goes on: starter result "+run+" shows its result")
}

// TestInterruptedWhilePrinting: the same while the result is fetched.
func TestInterruptedWhilePrinting(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	f := newFake()
	f.ends[""] = func() (any, error) {
		interrupt()
		return workflows.CollectResult{Run: collectRun}, nil
	}
	f.start(ctx, "collect", "--wait").unusable(t, "interrupted; the run collect/")
}

// onWrite calls itself before each write.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) { f(); return len(p), nil }

// TestInterruptedTooLate: when the result is out, it is the exit code.
func TestInterruptedTooLate(t *testing.T) {
	for _, code := range []int{activities.Success, activities.Failed} {
		ctx, interrupt := context.WithCancel(t.Context())
		f := finished(codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0), End: at(16, 0)}, []int{code}, nil))
		a := &app{stdout: onWrite(interrupt), stderr: io.Discard, dial: func(context.Context) (client.Client, error) { return f, nil }}
		assert.Equal(t, code, a.execute(ctx, []string{"collect", "--wait", "-o", "json"}))
		assert.Error(t, ctx.Err())
	}
}
