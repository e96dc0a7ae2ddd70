package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// PollerSeen is how old the last poll of a live worker can be: a poll lasts a minute, then the next begins.
const PollerSeen = 90 * time.Second

// maxLookedAt is how many workflows are looked at for workers, those that are at work longest.
const maxLookedAt = 50

// executions is what is asked of Temporal for BusyWorkers.
type executions interface {
	ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// BusyWorker is a worker that is at work on an activity.
type BusyWorker struct {
	Identity string
	Seen     time.Time // its last heartbeat
}

// BusyWorkers finds workers of a queue that are at work on its activities. A worker whose places are all taken does not poll, so after PollerSeen
// Temporal's list of pollers tells as much of it as of a dead one, and large archives or slow lines take longer than that. To be asked where nobody
// polls: it may take some fifty calls.
func BusyWorkers(ctx context.Context, c executions, queue string) ([]BusyWorker, error) {
	kind := "CollectServerWorkflow"
	if queue == EagleQueue {
		kind = "DecompressWorkflow"
	}
	const page = 1000
	answer, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: page, Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", kind),
	})
	if err != nil {
		return nil, fmt.Errorf("which of %s are at work: %w", kind, err)
	}
	found := answer.GetExecutions() // the latest first
	for _, info := range slices.Backward(found[max(len(found)-maxLookedAt, 0):]) {
		described, err := c.DescribeWorkflowExecution(ctx, info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId())
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if busy := BusyWith(queue, described.GetPendingActivities()); err == nil && len(busy) > 0 { // an error: it has ended meanwhile
			return busy, nil
		}
	}
	return nil, nil
}

// BusyWith returns the workers that are at work on those of the activities that are a queue's, each once.
func BusyWith(queue string, pending []*workflowpb.PendingActivityInfo) (workers []BusyWorker) {
	for _, p := range pending {
		seen := cmp.Or(p.GetLastHeartbeatTime(), p.GetLastStartedTime()).AsTime()
		here := (p.GetActivityType().GetName() == "ExtractArchives") == (queue == EagleQueue)
		if !here || p.GetState() != enumspb.PENDING_ACTIVITY_STATE_STARTED || time.Since(seen) >= PollerSeen {
			continue
		}
		known := func(w BusyWorker) bool { return w.Identity == p.GetLastWorkerIdentity() }
		if !slices.ContainsFunc(workers, known) {
			workers = append(workers, BusyWorker{Identity: p.GetLastWorkerIdentity(), Seen: seen})
		}
	}
	return workers
}
