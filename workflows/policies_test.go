package workflows

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// options are what workflows asked for, by the type of the activity or child: neither an activity nor a replay gets to see all of it.
type options struct {
	interceptor.WorkerInterceptorBase
	activities map[string]workflow.ActivityOptions
	local      map[string]workflow.LocalActivityOptions
	children   map[string]workflow.ChildWorkflowOptions
}

func newOptions() *options {
	return &options{
		activities: map[string]workflow.ActivityOptions{}, local: map[string]workflow.LocalActivityOptions{},
		children: map[string]workflow.ChildWorkflowOptions{},
	}
}

type (
	optionsInbound struct {
		interceptor.WorkflowInboundInterceptorBase
		seen *options
	}
	optionsOutbound struct {
		interceptor.WorkflowOutboundInterceptorBase
		seen *options
	}
)

func (o *options) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &optionsInbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, o}
}

func (i *optionsInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return i.Next.Init(&optionsOutbound{interceptor.WorkflowOutboundInterceptorBase{Next: next}, i.seen})
}

func (o *optionsOutbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	o.seen.activities[name] = workflow.GetActivityOptions(ctx)
	return o.Next.ExecuteActivity(ctx, name, args...)
}

func (o *optionsOutbound) ExecuteLocalActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	o.seen.local[name] = workflow.GetLocalActivityOptions(ctx)
	return o.Next.ExecuteLocalActivity(ctx, name, args...)
}

func (o *optionsOutbound) ExecuteChildWorkflow(ctx workflow.Context, name string, args ...any) workflow.ChildWorkflowFuture {
	o.seen.children[name] = workflow.GetChildWorkflowOptions(ctx)
	return o.Next.ExecuteChildWorkflow(ctx, name, args...)
}

// onQueues collects a server of two files, reports on it and probes it; every local attempt fails, so that everything runs on a queue.
func onQueues(t *testing.T) *world {
	w := newWorld(t)
	w.plan.Settings.SearchAttributes = true
	w.add("a", 1, append(sized(small, "1.zip"), sized(256<<20, "2.csv")...)...)
	w.faults = append(w.faults, func(info activity.Info, _ any) error {
		if info.IsLocalActivity {
			return retryable(activities.DiskFull)
		}
		return nil
	})
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Equal(t, activities.Success, resultOf[CollectResult](w).Result)
	w.newEnv()
	w.execute(ReportID("collect/k", "n"), ReportWorkflow, activities.ReportInput{})
	require.NoError(t, w.env.GetWorkflowError())
	for _, in := range lookups {
		w.newEnv()
		w.execute(LookupID(in.What(), "n"), LookupWorkflow, in)
		require.NoError(t, w.env.GetWorkflowError())
	}
	w.newEnv()
	w.execute(ProbeID("k", 1), ProbeWorkflow, ProbeInput{})
	require.NoError(t, w.env.GetWorkflowError())
	w.newEnv()
	w.execute(VerifyID("k"), VerifyWorkflow, VerifyInput{Verified: true, After: 8})
	require.NoError(t, w.env.GetWorkflowError())
	w.newEnv()
	w.execute(VerifyID("k"), VerifyWorkflow, VerifyInput{From: activities.VerifyCursor{ID: 2}})
	require.NoError(t, w.env.GetWorkflowError())
	w.newEnv()
	w.execute(FindingsID("verify/k", "n"), FindingsWorkflow, activities.FindingsInput{Verification: "verify/k"})
	require.NoError(t, w.env.GetWorkflowError())
	w.newEnv()
	w.execute(CleanID("k"), CleanWorkflow, CleanInput{From: activities.VerifyCursor{Phase: 2}})
	require.NoError(t, w.env.GetWorkflowError())
	w.newEnv()
	w.execute(ForgetID("n"), ForgetWorkflow, activities.ForgetInput{Files: []string{"a.zip"}})
	require.NoError(t, w.env.GetWorkflowError())
	return w
}

// TestEveryActivityOnItsQueue: checkPolicy has looked at each call; here are those that depend on what there is to do.
func TestEveryActivityOnItsQueue(t *testing.T) {
	w := onQueues(t)
	var names []string
	for _, c := range w.calls {
		if !c.IsLocalActivity {
			names = append(names, c.ActivityType.Name)
		}
		if in, ok := c.in.(activities.DownloadInput); ok && in.Name == "2.csv" {
			assert.Equal(t, 10*time.Minute+4096*time.Second, c.StartToCloseTimeout, "the slowest line moves 64 KiB a second")
		}
		if c.ActivityType.Name == "ExtractArchives" {
			assert.Equal(t, 48*time.Hour, c.ScheduleToCloseTimeout, "the business deadline")
		}
	}
	want := slices.DeleteFunc(append(methods(tiger), methods(eagle)...), func(name string) bool { return name == "FindEagle" })
	slices.Sort(want)
	slices.Sort(names)
	assert.Equal(t, want, slices.Compact(names))
}

func TestRetriesAreBoundedByAttemptsOrByTime(t *testing.T) {
	w := onQueues(t)
	attempts := map[string]int32{}
	for name, o := range w.options.activities {
		attempts[name] = o.RetryPolicy.MaximumAttempts
		assert.True(t, o.WaitForCancellation, "%s: what was cancelled must have ended before its traces are removed", name)
		assert.NotEmpty(t, o.Summary, "%s shows in the Web UI what it is about", name)
	}
	const untilTheDeadline = 0
	assert.Equal(t, map[string]int32{
		"PlanRun": 3, "ListServer": 3, "PlanExtraction": 3, "ReadReport": 3, "ReadServers": 3, "ReadRuns": 3, "ReadFiles": 3, "ForgetFiles": 3,
		"ReadFindings": 3, "PlanProbe": 3, "ProbeServer": 2, "DownloadFile": 5, "ExtractArchives": 8,
		"CommitServer": untilTheDeadline, "VerifyFiles": untilTheDeadline, "CleanWarehouse": untilTheDeadline, "MendFindings": untilTheDeadline,
		"CloseRun": untilTheDeadline, "SealArchives": untilTheDeadline, "CloseDecompression": untilTheDeadline,
	}, attempts)
	for name, o := range w.options.local {
		assert.EqualValues(t, 1, o.RetryPolicy.MaximumAttempts, "%s: a second attempt belongs where one can see it", name)
		assert.Equal(t, firstTry, o.StartToCloseTimeout, name)
		assert.Equal(t, firstTryQueue, o.ScheduleToCloseTimeout, name)
	}
}

func TestChildrenOutliveTheirParents(t *testing.T) {
	w := onQueues(t)
	assert.ElementsMatch(t, []string{"CollectServerWorkflow", "DecompressWorkflow"}, slices.Collect(maps.Keys(w.options.children)))
	for name, o := range w.options.children {
		assert.Equal(t, enumspb.PARENT_CLOSE_POLICY_ABANDON, o.ParentClosePolicy, name)
		assert.NotEmpty(t, o.StaticSummary, name)
		server, _ := o.TypedSearchAttributes.GetKeyword(AttributeServer)
		run, _ := o.TypedSearchAttributes.GetKeyword(AttributeRun)
		state, _ := o.TypedSearchAttributes.GetKeyword(AttributeState)
		assert.Equal(t, []string{"a", "collect/k"}, []string{server, run}, name)
		assert.NotEmpty(t, state, name)
	}
	assert.True(t, w.options.children["CollectServerWorkflow"].WaitForCancellation, "its books must be closed before the run's")
}

func TestShardsEndWithTheirRun(t *testing.T) {
	w, _ := shardedWorld(t)
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	shard := w.options.children["CollectWorkflow"]
	assert.Equal(t, enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL, shard.ParentClosePolicy)
	assert.True(t, shard.WaitForCancellation)
	assert.Zero(t, w.options.children["CollectServerWorkflow"].TypedSearchAttributes.Size(), "not where the server does not know them")
}

// TestTimeToSealFollowsFromWhatWasDelivered: half an hour is not enough for a bundle of hundreds of gigabytes, however often it is tried.
func TestTimeToSealFollowsFromWhatWasDelivered(t *testing.T) {
	of := func(bytes ...int64) time.Duration {
		var deliveries []activities.Delivery
		for _, n := range bytes {
			deliveries = append(deliveries, activities.Delivery{Bytes: n})
		}
		return sealTime(deliveries)
	}
	assert.Equal(t, 30*time.Minute, of(0, 5, -1<<62))
	assert.Equal(t, 30*time.Minute+2*8192*time.Second, of(64<<30, 64<<30))
	assert.Equal(t, dutyTime, of(1<<62, 1<<62, 1<<62))
}
