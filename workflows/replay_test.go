package workflows_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"talon/workflows"
)

// Every workflow type must have a recorded history of each of its scenarios. See testdata/README.md.
var (
	ofARun   = []string{"CollectWorkflow", "CollectServerWorkflow", "DecompressWorkflow"}
	replayed = map[string][]string{
		"all-good": ofARun, "partial-failure": ofARun, "retried-activity": ofARun, "cancelled": ofARun, "continued-as-new": ofARun,
		"eagle-absent-then-back": ofARun, "gateway-away-then-back": ofARun, "probed": {"ProbeWorkflow"},
		"ordered": ofARun, "repaired": {"VerifyWorkflow", "FindingsWorkflow", "ForgetWorkflow", "CleanWorkflow"}, "asked": {"LookupWorkflow", "ReportWorkflow"}, "stable-files": {"CollectWorkflow", "CollectServerWorkflow"},
	}
)

const historiesDir = "testdata/histories"

// recordedRun is one recorded history and the IDs that it had.
type recordedRun struct {
	history   *historypb.History
	execution workflow.Execution
}

// recordedFiles lists the histories of a scenario, without their .json.
func recordedFiles(t *testing.T, scenario string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(historiesDir, scenario, "*.id.json"))
	require.NoError(t, err)
	for i, file := range files {
		files[i] = strings.TrimSuffix(file, ".id.json")
	}
	return files
}

func readRun(t *testing.T, file string) recordedRun {
	t.Helper()
	content, err := os.ReadFile(file + ".json")
	require.NoError(t, err)
	history, err := client.HistoryFromJSON(bytes.NewReader(content), client.HistoryJSONOptions{})
	require.NoError(t, err)
	var ids struct {
		WorkflowID string `json:"workflow_id"`
		RunID      string `json:"run_id"`
	}
	content, err = os.ReadFile(file + ".id.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &ids))
	require.NotEmpty(t, ids.WorkflowID)
	require.NotEmpty(t, ids.RunID)
	return recordedRun{history: history, execution: workflow.Execution{ID: ids.WorkflowID, RunID: ids.RunID}}
}

// replay runs the workflow code of this tree against the history. The IDs matter: those of children are made of them.
func (r recordedRun) replay(t *testing.T) error {
	t.Helper()
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{})
	require.NoError(t, err)
	workflows.Register(replayer)
	return replayer.ReplayWorkflowHistoryWithOptions(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), r.history,
		worker.ReplayWorkflowHistoryOptions{OriginalExecution: r.execution})
}

// TestReplay replays every recorded history: a change of workflow code that would break runs in flight fails here.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(historiesDir, "*", "*.id.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		file = strings.TrimSuffix(file, ".id.json")
		name, err := filepath.Rel(historiesDir, file)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) { require.NoError(t, readRun(t, file).replay(t)) })
	}
}

func TestEveryScenarioOfEveryTypeIsRecorded(t *testing.T) {
	for scenario, kinds := range replayed {
		recorded := map[string]bool{}
		for _, file := range recordedFiles(t, scenario) {
			events := readRun(t, file).history.GetEvents()
			require.NotEmpty(t, events, file)
			recorded[events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName()] = true
		}
		for _, kind := range kinds {
			assert.True(t, recorded[kind], "there is no history of %s in scenario %s", kind, scenario)
		}
	}
}

// TestReplayBites changes histories the way an incompatible change of code would: the replay has to notice.
func TestReplayBites(t *testing.T) {
	for name, change := range map[string]struct {
		file  string
		event enumspb.EventType
		make  func(*historypb.HistoryEvent)
		want  string
	}{
		"another child ID": {
			"all-good/CollectWorkflow-1", enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
			func(e *historypb.HistoryEvent) {
				e.GetStartChildWorkflowExecutionInitiatedEventAttributes().WorkflowId = "server/another"
			}, "nondeterministic",
		},
		"another child type": {
			"all-good/CollectServerWorkflow-1", enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
			func(e *historypb.HistoryEvent) {
				e.GetStartChildWorkflowExecutionInitiatedEventAttributes().WorkflowType.Name = "UnpackWorkflow"
			}, "nondeterministic",
		},
		"another activity type": {
			"all-good/DecompressWorkflow-1", enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
			func(e *historypb.HistoryEvent) {
				e.GetActivityTaskScheduledEventAttributes().ActivityType.Name = "UnpackArchives"
			}, "nondeterministic",
		},
		"another end": {
			"continued-as-new/CollectServerWorkflow-1", enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
			func(e *historypb.HistoryEvent) {
				e.EventType = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
				e.Attributes = &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
					WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{},
				}
			}, "doesn't return the same result",
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := readRun(t, filepath.Join(historiesDir, change.file))
			require.NoError(t, run.replay(t), "the history is good as it was recorded")
			run = readRun(t, filepath.Join(historiesDir, change.file))
			found := false
			for _, event := range run.history.GetEvents() {
				if event.GetEventType() == change.event && !found {
					change.make(event)
					found = true
				}
			}
			require.True(t, found, "no event to change")
			require.ErrorContains(t, run.replay(t), change.want)
		})
	}
}
