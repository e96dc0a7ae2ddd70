package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// PollerSeen is how old the last poll of a live worker can be: a poll lasts a minute, then the next begins.
const PollerSeen = 90 * time.Second

// maxLookedAt is how many workflows are looked at for workers, those that are at work longest, and lookedAtOnce how many at a time.
const (
	maxLookedAt  = 50
	lookedAtOnce = 10
)

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
	oldest := found[max(len(found)-maxLookedAt, 0):]
	slices.Reverse(oldest)
	for some := range slices.Chunk(oldest, lookedAtOnce) {
		if busy := BusyWith(queue, pendingOf(ctx, c, some)); len(busy) > 0 || ctx.Err() != nil {
			return busy, ctx.Err()
		}
	}
	return nil, nil
}

// pendingOf returns the pending activities of workflows, without those that cannot be described: they have ended meanwhile.
func pendingOf(ctx context.Context, c executions, infos []*workflowpb.WorkflowExecutionInfo) (pending []*workflowpb.PendingActivityInfo) {
	described := make([]*workflowservice.DescribeWorkflowExecutionResponse, len(infos))
	var asked sync.WaitGroup
	for i, info := range infos {
		asked.Go(func() {
			described[i], _ = c.DescribeWorkflowExecution(ctx, info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId())
		})
	}
	asked.Wait()
	for _, d := range described {
		pending = append(pending, d.GetPendingActivities()...)
	}
	return pending
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
