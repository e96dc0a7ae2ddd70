package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// Method references for the calls below; the activities run in the workers, on real values.
var (
	tiger *activities.Tiger
	eagle *activities.Eagle
)

// policy makes the options of an ordinary activity.
type policy func(ctx workflow.Context, summary string) workflow.Context

// cheaply runs an activity as a local one first and, where that attempt failed but another may succeed, as an ordinary one under the policy.
// An activity on a queue costs ten times a local one, which matters for thousands of small files.
func cheaply(ctx workflow.Context, durable policy, summary string, activity, input, result any) error {
	err := workflow.ExecuteLocalActivity(firstTryOptions(ctx, summary), activity, input).Get(ctx, result)
	if err == nil || activities.IsFinal(err) || temporal.IsCanceledError(err) || ctx.Err() != nil {
		return err
	}
	return workflow.ExecuteActivity(durable(ctx, summary), activity, input).Get(ctx, result)
}

// setState shows a state in the Web UI where the server knows Talon's search attributes.
func setState(ctx workflow.Context, known bool, state string) {
	upsert(ctx, known, AttributeState.ValueSet(state))
}

// setOutcome shows the end of a workflow there: its result code, the files that arrived, and what did not.
func setOutcome(ctx workflow.Context, known bool, result, files, failed int) {
	upsert(ctx, known, AttributeState.ValueSet(StateDone), AttributeResult.ValueSet(int64(result)),
		AttributeFiles.ValueSet(int64(files)), AttributeFailed.ValueSet(int64(failed)))
}

func upsert(ctx workflow.Context, known bool, updates ...temporal.SearchAttributeUpdate) {
	if !known {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Warn("cannot set search attributes", "error", err)
	}
}

// detached returns a context that outlives a cancellation, for what must be done all the same.
func detached(ctx workflow.Context) workflow.Context {
	free, _ := workflow.NewDisconnectedContext(ctx)
	return free
}
