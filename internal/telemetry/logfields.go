package telemetry

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"
)

// fielded is an input that knows what log lines are about.
type fielded interface{ LogFields() []any }

// LogFields is an interceptor that adds run, server, file or archive to every line that activities and workflows log, as far as their inputs
// know them. Lines that the SDK itself writes about an execution get run and server, if they go through its Handler.
type LogFields struct {
	interceptor.InterceptorBase
	executions *lru.Cache[string, []any] // run and server, by Temporal's run ID
}

// executionsKnown is how many executions are remembered: more than a worker has in hand.
const executionsKnown = 10_000

// NewLogFields returns the interceptor of one worker process.
func NewLogFields() *LogFields {
	executions, err := lru.New[string, []any](executionsKnown)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &LogFields{executions: executions}
}

// remember notes what the lines about an execution are about: not the file, which is another one each time.
func (l *LogFields) remember(runID string, fields []any) {
	const runAndServer = 4
	if kept := fields[:min(len(fields), runAndServer)]; len(kept) > 0 {
		l.executions.Add(runID, kept)
	}
}

func fieldsOf(args []any) (fields []any, known bool) {
	for _, arg := range args {
		if input, ok := arg.(fielded); ok {
			return input.LogFields(), true
		}
	}
	return nil, false
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (l *LogFields) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &activityFields{all: l}
	i.Next = next
	return i
}

type activityFields struct {
	interceptor.ActivityInboundInterceptorBase
	all *LogFields
}

// fieldsKey is the key of an activity's fields in its context.
type fieldsKey struct{}

func (a *activityFields) Init(outbound interceptor.ActivityOutboundInterceptor) error {
	o := &activityLogger{}
	o.Next = outbound
	return a.Next.Init(o)
}

func (a *activityFields) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	fields, _ := fieldsOf(in.Args)
	a.all.remember(activity.GetInfo(ctx).WorkflowExecution.RunID, fields)
	return a.Next.ExecuteActivity(context.WithValue(ctx, fieldsKey{}, fields), in)
}

type activityLogger struct {
	interceptor.ActivityOutboundInterceptorBase
}

func (a *activityLogger) GetLogger(ctx context.Context) log.Logger {
	fields, _ := ctx.Value(fieldsKey{}).([]any)
	return log.With(a.Next.GetLogger(ctx), fields...)
}

// InterceptWorkflow implements interceptor.WorkerInterceptor.
func (l *LogFields) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &workflowFields{all: l, logger: &workflowLogger{}}
	i.Next = next
	return i
}

// workflowFields belongs to one execution of a workflow, which runs in one goroutine at a time.
type workflowFields struct {
	interceptor.WorkflowInboundInterceptorBase
	all    *LogFields
	logger *workflowLogger
}

func (w *workflowFields) Init(outbound interceptor.WorkflowOutboundInterceptor) error {
	w.logger.Next = outbound
	return w.Next.Init(w.logger)
}

func (w *workflowFields) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	fields, known := fieldsOf(in.Args)
	if known && len(fields) == 0 { // it is the run
		fields = []any{"run", workflow.GetInfo(ctx).WorkflowExecution.ID}
	}
	w.logger.fields = fields
	w.all.remember(workflow.GetInfo(ctx).WorkflowExecution.RunID, fields)
	return w.Next.ExecuteWorkflow(ctx, in)
}

type workflowLogger struct {
	interceptor.WorkflowOutboundInterceptorBase
	fields []any
}

func (w *workflowLogger) GetLogger(ctx workflow.Context) log.Logger {
	return log.With(w.Next.GetLogger(ctx), w.fields...)
}
