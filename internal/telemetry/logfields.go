package telemetry

import (
	"context"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"
)

// fielded is an input that knows what log lines are about.
type fielded interface{ LogFields() []any }

// LogFields is an interceptor that adds run, server, file or archive to every line that activities and workflows log, as far as their inputs
// know them.
func LogFields() interceptor.Interceptor { return &logFields{} }

type logFields struct{ interceptor.InterceptorBase }

func fieldsOf(args []any) (fields []any, known bool) {
	for _, arg := range args {
		if input, ok := arg.(fielded); ok {
			return input.LogFields(), true
		}
	}
	return nil, false
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (*logFields) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &activityFields{}
	i.Next = next
	return i
}

type activityFields struct {
	interceptor.ActivityInboundInterceptorBase
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
func (*logFields) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	i := &workflowFields{logger: &workflowLogger{}}
	i.Next = next
	return i
}

// workflowFields belongs to one execution of a workflow, which runs in one goroutine at a time.
type workflowFields struct {
	interceptor.WorkflowInboundInterceptorBase
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
	return w.Next.ExecuteWorkflow(ctx, in)
}

type workflowLogger struct {
	interceptor.WorkflowOutboundInterceptorBase
	fields []any
}

func (w *workflowLogger) GetLogger(ctx workflow.Context) log.Logger {
	return log.With(w.Next.GetLogger(ctx), w.fields...)
}
