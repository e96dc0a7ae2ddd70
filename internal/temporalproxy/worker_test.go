package temporalproxy

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// work is a workflow that has an activity done on the eagles' queue.
func work(ctx workflow.Context, activityName string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: EagleQueue, StartToCloseTimeout: patience, HeartbeatTimeout: 20 * time.Second, WaitForCancellation: true,
		RetryPolicy: &sdktemporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 1, MaximumAttempts: 3},
	})
	var result string
	err := workflow.ExecuteActivity(ctx, activityName).Get(ctx, &result)
	return result, err
}

// runTiger runs a worker that knows the workflow, and returns its client.
func runTiger(t testing.TB, f *front) client.Client {
	t.Helper()
	tiger := f.client(t, Tiger)
	w := worker.New(tiger, activities.TigerQueue, worker.Options{})
	w.RegisterWorkflow(work)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return tiger
}

// runEagle runs a worker that serves one activity.
func runEagle(t testing.TB, f *front, name string, do any) {
	t.Helper()
	w := worker.New(f.client(t, Eagle), EagleQueue, worker.Options{
		DisableWorkflowWorker: true, MaxHeartbeatThrottleInterval: 20 * time.Millisecond, DefaultHeartbeatThrottleInterval: 20 * time.Millisecond,
	})
	w.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// begin starts the workflow for one activity, as the starter does.
func begin(t testing.TB, c client.Client, name string) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: t.Name(), TaskQueue: activities.TigerQueue}, work, name)
	require.NoError(t, err)
	return run
}

func TestQueueIsTheEagles(t *testing.T) {
	assert.Equal(t, activities.EagleQueue, EagleQueue)
}

// TestHostsWorkThroughTheFront has each role do its part: one activity that sends its progress, fails, and goes on from there.
func TestHostsWorkThroughTheFront(t *testing.T) {
	f := startFront(t, upstream(t))
	runTiger(t, f)
	runEagle(t, f, "extract", func(ctx context.Context) (string, error) {
		if !activity.HasHeartbeatDetails(ctx) {
			activity.RecordHeartbeat(ctx, "half")
			return "", errors.New("try again")
		}
		var checkpoint string
		err := activity.GetHeartbeatDetails(ctx, &checkpoint)
		return checkpoint + " and half", err
	})
	starter := f.client(t, Starter)
	var result string
	require.NoError(t, begin(t, starter, "extract").Get(t.Context(), &result))
	assert.Equal(t, "half and half", result)
	assert.False(t, strings.Contains(f.log.String(), "refused"), "a worker of the SDK does nothing that is refused")
}

func TestCancellationReachesTheEagle(t *testing.T) {
	f := startFront(t, upstream(t))
	tiger := runTiger(t, f)
	started := make(chan struct{})
	runEagle(t, f, "wait", func(ctx context.Context) error {
		close(started)
		for ctx.Err() == nil {
			activity.RecordHeartbeat(ctx, "waiting")
			time.Sleep(10 * time.Millisecond)
		}
		return ctx.Err()
	})
	run := begin(t, tiger, "wait")
	<-started
	require.NoError(t, tiger.CancelWorkflow(t.Context(), run.GetID(), run.GetRunID()))
	var canceled *sdktemporal.CanceledError
	require.ErrorAs(t, run.Get(t.Context(), nil), &canceled)
}

// TestRestartInMidActivity restarts the front while an eagle is at work: it goes on with its first attempt.
func TestRestartInMidActivity(t *testing.T) {
	f := startFront(t, upstream(t))
	direct := dialDirect(t)
	w := worker.New(direct, activities.TigerQueue, worker.Options{})
	w.RegisterWorkflow(work)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	var attempts atomic.Int32
	started, restarted, finish := make(chan struct{}), make(chan struct{}), make(chan struct{})
	runEagle(t, f, "long", func(ctx context.Context) (string, error) {
		attempts.Add(1)
		close(started)
		<-restarted
		activity.RecordHeartbeat(ctx, "after the restart")
		<-finish
		return "done", ctx.Err()
	})
	run := begin(t, direct, "long")
	<-started
	f.stop(t)
	f.start(t)
	close(restarted)

	eventually(t, func() bool {
		state, err := direct.DescribeWorkflowExecution(t.Context(), run.GetID(), run.GetRunID())
		require.NoError(t, err)
		pending := state.GetPendingActivities()
		return len(pending) == 1 && len(pending[0].GetHeartbeatDetails().GetPayloads()) == 1
	}, "a heartbeat arrives with the token from before the restart")
	close(finish)
	var result string
	require.NoError(t, run.Get(t.Context(), &result))
	assert.Equal(t, "done", result)
	assert.EqualValues(t, 1, attempts.Load())
	assert.False(t, strings.Contains(f.log.String(), "refused"))
}

// dialDirect connects to Temporal itself.
func dialDirect(t testing.TB) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: upstream(t), Logger: quiet()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// TestVersionsThroughTheFront: an eagle may be a version of the eagles' deployment, and whoever may start runs may make it the current one.
func TestVersionsThroughTheFront(t *testing.T) {
	temporal, err := startTemporal(t.Context(), t.TempDir(), "") // one of its own: where there are versions, other workers get no work
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, temporal.Stop()) })
	f := startFront(t, temporal.Address())
	runTiger(t, f)
	w := worker.New(f.client(t, Eagle), EagleQueue, worker.Options{DisableWorkflowWorker: true, DeploymentOptions: worker.DeploymentOptions{
		UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: EagleQueue, BuildID: "v1"},
		DefaultVersioningBehavior: workflow.VersioningBehaviorPinned,
	}})
	w.RegisterActivityWithOptions(func() (string, error) { return "v1", nil }, activity.RegisterOptions{Name: "extract"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	starter := f.client(t, Starter)
	require.Eventually(t, func() bool {
		_, err := starter.WorkerDeploymentClient().GetHandle(EagleQueue).SetCurrentVersion(t.Context(),
			client.WorkerDeploymentSetCurrentVersionOptions{BuildID: "v1"})
		return err == nil
	}, patience, 50*time.Millisecond, "it has polled")
	var result string
	require.NoError(t, begin(t, starter, "extract").Get(t.Context(), &result))
	assert.Equal(t, "v1", result)
	assert.False(t, strings.Contains(f.log.String(), "refused"), f.log.String())
}
