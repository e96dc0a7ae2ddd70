package temporalproxy

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"talon/activities"
)

// TestTemporalGoesAndComesBack stops Temporal behind the front, and starts it again.
func TestTemporalGoesAndComesBack(t *testing.T) {
	dir := t.TempDir()
	server, err := startTemporal(t.Context(), dir, filepath.Join(dir, "temporal.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	f := startFront(t, server.Address())
	conn := f.conn(t, f.pair(t, Eagle))
	health := func() error { return invoke(t.Context(), conn, grpc_health_v1.Health_Check_FullMethodName, nil) }
	require.NoError(t, health())

	require.NoError(t, server.Stop())
	var sick error
	eventually(t, func() bool {
		sick = health()
		return strings.Contains(status.Convert(sick).Message(), "connection refused")
	}, "the front notices")
	assert.Equal(t, codes.Unavailable, status.Code(sick))
	assert.ErrorContains(t, sick, "Temporal does not answer temporalproxy")

	require.NoError(t, server.Restart(t.Context()))
	eventually(t, func() bool { return health() == nil }, "the front finds Temporal again")
}

// pollTigers polls tiger's queue for activities.
func pollTigers(ctx context.Context, conn grpc.ClientConnInterface, identity string) (*workflowservice.PollActivityTaskQueueResponse, error) {
	return workflowservice.NewWorkflowServiceClient(conn).PollActivityTaskQueue(ctx, &workflowservice.PollActivityTaskQueueRequest{
		Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: activities.TigerQueue}, Identity: identity,
	})
}

// awaitPoller waits until Temporal has seen a poll of tiger's queue.
func awaitPoller(t *testing.T, direct client.Client, identity string) {
	t.Helper()
	eventually(t, func() bool {
		state, err := direct.DescribeTaskQueue(t.Context(), activities.TigerQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
		require.NoError(t, err)
		return slices.ContainsFunc(state.GetPollers(), func(p *taskqueuepb.PollerInfo) bool { return p.GetIdentity() == identity })
	}, "the poll has reached Temporal")
}

// TestGivingUpReachesTemporal: a poll that its caller gives up is gone from Temporal too, or it would swallow the next task.
func TestGivingUpReachesTemporal(t *testing.T) {
	f := startFront(t, upstream(t))
	conn, direct := f.conn(t, f.pair(t, Tiger)), dialDirect(t)
	for poll := range 4 { // as many as a queue has partitions
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		done := make(chan error, 1)
		identity := fmt.Sprintf("%s %d", t.Name(), poll)
		go func() {
			_, err := pollTigers(ctx, conn, identity)
			done <- err
		}()
		awaitPoller(t, direct, identity)
		cancel()
		require.Equal(t, codes.Canceled, status.Code(<-done))
	}
	_, run := startTigersWork(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience/2)
	defer cancel()
	task, err := pollTigers(ctx, conn, t.Name())
	require.NoError(t, err)
	require.Equal(t, run.GetID(), task.GetWorkflowExecution().GetWorkflowId(), "the task was not given to a poll from before")
	_, err = workflowservice.NewWorkflowServiceClient(conn).RespondActivityTaskCompleted(ctx, &workflowservice.RespondActivityTaskCompletedRequest{
		Namespace: "default", TaskToken: task.GetTaskToken(), Result: result(t, "done"),
	})
	require.NoError(t, err, "a tiger's tokens are Temporal's own")
	require.NoError(t, run.Get(ctx, nil))
}

// TestDeadlineReachesTemporal: Temporal answers a poll with nothing before the caller's deadline is over, if it knows the deadline.
func TestDeadlineReachesTemporal(t *testing.T) {
	f := startFront(t, upstream(t))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	answer, err := workflowservice.NewWorkflowServiceClient(f.conn(t, f.pair(t, Eagle))).PollActivityTaskQueue(ctx,
		&workflowservice.PollActivityTaskQueueRequest{Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: EagleQueue}})
	require.NoError(t, err)
	assert.Empty(t, answer.GetTaskToken(), "no task, and no seal for none")
}

// TestStopSendsPollersAway stops the front while a worker polls.
func TestStopSendsPollersAway(t *testing.T) {
	f := startFront(t, upstream(t))
	conn := f.conn(t, f.pair(t, Tiger))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := pollTigers(ctx, conn, t.Name())
		done <- err
	}()
	awaitPoller(t, dialDirect(t), t.Name())
	f.stop(t) // within its five seconds; a poll would take a minute
	err := <-done
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.ErrorContains(t, err, "temporalproxy stops")
}

func TestStoppedBeforeItServes(t *testing.T) {
	f := startFront(t, "127.0.0.1:1")
	front, err := New(f.options)
	require.NoError(t, err)
	front.Stop(t.Context())
	require.NoError(t, front.Serve(listen(t)))
}

// TestSizes: what Temporal takes passes, compressed as the SDK does it or not, and what is too large gets Temporal's own answer, which the SDK knows.
func TestSizes(t *testing.T) {
	f := startFront(t, upstream(t))
	tiger := workflowservice.NewWorkflowServiceClient(f.conn(t, f.pair(t, Tiger)))
	plain, err := grpc.NewClient(upstream(t), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plain.Close()) })
	direct := workflowservice.NewWorkflowServiceClient(plain)
	start := func(c workflowservice.WorkflowServiceClient, size int, options ...grpc.CallOption) error {
		_, err := c.StartWorkflowExecution(t.Context(), &workflowservice.StartWorkflowExecutionRequest{
			Namespace: "default", WorkflowId: t.Name(), RequestId: "1", WorkflowType: &commonpb.WorkflowType{Name: "large"},
			TaskQueue: &taskqueuepb.TaskQueue{Name: "nobody"}, Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: make([]byte, size)}}},
		}, options...)
		return err
	}
	require.NoError(t, start(tiger, 2<<20-1000))
	require.NoError(t, start(tiger, 2<<20-1000, grpc.UseCompressor(gzip.Name)))
	answer, err := tiger.GetWorkflowExecutionHistory(t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: "default", Execution: &commonpb.WorkflowExecution{WorkflowId: t.Name()},
	}, grpc.UseCompressor(gzip.Name))
	require.NoError(t, err)
	assert.Len(t, answer.GetHistory().GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0].GetData(), 2<<20-1000)

	through, straight := start(tiger, 5<<20), start(direct, 5<<20)
	require.Error(t, straight)
	assert.Equal(t, codes.ResourceExhausted, status.Code(through))
	assert.Equal(t, status.Convert(straight).Message(), status.Convert(through).Message())
	require.NoError(t, dialDirect(t).TerminateWorkflow(t.Context(), t.Name(), "", "the test is over"))
}

// TestErrorsOfTemporalPassWhole compares an error with the one that Temporal gives without the front, details included.
func TestErrorsOfTemporalPassWhole(t *testing.T) {
	f := startFront(t, upstream(t))
	starter := f.client(t, Starter)
	direct := dialDirect(t)
	options := client.StartWorkflowOptions{ID: t.Name(), TaskQueue: "nobody", WorkflowExecutionErrorWhenAlreadyStarted: true}
	run, err := starter.ExecuteWorkflow(t.Context(), options, "w")
	require.NoError(t, err)
	_, through := starter.ExecuteWorkflow(t.Context(), options, "w")
	_, straight := direct.ExecuteWorkflow(t.Context(), options, "w")
	require.Error(t, straight)
	assert.Equal(t, straight, through)
	require.NoError(t, direct.TerminateWorkflow(t.Context(), run.GetID(), "", "the test is over"))
}

// recorder is a server that keeps the headers of the last call. Temporal does not tell what it got.
type recorder struct {
	grpc_health_v1.UnimplementedHealthServer
	headers  metadata.MD
	deadline time.Time
}

// Check answers a health check.
func (r *recorder) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	r.headers, _ = metadata.FromIncomingContext(ctx)
	r.deadline, _ = ctx.Deadline()
	_ = grpc.SetHeader(ctx, metadata.Pairs("answer", "yes"))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("after", "all"))
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func TestHeadersPass(t *testing.T) {
	record, server := &recorder{}, grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, record)
	listener := listen(t)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	f := startFront(t, listener.Addr().String())

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "client-name", "temporal-go", "temporal-namespace", "default", "blob-bin", "\x00\xff", "client-name", "twice",
		"grpc-previous-rpc-attempts", "7")
	var header, trailer metadata.MD
	answer, err := grpc_health_v1.NewHealthClient(f.conn(t, f.pair(t, Tiger))).Check(ctx, &grpc_health_v1.HealthCheckRequest{},
		grpc.Header(&header), grpc.Trailer(&trailer))
	require.NoError(t, err)
	assert.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, answer.GetStatus())
	assert.Equal(t, []string{"temporal-go", "twice"}, record.headers.Get("client-name"))
	assert.Equal(t, []string{"default"}, record.headers.Get("temporal-namespace"))
	assert.Equal(t, []string{"\x00\xff"}, record.headers.Get("blob-bin"))
	assert.Len(t, record.headers.Get("content-type"), 1)
	assert.Len(t, record.headers.Get("user-agent"), 1)
	assert.Empty(t, record.headers.Get("grpc-previous-rpc-attempts"), "that is between neighbours")
	assert.Equal(t, []string{"yes"}, header.Get("answer"))
	assert.Equal(t, []string{"all"}, trailer.Get("after"))
	deadline, _ := ctx.Deadline()
	assert.WithinDuration(t, deadline, record.deadline, time.Second)
}
