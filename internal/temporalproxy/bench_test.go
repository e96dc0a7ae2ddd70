package temporalproxy

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// BenchmarkActivity measures one activity that does nothing, from its being scheduled to its being completed, straight to Temporal and through the
// front. What counts is the median (median-µs): now and then a task of the embedded server waits for seconds, front or no front.
func BenchmarkActivity(b *testing.B) {
	f := startFront(b, upstream(b))
	direct := dialDirect(b)
	benchmarkActivity(b, "direct", direct, direct)
	benchmarkActivity(b, "through", direct, f.client(b, Eagle))
}

// benchmarkActivity has one workflow do b.N activities, one after another.
func benchmarkActivity(b *testing.B, name string, tiger, eagle client.Client) {
	workflows := worker.New(tiger, activities.TigerQueue, worker.Options{LocalActivityWorkerOnly: true})
	workflows.RegisterWorkflow(repeat)
	require.NoError(b, workflows.Start())
	defer workflows.Stop()
	doer := worker.New(eagle, EagleQueue, worker.Options{DisableWorkflowWorker: true})
	doer.RegisterActivity(nothing)
	require.NoError(b, doer.Start())
	defer doer.Stop()
	b.Run(name, func(b *testing.B) {
		run, err := tiger.ExecuteWorkflow(b.Context(), client.StartWorkflowOptions{ID: b.Name(), TaskQueue: activities.TigerQueue}, repeat, b.N)
		require.NoError(b, err)
		require.NoError(b, run.Get(b.Context(), nil))
		b.StopTimer()
		b.ReportMetric(float64(medianActivity(b, tiger, run).Microseconds()), "median-µs")
	})
}

// medianActivity reads from the history of a workflow how long its activities took.
func medianActivity(b *testing.B, c client.Client, run client.WorkflowRun) time.Duration {
	var scheduled time.Time
	var took []time.Duration
	events := c.GetWorkflowHistory(b.Context(), run.GetID(), run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(b, err)
		switch event.GetEventType() {
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			scheduled = event.GetEventTime().AsTime()
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			took = append(took, event.GetEventTime().AsTime().Sub(scheduled))
		}
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// BenchmarkCall measures the call that costs Temporal least, the health check: an activity makes two calls, its poll and its report.
func BenchmarkCall(b *testing.B) {
	f := startFront(b, upstream(b))
	direct, through := dialDirect(b), f.client(b, Eagle)
	call := func(c client.Client) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				_, err := c.CheckHealth(b.Context(), &client.CheckHealthRequest{})
				require.NoError(b, err)
			}
		}
	}
	b.Run("direct", call(direct))
	b.Run("through", call(through))
}

func nothing(context.Context) error { return nil }

// repeat is a workflow that has the same activity done again and again. A task that a worker took while it stopped is soon given to the next.
func repeat(ctx workflow.Context, times int) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: EagleQueue, StartToCloseTimeout: 5 * time.Second})
	for range times {
		if err := workflow.ExecuteActivity(ctx, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}
