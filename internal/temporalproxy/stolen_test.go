package temporalproxy

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	deploymentpb "go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workerpb "go.temporal.io/api/worker/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"talon/activities"
	"talon/config/dial"
	"talon/internal/pki"
)

// eaglesCalls are what an eagle may call, some of it with conditions.
var eaglesCalls = []string{
	"GetSystemInfo", "GetClusterInfo", "DescribeNamespace", "PollActivityTaskQueue", "RecordActivityTaskHeartbeat",
	"RespondActivityTaskCompleted", "RespondActivityTaskFailed", "RespondActivityTaskCanceled", "RecordWorkerHeartbeat", "ShutdownWorker",
}

// allMethods returns the full names of the methods of a service.
func allMethods(file protoreflect.FileDescriptor) (methods []string) {
	service := file.Services().Get(0)
	for method := range each(service.Methods()) {
		methods = append(methods, "/"+string(service.FullName())+"/"+string(method.Name()))
	}
	return methods
}

// invoke calls a method with bytes for a request.
func invoke(ctx context.Context, conn *grpc.ClientConn, method string, request []byte) error {
	var response []byte
	return conn.Invoke(ctx, method, &request, &response, grpc.ForceCodecV2(rawCodec{}))
}

// assertDenied wants a refusal by the front whose sentence has the parts.
func assertDenied(t *testing.T, err error, parts ...string) {
	t.Helper()
	if assert.Equal(t, codes.PermissionDenied, status.Code(err), "%v: %v", parts, err) {
		for _, part := range append(parts, "role eagle may not") {
			assert.ErrorContains(t, err, part)
		}
	}
}

// TestStolenEagleCertificate tries everything that whoever has an eagle's certificate and key must not be able to do.
func TestStolenEagleCertificate(t *testing.T) {
	f := startFront(t, upstream(t))
	conn := f.conn(t, f.pair(t, Eagle))
	t.Run("calls", func(t *testing.T) { testForbiddenCalls(t, conn) })
	t.Run("polls", func(t *testing.T) { testForbiddenPolls(t, workflowservice.NewWorkflowServiceClient(conn)) })
	t.Run("parameters", func(t *testing.T) { testForbiddenParameters(t, workflowservice.NewWorkflowServiceClient(conn)) })
	t.Run("made-up token", func(t *testing.T) { testMadeUpToken(t, workflowservice.NewWorkflowServiceClient(conn)) })
	t.Run("tokens of others", func(t *testing.T) { testTokensOfOthers(t, f) })
	assert.True(t, strings.Contains(f.log.String(), `msg="refused a call" call=TerminateWorkflowExecution name=eagle-1`), "it is in the log")
}

func testForbiddenCalls(t *testing.T, conn *grpc.ClientConn) {
	called := 0
	for _, method := range allMethods(workflowservice.File_temporal_api_workflowservice_v1_service_proto) {
		name := strings.TrimPrefix(method, workflowService)
		if !slices.Contains(eaglesCalls, name) {
			assertDenied(t, invoke(t.Context(), conn, method, nil), "call "+name)
			called++
		}
	}
	assert.Greater(t, called, 100, "WorkflowService has more than a hundred methods")
	others := append(allMethods(operatorservice.File_temporal_api_operatorservice_v1_service_proto),
		workflowService+"OfTheFuture",
		"/temporal.server.api.adminservice.v1.AdminService/DescribeCluster", // served by Temporal on the same port
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		grpc_health_v1.Health_Watch_FullMethodName,
	)
	for _, method := range others {
		assertDenied(t, invoke(t.Context(), conn, method, nil), displayName(method))
	}
	assert.NoError(t, invoke(t.Context(), conn, grpc_health_v1.Health_Check_FullMethodName, nil))
}

func testForbiddenPolls(t *testing.T, eagle workflowservice.WorkflowServiceClient) {
	ctx := t.Context()
	poll := func(namespace string, queue *taskqueuepb.TaskQueue, change func(*workflowservice.PollActivityTaskQueueRequest)) error {
		request := &workflowservice.PollActivityTaskQueueRequest{Namespace: namespace, TaskQueue: queue}
		if change != nil {
			change(request)
		}
		_, err := eagle.PollActivityTaskQueue(ctx, request)
		return err
	}
	for _, name := range []string{"tiger", "", "Eagle", "eagle/1", "/_sys/tiger/1", "/_sys/eagle/x", "/_sys/eagle/", "/_sys/eagle/1/2"} {
		assertDenied(t, poll("default", &taskqueuepb.TaskQueue{Name: name}, nil), "PollActivityTaskQueue for the task queue", `only for "eagle"`)
	}
	assertDenied(t, poll("default", nil, nil), "the task queue")
	sticky := &taskqueuepb.TaskQueue{Name: "eagle", Kind: enumspb.TASK_QUEUE_KIND_STICKY, NormalName: "eagle"}
	assertDenied(t, poll("default", sticky, nil), "Sticky")
	assertDenied(t, poll("default", &taskqueuepb.TaskQueue{Name: "eagle", NormalName: "tiger"}, nil), "the task queue")
	for _, namespace := range []string{"temporal-system", ""} {
		assertDenied(t, poll(namespace, &taskqueuepb.TaskQueue{Name: "eagle"}, nil), "in the namespace")
	}
	assertDenied(t, poll("default", &taskqueuepb.TaskQueue{Name: "eagle"}, func(request *workflowservice.PollActivityTaskQueueRequest) {
		request.DeploymentOptions = &deploymentpb.WorkerDeploymentOptions{
			DeploymentName: "tiger", BuildId: "1", WorkerVersioningMode: enumspb.WORKER_VERSIONING_MODE_VERSIONED,
		}
	}), "version of the worker deployment")
	assertDenied(t, poll("default", &taskqueuepb.TaskQueue{Name: "eagle"}, func(request *workflowservice.PollActivityTaskQueueRequest) {
		//lint:ignore SA1019 the old way
		request.WorkerVersionCapabilities = &commonpb.WorkerVersionCapabilities{BuildId: "1", UseVersioning: true}
	}), "version of the worker deployment")
}

func testForbiddenParameters(t *testing.T, eagle workflowservice.WorkflowServiceClient) {
	ctx := t.Context()
	_, err := eagle.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "temporal-system"})
	assertDenied(t, err, `DescribeNamespace in the namespace "temporal-system"`)
	_, err = eagle.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default", Id: "32049b68-7872-4094-8e63-d0dd59896a83"})
	assertDenied(t, err, "by their IDs")

	tigers := &workerpb.WorkerHeartbeat{TaskQueue: "tiger"}
	_, err = eagle.RecordWorkerHeartbeat(ctx, &workflowservice.RecordWorkerHeartbeatRequest{
		Namespace: "default", WorkerHeartbeat: []*workerpb.WorkerHeartbeat{{TaskQueue: "eagle"}, tigers},
	})
	assertDenied(t, err, `a worker of the task queue "tiger"`)
	for part, request := range map[string]*workflowservice.ShutdownWorkerRequest{
		`the namespace ""`:           {},
		`the task queue "tiger"`:     {Namespace: "default", TaskQueue: "tiger"},
		`the sticky task queue "st"`: {Namespace: "default", StickyTaskQueue: "st"},
		"pollers of the type":        {Namespace: "default", TaskQueueTypes: []enumspb.TaskQueueType{enumspb.TASK_QUEUE_TYPE_WORKFLOW}},
		`a worker of the task queue`: {Namespace: "default", TaskQueue: "eagle", WorkerHeartbeat: tigers},
	} {
		_, err = eagle.ShutdownWorker(ctx, request)
		assertDenied(t, err, part)
	}
}

// tigersWork is a workflow that waits for an activity that only a tiger may do.
func tigersWork(ctx workflow.Context) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: activities.TigerQueue, StartToCloseTimeout: patience, ActivityID: "7"})
	var result string
	err := workflow.ExecuteActivity(ctx, "SealArchives").Get(ctx, &result)
	return result, err
}

// startTigersWork starts the workflow, with nobody to do its activity, and returns when that is to be done.
func startTigersWork(t *testing.T) (client.Client, client.WorkflowRun) {
	t.Helper()
	direct := dialDirect(t)
	w := worker.New(direct, activities.TigerQueue, worker.Options{LocalActivityWorkerOnly: true})
	w.RegisterWorkflow(tigersWork)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := direct.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: t.Name(), TaskQueue: activities.TigerQueue}, tigersWork)
	require.NoError(t, err)
	eventually(t, func() bool {
		state, err := direct.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
		require.NoError(t, err)
		return len(state.GetPendingActivities()) == 1
	}, "the activity is to be done")
	return direct, run
}

// madeUpToken is what anybody can write who guesses a workflow and an activity: temporal.server.api.token.v1.Task, fields 1, 2 and 6.
func madeUpToken(namespaceID, workflowID, activityID string) (token []byte) {
	for number, value := range map[protowire.Number]string{1: namespaceID, 2: workflowID, 6: activityID} {
		token = protowire.AppendTag(token, number, protowire.BytesType)
		token = protowire.AppendString(token, value)
	}
	return token
}

func result(t *testing.T, value string) *commonpb.Payloads {
	t.Helper()
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(value)
	require.NoError(t, err)
	return payloads
}

// testMadeUpToken finishes an activity of tiger's with a token that was never handed out: straight to Temporal that works; through the front it does not.
func testMadeUpToken(t *testing.T, eagle workflowservice.WorkflowServiceClient) {
	direct, run := startTigersWork(t)
	namespace, err := eagle.DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	token := madeUpToken(namespace.GetNamespaceInfo().GetId(), run.GetID(), "7")
	request := &workflowservice.RespondActivityTaskCompletedRequest{Namespace: "default", TaskToken: token, Result: result(t, "forged")}

	_, err = eagle.RespondActivityTaskCompleted(t.Context(), request)
	assertDenied(t, err, "call RespondActivityTaskCompleted for a task that it (eagle-1) was not given")
	state, err := direct.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
	require.NoError(t, err)
	require.Len(t, state.GetPendingActivities(), 1, "nothing has happened to the activity")

	_, err = direct.WorkflowService().RespondActivityTaskCompleted(t.Context(), request)
	require.NoError(t, err, "without the front, Temporal believes such a token")
	var got string
	require.NoError(t, run.Get(t.Context(), &got))
	assert.Equal(t, "forged", got)
}

// testTokensOfOthers reports on tasks with tokens that are good, but not this caller's.
func testTokensOfOthers(t *testing.T, f *front) {
	direct, run := startTigersWork(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience) // Temporal refuses a poll without a deadline
	defer cancel()
	task, err := direct.WorkflowService().PollActivityTaskQueue(ctx, &workflowservice.PollActivityTaskQueueRequest{
		Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: activities.TigerQueue},
	})
	require.NoError(t, err)
	tigers := task.GetTaskToken()
	seal := f.identity.sealers()[0]
	sealed := seal.seal(caller{role: Eagle, name: "eagle-1"}, tigers)
	flipped := slices.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	stolen := f.conn(t, f.pair(t, Eagle))

	for name, token := range map[string][]byte{
		"none": nil, "tiger's": tigers, "of another eagle": seal.seal(caller{role: Eagle, name: "eagle-2"}, tigers), "changed": flipped,
		"mark alone": sealed[:32], "cut": sealed[:len(sealed)-1],
	} {
		t.Run(name, func(t *testing.T) { assertNoReport(t, workflowservice.NewWorkflowServiceClient(stolen), token) })
	}
	// The same, with the right seal: what is refused above is refused for the seal.
	_, err = workflowservice.NewWorkflowServiceClient(stolen).RespondActivityTaskCompleted(t.Context(),
		&workflowservice.RespondActivityTaskCompletedRequest{Namespace: "default", TaskToken: sealed, Result: result(t, "sealed")})
	require.NoError(t, err)
	var got string
	require.NoError(t, run.Get(t.Context(), &got))
	assert.Equal(t, "sealed", got)
}

// assertNoReport wants every kind of report with the token to be refused.
func assertNoReport(t *testing.T, eagle workflowservice.WorkflowServiceClient, token []byte) {
	t.Helper()
	ctx := t.Context()
	_, err := eagle.RecordActivityTaskHeartbeat(ctx, &workflowservice.RecordActivityTaskHeartbeatRequest{Namespace: "default", TaskToken: token})
	assertDenied(t, err, "call RecordActivityTaskHeartbeat for a task")
	_, err = eagle.RespondActivityTaskCompleted(ctx, &workflowservice.RespondActivityTaskCompletedRequest{Namespace: "default", TaskToken: token})
	assertDenied(t, err, "call RespondActivityTaskCompleted for a task")
	_, err = eagle.RespondActivityTaskFailed(ctx, &workflowservice.RespondActivityTaskFailedRequest{Namespace: "default", TaskToken: token})
	assertDenied(t, err, "call RespondActivityTaskFailed for a task")
	_, err = eagle.RespondActivityTaskCanceled(ctx, &workflowservice.RespondActivityTaskCanceledRequest{Namespace: "default", TaskToken: token})
	assertDenied(t, err, "call RespondActivityTaskCanceled for a task")
}

// TestUnknownFieldsOfAnEagleGoNowhere: a field of a later Temporal may mean what this front would refuse.
func TestUnknownFieldsOfAnEagleGoNowhere(t *testing.T) {
	f := startFront(t, upstream(t))
	request, err := proto.Marshal(&workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	request = protowire.AppendTag(request, 999, protowire.BytesType)
	request = protowire.AppendString(request, "news")
	passed, err := f.rules[Eagle][workflowService+"DescribeNamespace"].request(caller{role: Eagle}, request)
	require.NoError(t, err)
	assert.NotContains(t, string(passed), "news")

	_, err = f.rules[Eagle][workflowService+"DescribeNamespace"].request(caller{role: Eagle}, []byte{0xff})
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
}

// TestOtherRoles: a certificate of the authority that is for something else is good for the health check only.
func TestOtherRoles(t *testing.T) {
	f := startFront(t, upstream(t))
	pair, err := f.ca.Issue(pki.Request{Name: "gateway", Client: true})
	require.NoError(t, err)
	conn := f.conn(t, pair.TLS())
	_, err = f.dial(t, pki.Request{Name: "gateway", Client: true})
	require.ErrorIs(t, err, dial.ErrUnreachable)
	assert.ErrorContains(t, err, "has no role")
	assert.ErrorContains(t, err, "check TEMPORAL_API_KEY, TEMPORAL_NAMESPACE and the TEMPORAL_TLS_")
	require.NoError(t, invoke(t.Context(), conn, grpc_health_v1.Health_Check_FullMethodName, nil))
	for _, method := range slices.Concat(allMethods(workflowservice.File_temporal_api_workflowservice_v1_service_proto),
		allMethods(operatorservice.File_temporal_api_operatorservice_v1_service_proto)) {
		err := invoke(t.Context(), conn, method, nil)
		require.Equal(t, codes.PermissionDenied, status.Code(err), method)
		assert.ErrorContains(t, err, `the certificate of "gateway" has no role (its Organizational Unit is ["gateway"], not one of tiger, starter, eagle)`)
	}
}

// TestWorkerCommandsAreNotOffered: they would come through a task queue that an eagle may not poll.
func TestWorkerCommandsAreNotOffered(t *testing.T) {
	rules := eagleRules{namespace: "default"}.rules()
	data, err := proto.Marshal(&workflowservice.DescribeNamespaceResponse{NamespaceInfo: &namespacepb.NamespaceInfo{
		Name: "default", Capabilities: &namespacepb.NamespaceInfo_Capabilities{WorkerCommands: true, WorkerHeartbeats: true},
	}})
	require.NoError(t, err)
	data, err = rules[workflowService+"DescribeNamespace"].response(caller{role: Eagle}, data)
	require.NoError(t, err)
	var answer workflowservice.DescribeNamespaceResponse
	require.NoError(t, proto.Unmarshal(data, &answer))
	assert.False(t, answer.GetNamespaceInfo().GetCapabilities().GetWorkerCommands())
	assert.True(t, answer.GetNamespaceInfo().GetCapabilities().GetWorkerHeartbeats())

	data, err = proto.Marshal(&workflowservice.PollActivityTaskQueueRequest{
		Namespace: "default", TaskQueue: &taskqueuepb.TaskQueue{Name: "/_sys/eagle/3"}, WorkerControlTaskQueue: "tiger's",
	})
	require.NoError(t, err)
	data, err = rules[workflowService+"PollActivityTaskQueue"].request(caller{role: Eagle}, data)
	require.NoError(t, err)
	assert.NotContains(t, string(data), "tiger's")
}
