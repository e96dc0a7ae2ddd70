package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
	"talon/workflows"
)

// fakeTemporal is as much of Temporal, with Talon's workers behind it, as the starter uses. What a test does not set up is not there.
type fakeTemporal struct {
	client.Client // what is not written here is not called
	dialled       int
	closed        int

	startError error
	started    []startedRun
	cancelled  []string
	stubborn   error // what becomes of a request to cancel

	mutex     sync.Mutex                       // the fields below are used by the goroutine that waits, too
	ends      map[string]func() (any, error)   // by workflow ID: the result, as soon as there is one
	progress  map[string][]workflows.Progress  // by workflow ID: the answers, the last one again and again
	queried   map[string]int                   // by workflow ID
	waiting   chan struct{}                    // closed when somebody waits for a workflow
	endless   bool                             // workflows do not end
	pages     map[string]activities.ReportPage // by run and cursor
	answers   []workflows.LookupPage           // to lookups, one after the other
	lookups   []workflows.LookupInput          // that were asked
	broken    error                            // what reading a report or a lookup comes to
	status    enumspb.WorkflowExecutionStatus  // of every run; unspecified: Temporal knows none
	schedule  *fakeSchedule
	listed    []*workflowpb.WorkflowExecutionInfo // what a list of workflows shows, whatever the query
	queries   []string                            // that were asked for
	listError error
}

type startedRun struct {
	options client.StartWorkflowOptions
	input   any
}

func newFake() *fakeTemporal {
	return &fakeTemporal{
		ends: map[string]func() (any, error){}, progress: map[string][]workflows.Progress{}, queried: map[string]int{},
		waiting: make(chan struct{}), pages: map[string]activities.ReportPage{}, schedule: &fakeSchedule{},
	}
}

func (f *fakeTemporal) Close() { f.closed++ }

func (f *fakeTemporal) ExecuteWorkflow(ctx context.Context, options client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if page, ok := args[0].(activities.ReportInput); ok {
		return &fakeRun{id: options.ID, get: func(context.Context) (any, error) { return f.page(page) }}, nil
	}
	if in, ok := args[0].(workflows.LookupInput); ok {
		return &fakeRun{id: options.ID, get: func(context.Context) (any, error) { return f.lookUp(in) }}, nil
	}
	if f.startError != nil {
		return nil, f.startError
	}
	f.started = append(f.started, startedRun{options, args[0]})
	return &fakeRun{id: options.ID}, nil
}

func (f *fakeTemporal) page(in activities.ReportInput) (any, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	run := in.Run
	if len(f.started) == 1 && f.started[0].options.ID == run {
		run = "" // the run just started, whatever its name
	}
	if page, ok := f.pages[run+"|"+in.Cursor]; ok {
		return page, nil
	}
	return nil, workflowError(temporal.NewNonRetryableApplicationError(`there is no run "`+in.Run+`" in the catalog`, activities.UnknownRun, nil))
}

// report sets the pages of a run; "" is the one that is started.
func (f *fakeTemporal) report(run string, pages ...activities.ReportPage) {
	cursor := ""
	for i, page := range pages {
		page.Next = ""
		if i+1 < len(pages) {
			page.Next = string(rune('a' + i))
		}
		f.pages[run+"|"+cursor] = page
		cursor = page.Next
	}
}

// lookUp gives the next answer.
func (f *fakeTemporal) lookUp(in workflows.LookupInput) (any, error) {
	f.lookups = append(f.lookups, in)
	if f.broken != nil {
		return nil, f.broken
	}
	answer := f.answers[0]
	f.answers = f.answers[1:]
	return answer, nil
}

// end sets what becomes of a workflow.
func (f *fakeTemporal) end(id string, result any, err error) {
	f.ends[id] = func() (any, error) { return result, err }
}

func (f *fakeTemporal) GetWorkflow(_ context.Context, id, _ string) client.WorkflowRun {
	return &fakeRun{id: id, get: func(ctx context.Context) (any, error) { return f.wait(ctx, id) }}
}

func (f *fakeTemporal) wait(ctx context.Context, id string) (any, error) {
	f.mutex.Lock()
	end, ok := f.ends[f.known(id)]
	if f.endless {
		close(f.waiting)
		f.mutex.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.mutex.Unlock()
	if !ok {
		return nil, serviceerror.NewNotFound("workflow not found for ID: " + id)
	}
	return end()
}

func (f *fakeTemporal) CancelWorkflow(ctx context.Context, id, _ string) error {
	f.cancelled = append(f.cancelled, id)
	return errors.Join(ctx.Err(), f.stubborn)
}

// known is the name that tests use for a workflow: "" for the run that was started, "probe/1", "probe/2", … for the pages of a probe.
func (f *fakeTemporal) known(id string) string {
	if rest, found := strings.CutPrefix(id, workflows.ProbeID("", 1)); found {
		_, page, _ := strings.Cut(rest, "/")
		return "probe/" + cmp.Or(page, "1")
	}
	if len(f.started) == 1 && f.started[0].options.ID == id {
		return ""
	}
	return id
}

// asked counts the questions for a workflow's progress.
func (f *fakeTemporal) asked(id string) int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.queried[id]
}

func (f *fakeTemporal) QueryWorkflow(_ context.Context, id, _, query string, args ...any) (converter.EncodedValue, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	id = f.known(id)
	answers := f.progress[id]
	if len(answers) == 0 || query != workflows.ProgressQuery {
		return nil, serviceerror.NewNotFound("no answer")
	}
	answer := answers[min(f.queried[id], len(answers)-1)]
	f.queried[id]++
	if position := args[0].(int); position >= answer.Position {
		answer.Position, answer.Finished = position, nil // shown already
	}
	return fakeValue{answer}, nil
}

func (f *fakeTemporal) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if f.status == enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED {
		return nil, serviceerror.NewNotFound("workflow not found for ID: " + id)
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: f.status},
	}, nil
}

func (f *fakeTemporal) ListWorkflow(
	_ context.Context, request *workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	f.queries = append(f.queries, request.GetQuery())
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: f.listed}, f.listError
}

func (f *fakeTemporal) ScheduleClient() client.ScheduleClient { return f.schedule }

// workflowError is how a client sees the end of a workflow that brought no result: the SDK makes it of the workflow's own error.
func workflowError(cause error) error {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.ExecuteWorkflow(func(workflow.Context) error { return cause })
	return env.GetWorkflowError()
}

type fakeRun struct {
	client.WorkflowRun
	id  string
	get func(context.Context) (any, error)
}

func (r *fakeRun) GetID() string { return r.id }

func (r *fakeRun) Get(ctx context.Context, into any) error {
	result, err := r.get(ctx)
	if err != nil {
		return err
	}
	return fakeValue{result}.Get(into)
}

// fakeValue travels as JSON, as values do.
type fakeValue struct{ value any }

func (v fakeValue) HasValue() bool { return v.value != nil }

func (v fakeValue) Get(into any) error {
	text, err := json.Marshal(v.value)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// fakeSchedule is the one schedule of an installation, and its own client and handle.
type fakeSchedule struct {
	slow int // so many descriptions take too long
	client.ScheduleClient
	client.ScheduleHandle
	options   *client.ScheduleOptions // nil: there is none
	paused    bool
	note      string
	triggered int
	filled    []client.ScheduleBackfill
	info      client.ScheduleInfo
	broken    error
}

func (s *fakeSchedule) Create(_ context.Context, options client.ScheduleOptions) (client.ScheduleHandle, error) {
	switch {
	case s.broken != nil:
		return nil, s.broken
	case s.options != nil:
		return nil, temporal.ErrScheduleAlreadyRunning
	}
	s.options = &options
	return s, nil
}

func (s *fakeSchedule) GetHandle(_ context.Context, id string) client.ScheduleHandle {
	if s.options != nil && s.options.ID != id {
		panic("BUG: there is only the schedule " + s.options.ID)
	}
	return s
}

func (s *fakeSchedule) missing() error {
	if s.options == nil {
		return serviceerror.NewNotFound("schedule not found")
	}
	return s.broken
}

func (s *fakeSchedule) Describe(context.Context) (*client.ScheduleDescription, error) {
	if err := s.missing(); err != nil {
		return nil, err
	}
	if s.slow > 0 {
		s.slow--
		return nil, serviceerror.NewDeadlineExceeded("context deadline exceeded")
	}
	return &client.ScheduleDescription{Info: s.info, Schedule: client.Schedule{
		Spec: &s.options.Spec, Action: s.options.Action,
		Policy: &client.SchedulePolicies{Overlap: s.options.Overlap, CatchupWindow: s.options.CatchupWindow},
		State:  &client.ScheduleState{Paused: s.paused, Note: s.note},
	}}, nil
}

func (s *fakeSchedule) Update(ctx context.Context, options client.ScheduleUpdateOptions) error {
	description, err := s.Describe(ctx)
	if err != nil {
		return err
	}
	changed, err := options.DoUpdate(client.ScheduleUpdateInput{Description: *description})
	if err != nil {
		return err
	}
	if changed.Schedule.State == nil {
		return errors.New("BUG: the update forgets whether the schedule is paused")
	}
	s.options.Spec, s.options.Action = *changed.Schedule.Spec, changed.Schedule.Action
	s.options.Overlap, s.options.CatchupWindow = changed.Schedule.Policy.Overlap, changed.Schedule.Policy.CatchupWindow
	return nil
}

func (s *fakeSchedule) Pause(_ context.Context, options client.SchedulePauseOptions) error {
	s.paused, s.note = true, options.Note
	return s.missing()
}

func (s *fakeSchedule) Unpause(_ context.Context, options client.ScheduleUnpauseOptions) error {
	s.paused, s.note = false, options.Note
	return s.missing()
}

func (s *fakeSchedule) Trigger(context.Context, client.ScheduleTriggerOptions) error {
	s.triggered++
	return s.missing()
}

func (s *fakeSchedule) Backfill(_ context.Context, options client.ScheduleBackfillOptions) error {
	s.filled = append(s.filled, options.Backfill...)
	return s.missing()
}

func (s *fakeSchedule) Delete(context.Context) error {
	err := s.missing()
	s.options = nil
	return err
}
