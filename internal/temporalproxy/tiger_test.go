//lint:file-ignore SA1019 commands may still name namespaces, deprecated or not, and the front has to see it

package temporalproxy

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/operatorservice/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"talon/internal/devstack"
)

// tigersDenied are the calls that make, change or end namespaces, search attributes or clusters.
var tigersDenied = []string{
	"RegisterNamespace", "UpdateNamespace", "DeprecateNamespace",
	"RemoveSearchAttributes", "DeleteNamespace", "AddOrUpdateRemoteCluster", "RemoveRemoteCluster", "ListClusters",
	"GetNexusEndpoint", "CreateNexusEndpoint", "UpdateNexusEndpoint", "DeleteNexusEndpoint", "ListNexusEndpoints",
}

// TestTigerAndStarterDoEverythingInTheirNamespace makes every call there is, with an empty request: Temporal answers, or the front refuses.
func TestTigerAndStarterDoEverythingInTheirNamespace(t *testing.T) {
	f := startFront(t, upstream(t))
	for _, role := range []Role{Tiger, Starter} {
		conn := f.conn(t, f.pair(t, role))
		for _, method := range slices.Concat(allMethods(workflowservice.File_temporal_api_workflowservice_v1_service_proto),
			allMethods(operatorservice.File_temporal_api_operatorservice_v1_service_proto)) {
			err := invoke(t.Context(), conn, method, nil)
			name := method[strings.LastIndex(method, "/")+1:]
			if slices.Contains(tigersDenied, name) {
				assert.Equal(t, codes.PermissionDenied, status.Code(err), method)
				assert.ErrorContains(t, err, "role "+string(role)+" may not call ")
				continue
			}
			assert.NotEqual(t, codes.PermissionDenied, status.Code(err), "%s: %v", method, err)
		}
		assert.Equal(t, codes.PermissionDenied,
			status.Code(invoke(t.Context(), conn, "/temporal.server.api.adminservice.v1.AdminService/DescribeCluster", nil)))
	}
}

func TestSearchAttributesPass(t *testing.T) {
	f := startFront(t, upstream(t))
	tiger := f.client(t, Tiger)
	known, err := tiger.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	require.NoError(t, err)
	for name := range devstack.SearchAttributes() {
		assert.Contains(t, known.GetCustomAttributes(), name)
	}
	_, err = tiger.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace: "default", SearchAttributes: map[string]enumspb.IndexedValueType{"FromTiger": enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	})
	require.NoError(t, err)
}

// TestTemporalsOwnNamespaceIsOutOfReach: a workflow that is started there can delete namespaces.
func TestTemporalsOwnNamespaceIsOutOfReach(t *testing.T) {
	start := &workflowservice.StartWorkflowExecutionRequest{
		Namespace: "temporal-system", WorkflowId: "deletion", RequestId: "1",
		WorkflowType: &commonpb.WorkflowType{Name: "temporal-sys-no-such-workflow"},
		TaskQueue:    &taskqueuepb.TaskQueue{Name: "default-worker-tq"},
	}
	_, err := dialDirect(t).WorkflowService().StartWorkflowExecution(t.Context(), start)
	require.NoError(t, err, "without the front, Temporal lets anybody in there")

	f := startFront(t, upstream(t))
	start.WorkflowId = "another"
	_, err = workflowservice.NewWorkflowServiceClient(f.conn(t, f.pair(t, Tiger))).StartWorkflowExecution(t.Context(), start)
	assert.Equal(t, codes.PermissionDenied, status.Code(err))
	assert.ErrorContains(t, err, `role tiger may not name the namespace "temporal-system", only "default"`)
}

// namespaced are requests that name a namespace somewhere.
func namespaced(namespace string) map[string]proto.Message {
	start := &workflowservice.StartWorkflowExecutionRequest{Namespace: namespace, WorkflowId: "w"}
	child := &commandpb.Command{Attributes: &commandpb.Command_StartChildWorkflowExecutionCommandAttributes{
		StartChildWorkflowExecutionCommandAttributes: &commandpb.StartChildWorkflowExecutionCommandAttributes{Namespace: namespace},
	}}
	signal := &commandpb.Command{Attributes: &commandpb.Command_SignalExternalWorkflowExecutionCommandAttributes{
		SignalExternalWorkflowExecutionCommandAttributes: &commandpb.SignalExternalWorkflowExecutionCommandAttributes{Namespace: namespace},
	}}
	timer := &commandpb.Command{Attributes: &commandpb.Command_StartTimerCommandAttributes{
		StartTimerCommandAttributes: &commandpb.StartTimerCommandAttributes{TimerId: "1"},
	}}
	return map[string]proto.Message{
		"StartWorkflowExecution": start,
		"ExecuteMultiOperation": &workflowservice.ExecuteMultiOperationRequest{
			Operations: []*workflowservice.ExecuteMultiOperationRequest_Operation{{
				Operation: &workflowservice.ExecuteMultiOperationRequest_Operation_StartWorkflow{StartWorkflow: start},
			}},
		},
		"RespondWorkflowTaskCompleted": &workflowservice.RespondWorkflowTaskCompletedRequest{Commands: []*commandpb.Command{timer, child}},
		"RespondWorkflowTaskFailed":    &workflowservice.RespondWorkflowTaskFailedRequest{Namespace: namespace},
		"SignalWorkflowExecution": &workflowservice.SignalWorkflowExecutionRequest{Links: []*commonpb.Link{{
			Variant: &commonpb.Link_WorkflowEvent_{WorkflowEvent: &commonpb.Link_WorkflowEvent{Namespace: namespace}},
		}}},
		"PollWorkflowTaskQueue": &workflowservice.PollWorkflowTaskQueueRequest{Namespace: namespace},
		"RespondQueryTaskCompleted": &workflowservice.RespondQueryTaskCompletedRequest{
			Namespace: namespace, Failure: deepFailure(1000),
		},
		"RespondWorkflowTaskCompleted ": &workflowservice.RespondWorkflowTaskCompletedRequest{Commands: []*commandpb.Command{signal}},
	}
}

func deepFailure(depth int) *failurepb.Failure {
	failure := &failurepb.Failure{}
	for range depth {
		failure = &failurepb.Failure{Message: "because", Cause: failure}
	}
	return failure
}

func TestNamespacesAreFoundWhereverTheyAre(t *testing.T) {
	trusted := trustedRules("default")
	for _, other := range []string{"temporal-system", "Default", "default "} {
		for name, request := range namespaced(other) {
			data, err := proto.Marshal(request)
			require.NoError(t, err)
			_, err = trusted[workflowService+strings.TrimSpace(name)].request(caller{role: Tiger}, data)
			assert.ErrorContains(t, err, "may not name the namespace", "%s of %q", name, other)
		}
	}
	for _, ours := range []string{"default", ""} {
		for name, request := range namespaced(ours) {
			data, err := proto.Marshal(request)
			require.NoError(t, err)
			passed, err := trusted[workflowService+strings.TrimSpace(name)].request(caller{role: Tiger}, data)
			require.NoError(t, err, name)
			assert.Equal(t, data, passed, "what is let pass is not changed")
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	guard := trustedRules("default")[workflowService+"StartWorkflowExecution"].request
	for _, data := range [][]byte{{0xff}, {0x0a, 0x05, 'd'}, {0x0a}, {0x00}, {0x0c}} {
		_, err := guard(caller{role: Tiger}, data)
		assert.Equal(t, codes.InvalidArgument, status.Code(err), "%x", data)
	}
}

// FuzzNamespaceGuard compares the guard with what protobuf makes of the same bytes: no name may get past it.
func FuzzNamespaceGuard(f *testing.F) {
	for _, namespace := range []string{"default", "temporal-system"} {
		data, err := proto.Marshal(namespaced(namespace)["RespondWorkflowTaskCompleted"])
		require.NoError(f, err)
		f.Add(data)
	}
	guard := trustedRules("default")[workflowService+"RespondWorkflowTaskCompleted"].request
	f.Fuzz(func(t *testing.T, data []byte) {
		_, refusal := guard(caller{role: Tiger}, data)
		request := &workflowservice.RespondWorkflowTaskCompletedRequest{}
		if proto.Unmarshal(data, request) != nil || refusal != nil {
			return // Temporal would not take it either, or it was refused
		}
		names := []string{request.GetNamespace()}
		for _, command := range request.GetCommands() {
			names = append(names, command.GetStartChildWorkflowExecutionCommandAttributes().GetNamespace(),
				command.GetSignalExternalWorkflowExecutionCommandAttributes().GetNamespace(),
				command.GetRequestCancelExternalWorkflowExecutionCommandAttributes().GetNamespace())
		}
		for _, name := range names {
			assert.Contains(t, []string{"", "default"}, name)
		}
	})
}
