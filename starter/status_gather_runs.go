package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"talon/activities"
	"talon/workflows"
)

// Bounds of what is looked at one by one. What is listed is counted, too.
const (
	maxListed    = 1000
	maxAsked     = 10 // collections, and decompressions that show no state
	maxDescribed = 5  // of the workflows that are at work longest
	maxActions   = 3  // of the schedule, from the last one back
)

// schedule asks for the schedule and what became of its last run that has ended.
func (g *gatherer) schedule(ctx context.Context) {
	description, err := describeSchedule(ctx, g.temporal.ScheduleClient().GetHandle(ctx, scheduleID))
	if errors.As(err, new(*serviceerror.NotFound)) {
		g.wasScheduled(ctx)
		return
	}
	if err != nil {
		g.unknown("the schedule", err)
		return
	}
	plan := planOf(description)
	last := g.lastRun(ctx, description.Info.RecentActions)
	g.learn(func(s *survey) { s.Schedule, s.Last = &plan, last })
}

// wasScheduled asks whether there was a schedule: Temporal still knows its runs.
func (g *gatherer) wasScheduled(ctx context.Context) {
	runs, err := g.temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: "TemporalScheduledById = '" + scheduleID + "'"})
	if err != nil {
		g.unknown("whether there was a schedule", err)
		return
	}
	g.learn(func(s *survey) { s.wasScheduled = runs.GetCount() > 0 })
}

func planOf(d *client.ScheduleDescription) schedulePlan {
	changed := d.Info.CreatedAt
	if d.Info.LastUpdateAt.After(changed) {
		changed = d.Info.LastUpdateAt
	}
	return schedulePlan{scheduleView: viewOf(d), Changed: changed, Exhausted: len(d.Info.NextActionTimes) == 0}
}

// lastRun is the latest of the schedule's runs that has ended.
func (g *gatherer) lastRun(ctx context.Context, actions []client.ScheduleActionResult) *runView {
	for i, action := range slices.Backward(actions) {
		if action.StartWorkflowResult == nil || i < len(actions)-maxActions {
			return nil
		}
		id, run := action.StartWorkflowResult.WorkflowID, action.StartWorkflowResult.FirstExecutionRunID
		answer, err := g.temporal.DescribeWorkflowExecution(ctx, id, run)
		if errors.As(err, new(*serviceerror.NotFound)) { // older than what Temporal keeps
			return nil
		}
		if err != nil {
			g.unknown("the last scheduled run", err)
			return nil
		}
		if view := viewOfRun(answer.GetWorkflowExecutionInfo()); view.status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			g.result(ctx, &view)
			return &view
		}
	}
	return nil
}

// result fills in the result of a run that completed.
func (g *gatherer) result(ctx context.Context, view *runView) {
	if view.status != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		return
	}
	var result workflows.CollectResult
	if err := g.temporal.GetWorkflow(ctx, view.Run, "").Get(ctx, &result); err != nil {
		g.unknown("the result of "+view.Run, err)
		return
	}
	view.Result = &result.Result
}

func viewOfRun(info *workflowpb.WorkflowExecutionInfo) runView {
	view := runView{
		Run: info.GetExecution().GetWorkflowId(), Start: info.GetStartTime().AsTime(), Status: info.GetStatus().String(), status: info.GetStatus(),
	}
	if info.GetCloseTime() != nil {
		view.End = info.GetCloseTime().AsTime()
	}
	return view
}

// open lists the workflows of a type that are at work, the oldest first.
func (g *gatherer) open(ctx context.Context, workflowType string) ([]*workflowpb.WorkflowExecutionInfo, bool) {
	answer, err := g.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: maxListed, Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflowType),
	})
	if err != nil {
		g.unknown("which of "+workflowType+" are at work", err)
		return nil, false
	}
	found := answer.GetExecutions()
	slices.SortFunc(found, func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime())
	})
	g.learn(func(s *survey) { s.Counts[workflowType] = len(found) })
	return found, true
}

// collections asks the collections that are at work how far they are. A part of a long list is not asked: its run speaks for it.
func (g *gatherer) collections(ctx context.Context) {
	found, _ := g.open(ctx, "CollectWorkflow")
	found = slices.DeleteFunc(found, func(info *workflowpb.WorkflowExecutionInfo) bool { return info.GetParentExecution() != nil })
	found = found[:min(len(found), maxAsked)]
	views := make([]runView, len(found))
	var asked sync.WaitGroup
	for i, info := range found {
		asked.Go(func() {
			views[i] = viewOfRun(info)
			g.look(ctx, info.GetExecution())
			progress, silent := g.progress(ctx, views[i].Run)
			if views[i].Silent = silent; silent == "" {
				views[i].Progress = &progressView{
					State: progress.State, Done: progress.Done, Total: progress.Total, Files: progress.Books.Collected, Bytes: progress.Books.Bytes,
				}
			}
		})
	}
	asked.Wait()
	g.learn(func(s *survey) { s.Runs = views })
}

// progress asks a workflow for its progress. silent says why there is none.
func (g *gatherer) progress(ctx context.Context, id string) (progress workflows.Progress, silent string) {
	silent = g.query(ctx, id, workflows.ProgressQuery, &progress, maxListed)
	return progress, silent
}

func (g *gatherer) query(ctx context.Context, id, name string, into any, args ...any) (silent string) {
	if !g.polled {
		return "no tiger worker is there to answer"
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := g.temporal.QueryWorkflow(ctx, id, "", name, args...)
	if err == nil {
		err = answer.Get(into)
	}
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		return fmt.Sprintf("it did not answer within %s", answerWithin)
	default:
		return "it cannot answer: " + err.Error()
	}
}

// look describes a workflow that is at work, and notes it if its workflow task fails again and again.
func (g *gatherer) look(ctx context.Context, execution *commonpb.WorkflowExecution) *workflowservice.DescribeWorkflowExecutionResponse {
	id := execution.GetWorkflowId()
	answer, err := g.temporal.DescribeWorkflowExecution(ctx, id, execution.GetRunId())
	if err != nil {
		if !isOver(err) {
			g.unknown("how "+id+" stands", err)
		}
		return nil
	}
	attempt := answer.GetPendingWorkflowTask().GetAttempt()
	if attempt < 2 {
		return answer
	}
	failure, err := g.taskFailure(ctx, execution, attempt)
	if err != nil {
		g.unknown("why the workflow task of "+id+" is tried again", err)
	}
	if failure != "" {
		g.learn(func(s *survey) { s.Stuck = append(s.Stuck, stuckView{id, attempt, failure}) })
	}
	return answer
}

// taskFailure is why the workflow task is at that attempt.
func (g *gatherer) taskFailure(ctx context.Context, execution *commonpb.WorkflowExecution, attempt int32) (string, error) {
	const lastEvents = 5
	answer, err := g.temporal.WorkflowService().GetWorkflowExecutionHistoryReverse(ctx, &workflowservice.GetWorkflowExecutionHistoryReverseRequest{
		Namespace: g.namespace, Execution: execution, MaximumPageSize: lastEvents,
	})
	if err != nil {
		return "", err
	}
	return failureOf(answer.GetHistory().GetEvents(), attempt), nil
}

// mostLost is how many attempts at a workflow task may be lost, with their workers, before that is no accident.
const mostLost = 3

// failureOf is why the last workflow task failed, by the last events of a history, the latest first, which has the first failure of a row: later
// attempts leave no event. A task that was only lost, with its worker, is no failure, unless it is lost again and again or its next attempts fail.
func failureOf(events []*historypb.HistoryEvent, attempt int32) string {
	for _, event := range events {
		switch event.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
			return event.GetWorkflowTaskFailedEventAttributes().GetFailure().GetMessage()
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
			if attempt > mostLost+1 {
				return "its worker did not answer in time, or was lost; later attempts leave no reason"
			}
			return ""
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			return ""
		}
	}
	return ""
}

// serversAtWork looks at the servers' workflows that are at work longest.
func (g *gatherer) serversAtWork(ctx context.Context) {
	found, _ := g.open(ctx, "CollectServerWorkflow")
	for _, info := range found {
		if stateOf(info) == workflows.StatePaused {
			server := strings.TrimPrefix(info.GetExecution().GetWorkflowId(), workflows.ServerID(""))
			g.learn(func(s *survey) { s.Paused = append(s.Paused, server) })
		}
	}
	for _, info := range found[:min(len(found), maxDescribed)] {
		view := workView{Workflow: info.GetExecution().GetWorkflowId(), Start: info.GetStartTime().AsTime(), State: stateOf(info)}
		pending := g.look(ctx, info.GetExecution()).GetPendingActivities()
		g.busyWorkers(activities.TigerQueue, pending)
		view.Retries = retriesOf(pending)
		g.learn(func(s *survey) { s.AtWork = append(s.AtWork, view) })
	}
}

// stateOf is the state that a workflow shows in a list, "" where the server does not know Talon's search attributes.
func stateOf(info *workflowpb.WorkflowExecutionInfo) (state string) {
	payload := info.GetSearchAttributes().GetIndexedFields()[workflows.AttributeState.GetName()]
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &state) != nil {
		return ""
	}
	return state
}

func retriesOf(pending []*workflowpb.PendingActivityInfo) (retries []retryView) {
	for _, p := range pending {
		if p.GetAttempt() < 2 {
			continue
		}
		view := retryView{Activity: p.GetActivityType().GetName(), Attempt: p.GetAttempt(), Failure: p.GetLastFailure().GetMessage()}
		if p.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED && p.GetNextAttemptScheduleTime() != nil {
			view.Next = p.GetNextAttemptScheduleTime().AsTime()
		}
		retries = append(retries, view)
	}
	return retries
}

// decompressions counts those that wait and looks at the oldest ones.
func (g *gatherer) decompressions(ctx context.Context) {
	found, _ := g.open(ctx, "DecompressWorkflow")
	waits := map[string]*waitView{}
	asked := 0
	for _, info := range found {
		id, state := info.GetExecution().GetWorkflowId(), stateOf(info)
		if state == "" && asked < maxAsked { // no search attributes
			asked++
			progress, _ := g.progress(ctx, id)
			state = progress.State
		}
		if state != workflows.StateWaitingForEagle && state != workflows.StateWaitingForGateway {
			continue
		}
		if waits[state] == nil {
			waits[state] = &waitView{State: state, Oldest: id, Since: info.GetStartTime().AsTime(), Said: g.said(ctx, id)}
		}
		waits[state].Count++
	}
	for _, wait := range waits {
		g.learn(func(s *survey) { s.Waiting = append(s.Waiting, *wait) })
	}
	g.learn(func(s *survey) {
		slices.SortFunc(s.Waiting, func(a, b waitView) int { return cmp.Compare(a.State, b.State) })
	})
	for _, info := range found[:min(len(found), maxAsked)] {
		g.busyWorkers(activities.EagleQueue, g.look(ctx, info.GetExecution()).GetPendingActivities())
	}
}

// said is what a workflow says in its details of why it waits: the paragraph after the counts. "" if it does not answer.
func (g *gatherer) said(ctx context.Context, id string) string {
	var metadata sdkpb.WorkflowMetadata
	if g.query(ctx, id, "__temporal_workflow_metadata", &metadata) != "" {
		return ""
	}
	paragraphs := strings.Split(metadata.GetCurrentDetails(), "\n\n")
	if len(paragraphs) < 2 {
		return ""
	}
	return strings.NewReplacer("`", "", "*", "", "&lt;", "<", "\\|", "|").Replace(paragraphs[1])
}

// busyWorkers notes the workers of a queue that are at work: one whose places are all taken does not poll.
func (g *gatherer) busyWorkers(queue string, pending []*workflowpb.PendingActivityInfo) {
	busy := activities.BusyWith(queue, pending)
	g.learn(func(s *survey) {
		for i := range s.Queues {
			if s.Queues[i].Queue == queue {
				s.Queues[i].addBusy(busy)
			}
		}
	})
}

// addBusy adds those that are at work and not known to poll; workflow tasks keep nobody from polling.
func (q *queueView) addBusy(busy []activities.BusyWorker) {
	for _, b := range busy {
		known := func(w workerView) bool { return w.Identity == b.Identity }
		if q.Type == "activity" && !slices.ContainsFunc(q.Workers, known) {
			q.Workers = append(q.Workers, workerView{Identity: b.Identity, Seen: b.Seen, Busy: true})
		}
	}
}

// searchBusy looks further for workers of a queue that seems to have none: the oldest workflows may be those that wait for a place.
func (g *gatherer) searchBusy(ctx context.Context, q *queueView) {
	if !q.Known || q.Type != "activity" || len(q.Workers) > 0 {
		return
	}
	busy, err := activities.BusyWorkers(ctx, g.temporal, q.Queue)
	if err != nil {
		g.unknown("whether workers of "+q.Queue+" are busy", err)
	}
	q.addBusy(busy)
}
