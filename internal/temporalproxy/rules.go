package temporalproxy

import (
	"slices"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	workflowService = "/temporal.api.workflowservice.v1.WorkflowService/"
	operatorService = "/temporal.api.operatorservice.v1.OperatorService/"
)

// rule lets a call pass. The functions, where there are any, check a message and return what goes on in its place.
type rule struct {
	request, response func(caller, []byte) ([]byte, error)
}

// rules are the calls that a role may make, by full method name. What is not in it is refused: other services of Temporal's port (AdminService, the
// reflection of gRPC), and calls that are newer than this program.
type rules map[string]rule

// namespaceChanges are the calls of WorkflowService that make, change or end namespaces.
var namespaceChanges = []protoreflect.Name{"RegisterNamespace", "UpdateNamespace", "DeprecateNamespace"}

// operatorCalls are those of OperatorService that Talon makes (worker/attributes.go). Among the others: DeleteNamespace and the cluster's.
var operatorCalls = []protoreflect.Name{"ListSearchAttributes", "AddSearchAttributes"}

// makeRules returns what each role may do in the namespace.
func makeRules(namespace string, identity *identity) map[Role]rules {
	trusted := trustedRules(namespace)
	eagle := eagleRules{namespace, identity}.rules()
	health := rules{}
	for _, all := range []rules{trusted, eagle, health} {
		all[grpc_health_v1.Health_Check_FullMethodName] = rule{}
	}
	return map[Role]rules{Tiger: trusted, Starter: trusted, Eagle: eagle, other: health}
}

// trustedRules are those of tiger and starter. A request that names another namespace is refused, wherever in it that is: a workflow that is started in
// Temporal's own namespace, temporal-system, can delete ours, and so can the child of a workflow.
func trustedRules(namespace string) rules {
	trusted := rules{}
	add := func(service protoreflect.FileDescriptor, may func(protoreflect.Name) bool) {
		for i := range service.Services().Len() {
			descriptor := service.Services().Get(i)
			for method := range each(descriptor.Methods()) {
				if may(method.Name()) {
					guard := newNamespaceGuard(method.Input(), namespace)
					trusted["/"+string(descriptor.FullName())+"/"+string(method.Name())] = rule{request: guard.check}
				}
			}
		}
	}
	add(workflowservice.File_temporal_api_workflowservice_v1_service_proto,
		func(name protoreflect.Name) bool { return !slices.Contains(namespaceChanges, name) })
	add(operatorservice.File_temporal_api_operatorservice_v1_service_proto,
		func(name protoreflect.Name) bool { return slices.Contains(operatorCalls, name) })
	return trusted
}

// each iterates over the methods of a service.
func each(methods protoreflect.MethodDescriptors) func(func(protoreflect.MethodDescriptor) bool) {
	return func(yield func(protoreflect.MethodDescriptor) bool) {
		for i := range methods.Len() {
			if !yield(methods.Get(i)) {
				return
			}
		}
	}
}
