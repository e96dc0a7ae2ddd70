package e2e

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

// pathLike is how workflow IDs read: what it is, then which.
var pathLike = regexp.MustCompile(`^[a-z]+(/[^/\s]+)+$`)

// TestEverythingSpeaks goes through all that there is in a namespace after every kind of work, and demands that the Web UI has words for each:
// workflows, activities, timers and children.
func TestEverythingSpeaks(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.arrangeSpeech()
	s.startTiger()
	s.starter("probe").code(partly)
	collection := s.beginCollect()
	s.eventually("the wait for eagle", func() bool { return s.workflows("TalonState = 'waiting-for-eagle'") > 0 })
	s.startEagle()
	result := collection.result(partly)
	s.starter("result", result.Run).code(partly)
	for _, question := range [][]string{{"status"}, {"runs"}, {"servers", "a"}, {"files", "--server", "a"}} {
		s.starter(question...)
	}
	s.starter("decompress", s.root+"/zip/a", s.root+"/again", "--wait").code(complete)
	s.starter("schedule", "create", "--every", "1000h").code(complete)
	s.starter("schedule", "trigger").code(complete)
	s.eventually("the scheduled run", func() bool {
		return s.workflows("TalonResult = 2 AND WorkflowType = 'CollectWorkflow'") == 2 && s.workflows("ExecutionStatus = 'Running'") == 0
	})

	s.spoil("zip/a/1.csv")
	s.spoil("unzip/a/p/m.txt")
	s.starter("verify", "--fetch").code(partly)
	s.starter("forget", "--server", "a", "2.csv").code(complete)
	s.starter("clean").code(complete)
	s.eventually("what mends to end", func() bool { return s.workflows("ExecutionStatus = 'Running'") == 0 })

	s.requireRegistered()
	kinds := map[string]int{}
	for _, info := range s.executions("") {
		kinds[info.GetType().GetName()]++
		t.Run(info.GetExecution().GetWorkflowId(), func(t *testing.T) { s.requireSpeech(t, info) })
	}
	for _, kind := range []string{
		"CollectWorkflow", "CollectServerWorkflow", "DecompressWorkflow", "ReportWorkflow", "LookupWorkflow", "ProbeWorkflow", "VerifyWorkflow",
		"FindingsWorkflow", "ForgetWorkflow", "CleanWorkflow",
	} {
		assert.NotZero(t, kinds[kind], "no %s was looked at", kind)
	}
	assert.Greater(t, kinds["CollectServerWorkflow"], 2*len(s.sites), "a server with several pages continues as new")
}

// arrangeSpeech makes servers that lead through every branch of the workflows: several pages, a refused login, no server, a file that needs
// several attempts, one that may still be being written.
func (s *stack) arrangeSpeech() {
	a := s.addSite("a")
	for _, name := range []string{"1.csv", "2.csv", "3.csv"} {
		a.put(name, text(name, 1000))
	}
	a.putZip("p.zip", member("m.txt", text("m", 1000)))
	s.addSite("wrong").configured = "not this one"
	s.addClosedSite("down")
	busy := s.addFake("busy", ftptest.Options{})
	busy.put("x.csv", text("x", 1000))
	busy.fake.On("RETR", ftptest.First(2, ftptest.Say("450 File is in use."), ftptest.Default("RETR")))
	stable := s.addSite("stable")
	stable.settings = ", stable: 1s"
	stable.put("y.csv", text("y", 1000))
	s.configure("collect: {page: 2}")
}

// executions are all that the visibility store finds with a query.
func (s *stack) executions(query string) []*workflow.WorkflowExecutionInfo {
	s.t.Helper()
	request := &workflowservice.ListWorkflowExecutionsRequest{Namespace: s.namespace, Query: query, PageSize: 1000}
	answer, err := s.temporal.ListWorkflow(s.t.Context(), request)
	require.NoError(s.t, err)
	require.Empty(s.t, answer.GetNextPageToken())
	return answer.GetExecutions()
}

// requireRegistered demands that the server knows each search attribute, with the type that Talon sets it with.
func (s *stack) requireRegistered() {
	s.t.Helper()
	known, err := s.temporal.OperatorService().ListSearchAttributes(s.t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: s.namespace})
	require.NoError(s.t, err)
	for name, kind := range devstack.SearchAttributes() {
		assert.Equal(s.t, kind, known.GetCustomAttributes()[name].String(), name)
	}
}

// attributes are the search attributes that the executions of a type have when they have ended.
var attributes = map[string][]string{
	"CollectWorkflow":       {"TalonState", "TalonResult", "TalonFiles", "TalonFailed"},
	"CollectServerWorkflow": {"TalonServer", "TalonRun", "TalonState", "TalonResult", "TalonFiles", "TalonFailed"},
	"DecompressWorkflow":    {"TalonState", "TalonResult", "TalonFiles", "TalonFailed"},
}

// requireSpeech demands all of an execution.
func (s *stack) requireSpeech(t *testing.T, info *workflow.WorkflowExecutionInfo) {
	execution, kind := info.GetExecution(), info.GetType().GetName()
	assert.Regexp(t, pathLike, execution.GetWorkflowId())
	assert.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED, ended(info.GetStatus()))
	answer, err := s.temporal.DescribeWorkflowExecution(t.Context(), execution.GetWorkflowId(), execution.GetRunId())
	require.NoError(t, err)
	if answer.GetWorkflowExecutionInfo().GetFirstRunId() == execution.GetRunId() { // a server gives an execution that continues another no words of its own
		static := answer.GetExecutionConfig().GetUserMetadata()
		assert.NotEmpty(t, words(t, static.GetSummary()), "static summary")
		assert.NotEmpty(t, words(t, static.GetDetails()), "static details")
	}
	memo := info.GetMemo().GetFields()
	assert.True(t, memo["by"] != nil || memo["run"] != nil, "the memo tells neither who started it nor for which run: %v", memo)
	if info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		for _, name := range attributes[kind] {
			assert.Contains(t, info.GetSearchAttributes().GetIndexedFields(), name)
		}
	}
	if _, atWork := attributes[kind]; atWork || kind == "ProbeWorkflow" || kind == "VerifyWorkflow" || kind == "CleanWorkflow" { // what answers a question has nothing more to say
		assert.NotEmpty(t, s.currentDetails(t, execution), "current details")
	}
	events := s.temporal.GetWorkflowHistory(t.Context(), execution.GetWorkflowId(), execution.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		requireSummary(t, event)
	}
}

// ended is the status of a whole chain of executions that continue as new.
func ended(status enums.WorkflowExecutionStatus) enums.WorkflowExecutionStatus {
	if status == enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW {
		return enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}
	return status
}

// metadataQuery is the query that the SDK answers for every workflow.
const metadataQuery = "__temporal_workflow_metadata"

// currentDetails asks the workers, as the Web UI does.
func (s *stack) currentDetails(t *testing.T, execution *commonpb.WorkflowExecution) string {
	answer, err := s.temporal.QueryWorkflow(t.Context(), execution.GetWorkflowId(), execution.GetRunId(), metadataQuery)
	require.NoError(t, err)
	var metadata sdk.WorkflowMetadata
	require.NoError(t, answer.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// requireSummary demands words for an event that the Web UI shows as a step.
func requireSummary(t *testing.T, event *historypb.HistoryEvent) {
	what := event.GetEventType().String()
	switch event.GetEventType() {
	case enums.EVENT_TYPE_TIMER_STARTED:
	case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		what += " " + event.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()
	case enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
		what += " " + event.GetStartChildWorkflowExecutionInitiatedEventAttributes().GetWorkflowId()
		assert.NotEmpty(t, words(t, event.GetUserMetadata().GetDetails()), "details of event %d, %s", event.GetEventId(), what)
	case enums.EVENT_TYPE_MARKER_RECORDED:
		if event.GetMarkerRecordedEventAttributes().GetMarkerName() != "LocalActivity" {
			return
		}
	default:
		return
	}
	assert.NotEmpty(t, words(t, event.GetUserMetadata().GetSummary()), "summary of event %d, %s", event.GetEventId(), what)
}

// words are the text of a summary or details, "" if there is none.
func words(t *testing.T, payload *commonpb.Payload) string {
	if payload == nil {
		return ""
	}
	var text string
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(payload, &text))
	return text
}
