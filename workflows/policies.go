package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// Named policies: no workflow body holds a literal timeout. Times that depend on a size are computed from the listing, so that they are
// deterministic and visible in history.

const (
	// firstTry bounds the local-activity attempt of a small task. Longer than a small file takes on a bad line; shorter than
	// what an operator would want to see as pending in the Web UI.
	firstTry = 20 * time.Second
	// firstTryQueue is how long such an attempt may wait for a free slot of the worker: a busy worker is no failure.
	firstTryQueue = 10 * time.Minute
	// heartbeat is six missed beats (see activities): a killed worker costs that long, a slow step nothing.
	heartbeat = 30 * time.Second
	// transferFloor and extractFloor are the bytes per second that the slowest acceptable transfer and extraction make.
	transferFloor = 64 << 10
	extractFloor  = 1 << 20
	// eaglePatience is how long a decompression waits before it asks whether an eagle is there; the question is asked again after twice the time,
	// at most eagleRecheck: two days of waiting cost about two hundred checks in history.
	eaglePatience = 10 * time.Second
	eagleRecheck  = 15 * time.Minute
)

// Bounds of fan-outs.
const (
	// maxConnections bounds a server's downloads at a time whatever the plan says: commands per workflow task.
	maxConnections = 64
	// batchesInFlight keeps eagle's queue filled without scheduling a whole backlog at once.
	batchesInFlight = 16
	// maxBriefs caps lists of servers in results and query answers (256 KB payloads).
	maxBriefs = 100
	// maxRounds is how often a page is tried when staged data got lost: once more after a crash, then it is reported.
	maxRounds = 2
)

// firstTryOptions: one attempt in the worker that runs the workflow task. What fails here goes on as an ordinary activity, so that what is
// in trouble is what the Web UI shows as pending.
func firstTryOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: firstTryQueue,
		StartToCloseTimeout:    firstTry,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:                summary,
	})
}

// tigerCall: short work on tiger that talks to a server or to the disk. Few attempts: in 15 minutes the next run tries again.
func tigerCall(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              activities.TigerQueue,
		StartToCloseTimeout:    10 * time.Minute,
		ScheduleToCloseTimeout: 30 * time.Minute,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		Summary:                summary,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    time.Minute,
			MaximumAttempts:    3,
		},
	})
}

// tigerDuty: work on tiger that must be done for the books to be right (commit, seal, close), so it is tried for as long as a disk may take to be
// freed or a catalog to come back.
func tigerDuty(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              activities.TigerQueue,
		StartToCloseTimeout:    30 * time.Minute,
		ScheduleToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		Summary:                summary,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Minute,
		},
	})
}

// transfer: one file download; the time of an attempt follows from its size.
func transfer(ctx workflow.Context, summary string, size int64) workflow.Context {
	attempt := 10*time.Minute + time.Duration(size/transferFloor)*time.Second
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              activities.TigerQueue,
		StartToCloseTimeout:    attempt,
		ScheduleToCloseTimeout: 3 * attempt,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		Summary:                summary,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    2 * time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    time.Minute,
			MaximumAttempts:    5,
		},
	})
}

// extract: one batch on eagle's queue. It waits for an eagle as long as the business deadline; attempts are bounded, because a batch that kills
// eagle must not do so for two days.
func extract(ctx workflow.Context, summary string, size int64, deadline time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              activities.EagleQueue,
		StartToCloseTimeout:    30*time.Minute + time.Duration(size/extractFloor)*time.Second,
		ScheduleToCloseTimeout: deadline,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		Summary:                summary,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    2 * time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    5 * time.Minute,
			MaximumAttempts:    8,
		},
	})
}
