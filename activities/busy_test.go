package activities

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func pendingActivity(name, worker string, state enumspb.PendingActivityState, age time.Duration) *workflowpb.PendingActivityInfo {
	return &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: name}, LastWorkerIdentity: worker, State: state,
		LastHeartbeatTime: timestamppb.New(time.Now().Add(-age)),
	}
}

// TestBusyWith: heartbeats of the queue's own activities show a worker, dead or waiting ones do not.
func TestBusyWith(t *testing.T) {
	started := enumspb.PENDING_ACTIVITY_STATE_STARTED
	silent := pendingActivity("ExtractArchives", "6@eagle", started, 0)
	silent.LastStartedTime, silent.LastHeartbeatTime = silent.LastHeartbeatTime, nil
	pending := []*workflowpb.PendingActivityInfo{
		pendingActivity("ExtractArchives", "2@eagle", started, time.Second),
		pendingActivity("ExtractArchives", "2@eagle", started, time.Second),
		pendingActivity("ExtractArchives", "3@eagle", started, 2*PollerSeen),
		pendingActivity("ExtractArchives", "4@eagle", enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, 0),
		pendingActivity("SealArchives", "5@tiger", started, 0),
		silent,
	}
	names := func(queue string) (names []string) {
		for _, w := range BusyWith(queue, pending) {
			names = append(names, w.Identity)
		}
		return names
	}
	assert.Equal(t, []string{"2@eagle", "6@eagle"}, names(EagleQueue))
	assert.Equal(t, []string{"5@tiger"}, names(TigerQueue))
}

// fakeExecutions has running workflows, the latest first; the numbered one is being worked on.
type fakeExecutions struct {
	number, busy int
	asked        atomic.Int32
	query        string
	broken       error
}

func (f *fakeExecutions) ListWorkflow(
	_ context.Context, request *workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	f.query = request.GetQuery()
	answer := &workflowservice.ListWorkflowExecutionsResponse{}
	for i := f.number; i > 0; i-- {
		answer.Executions = append(answer.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: fmt.Sprint(i)}})
	}
	return answer, f.broken
}

func (f *fakeExecutions) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	f.asked.Add(1)
	if id != fmt.Sprint(f.busy) {
		return nil, errors.New("it has ended")
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{PendingActivities: []*workflowpb.PendingActivityInfo{
		pendingActivity("ExtractArchives", "1@eagle", enumspb.PENDING_ACTIVITY_STATE_STARTED, 0),
	}}, nil
}

// TestBusyWorkers: the oldest workflows are looked at, and not all of thousands.
func TestBusyWorkers(t *testing.T) {
	f := &fakeExecutions{number: 900, busy: 30}
	busy, err := BusyWorkers(t.Context(), f, EagleQueue)
	require.NoError(t, err)
	require.Len(t, busy, 1)
	assert.Equal(t, "1@eagle", busy[0].Identity)
	assert.EqualValues(t, 30, f.asked.Load())
	assert.Equal(t, "WorkflowType = 'DecompressWorkflow' AND ExecutionStatus = 'Running'", f.query)

	f = &fakeExecutions{number: 900, busy: 900}
	busy, err = BusyWorkers(t.Context(), f, TigerQueue)
	require.NoError(t, err)
	assert.Empty(t, busy)
	assert.EqualValues(t, maxLookedAt, f.asked.Load())
	assert.Contains(t, f.query, "CollectServerWorkflow")

	_, err = BusyWorkers(t.Context(), &fakeExecutions{broken: errors.New("no visibility")}, EagleQueue)
	assert.ErrorContains(t, err, "no visibility")
}
