package temporalproxy

import (
	"slices"
	"strconv"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workerpb "go.temporal.io/api/worker/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
)

// EagleQueue is the task queue whose activities an eagle serves.
const EagleQueue = "eagle"

// eagleRules are what a worker of go.temporal.io/sdk v1.50.0 that only serves activities calls, and no more. Requests go on as this program
// understands them: fields that it does not know are dropped.
type eagleRules struct {
	namespace string
	identity  *identity
}

func (e eagleRules) rules() rules {
	w := func(method string) string { return workflowService + method }
	return rules{
		w("GetSystemInfo"):                {request: checked(anything[*workflowservice.GetSystemInfoRequest])},
		w("GetClusterInfo"):               {request: checked(anything[*workflowservice.GetClusterInfoRequest])},
		w("DescribeNamespace"):            {request: checked(e.describe), response: checked(e.described)},
		w("PollActivityTaskQueue"):        {request: checked(e.poll), response: checked(e.polled)},
		w("RecordActivityTaskHeartbeat"):  {request: checked(e.heartbeat)},
		w("RespondActivityTaskCompleted"): {request: checked(e.completed)},
		w("RespondActivityTaskFailed"):    {request: checked(e.failed)},
		w("RespondActivityTaskCanceled"):  {request: checked(e.canceled)},
		w("RecordWorkerHeartbeat"):        {request: checked(e.workerHeartbeat)},
		w("ShutdownWorker"):               {request: checked(e.shutdown)},
	}
}

// message is a message of protobuf behind a pointer, such as *workflowservice.GetSystemInfoRequest.
type message[T any] interface {
	*T
	proto.Message
}

// checked makes a function that checks and changes a message into one of bytes.
func checked[T any, M message[T]](check func(caller, M) error) func(caller, []byte) ([]byte, error) {
	return func(c caller, data []byte) ([]byte, error) {
		decoded := M(new(T))
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, decoded); err != nil {
			return nil, malformed()
		}
		if err := check(c, decoded); err != nil {
			return nil, err
		}
		return proto.Marshal(decoded)
	}
}

// call describes where a request goes, for those of its fields that most requests have.
type call interface {
	proto.Message
	GetNamespace() string
}

// here refuses what names another namespace, or none.
func (e eagleRules) here(c caller, request call) error {
	if named := request.GetNamespace(); named != e.namespace {
		return c.mayNot("call %s in the namespace %.100q, only in %q", requestName(request), named, e.namespace)
	}
	return nil
}

// requestName returns the name of the call that takes the request.
func requestName(request proto.Message) string {
	return strings.TrimSuffix(string(request.ProtoReflect().Descriptor().Name()), "Request")
}

func anything[M proto.Message](caller, M) error { return nil }

func (e eagleRules) describe(c caller, request *workflowservice.DescribeNamespaceRequest) error {
	if request.GetId() != "" {
		return c.mayNot("describe namespaces by their IDs")
	}
	return e.here(c, request)
}

// described hides that the server could send commands to workers: they come through a task queue of Nexus, which an eagle may not poll. An SDK that
// knew would try for ever.
func (e eagleRules) described(_ caller, response *workflowservice.DescribeNamespaceResponse) error {
	if capabilities := response.GetNamespaceInfo().GetCapabilities(); capabilities != nil {
		capabilities.WorkerCommands = false
	}
	return nil
}

func (e eagleRules) poll(c caller, request *workflowservice.PollActivityTaskQueueRequest) error {
	if err := e.here(c, request); err != nil {
		return err
	}
	if err := ownQueue(c, request.GetTaskQueue()); err != nil {
		return err
	}
	deployment := request.GetDeploymentOptions()
	versioned := deployment.GetWorkerVersioningMode() == enumspb.WORKER_VERSIONING_MODE_VERSIONED
	//lint:ignore SA1019 an old SDK may ask in the old way, which must not be a way around
	old := request.GetWorkerVersionCapabilities().GetUseVersioning()
	if versioned && deployment.GetDeploymentName() != EagleQueue || old && !versioned {
		return c.mayNot("poll as a version of the worker deployment %.100q, only of %q: its first poll makes it known to the whole namespace",
			deployment.GetDeploymentName(), EagleQueue)
	}
	//lint:ignore SA1019 what the SDK says twice is said once
	request.WorkerVersionCapabilities = nil
	request.WorkerControlTaskQueue = "" // see described
	return nil
}

// ownQueue refuses every task queue but the eagles', and its partitions, which are called /_sys/eagle/1 and so on.
func ownQueue(c caller, queue *taskqueuepb.TaskQueue) error {
	name := queue.GetName()
	if number, ok := strings.CutPrefix(name, "/_sys/"+EagleQueue+"/"); ok {
		if _, err := strconv.ParseUint(number, 10, 16); err == nil {
			name = EagleQueue
		}
	}
	kinds := []enumspb.TaskQueueKind{enumspb.TASK_QUEUE_KIND_UNSPECIFIED, enumspb.TASK_QUEUE_KIND_NORMAL}
	if name != EagleQueue || !slices.Contains([]string{"", EagleQueue}, queue.GetNormalName()) || !slices.Contains(kinds, queue.GetKind()) {
		return c.mayNot("call PollActivityTaskQueue for the task queue %.100q (%s), only for %q", queue.GetName(), queue.GetKind(), EagleQueue)
	}
	return nil
}

// polled seals the token of a task.
func (e eagleRules) polled(c caller, response *workflowservice.PollActivityTaskQueueResponse) error {
	if len(response.GetTaskToken()) > 0 {
		response.TaskToken = e.identity.sealers()[0].seal(c, response.GetTaskToken())
	}
	return nil
}

// report is a request about a task.
type report interface {
	call
	GetTaskToken() []byte
}

// unsealed returns the token of a task that was handed to this caller.
func (e eagleRules) unsealed(c caller, request report) ([]byte, error) {
	if err := e.here(c, request); err != nil {
		return nil, err
	}
	token, ok := open(e.identity.sealers(), c, request.GetTaskToken())
	if !ok {
		return nil, c.mayNot("call %s for a task that it (%s) was not given", requestName(request), c.name)
	}
	return token, nil
}

func (e eagleRules) heartbeat(c caller, request *workflowservice.RecordActivityTaskHeartbeatRequest) (err error) {
	request.TaskToken, err = e.unsealed(c, request)
	return err
}

func (e eagleRules) completed(c caller, request *workflowservice.RespondActivityTaskCompletedRequest) (err error) {
	request.TaskToken, err = e.unsealed(c, request)
	return err
}

func (e eagleRules) failed(c caller, request *workflowservice.RespondActivityTaskFailedRequest) (err error) {
	request.TaskToken, err = e.unsealed(c, request)
	return err
}

func (e eagleRules) canceled(c caller, request *workflowservice.RespondActivityTaskCanceledRequest) (err error) {
	request.TaskToken, err = e.unsealed(c, request)
	return err
}

func (e eagleRules) workerHeartbeat(c caller, request *workflowservice.RecordWorkerHeartbeatRequest) error {
	if err := e.here(c, request); err != nil {
		return err
	}
	return ownWorkers(c, request.GetWorkerHeartbeat()...)
}

// ownWorkers refuses signs of life of workers that serve other task queues.
func ownWorkers(c caller, workers ...*workerpb.WorkerHeartbeat) error {
	for _, worker := range workers {
		if worker != nil && worker.GetTaskQueue() != EagleQueue {
			return c.mayNot("report a worker of the task queue %.100q, only of %q", worker.GetTaskQueue(), EagleQueue)
		}
	}
	return nil
}

func (e eagleRules) shutdown(c caller, request *workflowservice.ShutdownWorkerRequest) error {
	if err := e.here(c, request); err != nil {
		return err
	}
	if sticky := request.GetStickyTaskQueue(); sticky != "" {
		return c.mayNot("call ShutdownWorker for the sticky task queue %.100q: it runs no workflows", sticky)
	}
	if queue := request.GetTaskQueue(); queue != "" && queue != EagleQueue {
		return c.mayNot("call ShutdownWorker for the task queue %.100q, only for %q", queue, EagleQueue)
	}
	for _, kind := range request.GetTaskQueueTypes() {
		if kind != enumspb.TASK_QUEUE_TYPE_ACTIVITY {
			return c.mayNot("call ShutdownWorker for pollers of the type %s", kind)
		}
	}
	return ownWorkers(c, request.GetWorkerHeartbeat())
}
