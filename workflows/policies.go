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
	extractFloor  = 256 << 10
	// sealFloor is the same for what tiger writes, many small files, say; mostSealed is what it writes at that rate in dutyTime.
	sealFloor  = 8 << 20
	mostSealed = sealFloor * int64(dutyTime/time.Second)
	// dutyTime is how long tiger tries what must be done.
	dutyTime = 24 * time.Hour
	// longestRead is how long a page of a verification may take with all its attempts.
	longestRead = 7 * 24 * time.Hour
	// eaglePatience is how long a decompression waits before it asks whether an eagle is there; the question is asked again after twice the time,
	// at most eagleRecheck: two days of waiting cost about two hundred checks in history.
	eaglePatience = 10 * time.Second
	eagleRecheck  = 15 * time.Minute
	// outagePause is how long a decompression rests when no eagle can get at tiger's directories; each further rest takes twice as long, at
	// most outageRecheck. One batch tries for all: two days without a gateway are about six thousand entries in history.
	outagePause   = 10 * time.Second
	outageRecheck = 5 * time.Minute
	// lastChance is what a batch gets that is scheduled after its deadline: an eagle that is there can still take it.
	lastChance = time.Minute
)

// Bounds of fan-outs.
const (
	// maxConnections bounds a server's downloads at a time whatever the plan says: commands per workflow task.
	maxConnections = 64
	// batchesInFlight keeps eagle's queue filled without scheduling a whole backlog at once.
	batchesInFlight = 16
	// maxProbes is how many servers of a page are probed at a time: a probe holds as many sessions as a collection of its server.
	maxProbes = 16
	// maxBriefs caps lists of servers in results and query answers (256 KB payloads).
	maxBriefs = 100
	// maxFetched is how many servers a verification names to collect from: more of them are a collection of all.
	maxFetched = 1000
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
		Summary:                Summary(summary),
	})
}

// tigerCall: short work on tiger that talks to a server or to the disk. Few attempts: in 15 minutes the next run tries again.
func tigerCall(ctx workflow.Context, summary string) workflow.Context {
	return ordinary(ctx, activities.TigerQueue, summary, 10*time.Minute, 30*time.Minute, backoff(time.Second, time.Minute, 3))
}

// probe: one server. What the server does is a result and any error of the activity is final, so that nothing hammers an account: the second attempt
// is there for a worker that died. The time is that of a listing with a million entries.
func probe(ctx workflow.Context, summary string) workflow.Context {
	return ordinary(ctx, activities.TigerQueue, summary, 10*time.Minute, 25*time.Minute, backoff(time.Second, time.Minute, 2))
}

// tigerDuty: work on tiger that must be done for the books to be right (commit, seal, close), so it is tried for as long as a disk may take to be
// freed or a catalog to come back.
func tigerDuty(ctx workflow.Context, summary string) workflow.Context {
	return ordinary(ctx, activities.TigerQueue, summary, 30*time.Minute, dutyTime, backoff(time.Second, 5*time.Minute, unlimited))
}

// reading: a page of work that reads what lies on disk, which one huge file at a low rate may make last for hours. It goes on where the attempt before
// stopped, so that its attempts are many: each is a worker that ended.
func reading(ctx workflow.Context, summary string) workflow.Context {
	return ordinary(ctx, activities.TigerQueue, summary, dutyTime, longestRead, backoff(time.Second, 5*time.Minute, unlimited))
}

// sealing: tigerDuty for deliveries. The time of an attempt follows from what they hold, for the files of a bundle are written, and those from a
// mount of another host read. What eagle says of that is not checked yet.
func sealing(deliveries []activities.Delivery) policy {
	return func(ctx workflow.Context, summary string) workflow.Context {
		return ordinary(ctx, activities.TigerQueue, summary, sealTime(deliveries), dutyTime, backoff(time.Second, 5*time.Minute, unlimited))
	}
}

func sealTime(deliveries []activities.Delivery) time.Duration {
	attempt := 30 * time.Minute
	for _, d := range deliveries {
		attempt += time.Duration(min(max(d.Bytes, 0), mostSealed)/sealFloor) * time.Second
	}
	return min(attempt, dutyTime)
}

// transfer: one file download; the time of an attempt follows from its size.
func transfer(ctx workflow.Context, summary string, size int64) workflow.Context {
	attempt := 10*time.Minute + time.Duration(size/transferFloor)*time.Second
	return ordinary(ctx, activities.TigerQueue, summary, attempt, 3*attempt, backoff(2*time.Second, time.Minute, 5))
}

// extract: one batch on eagle's queue. It waits for an eagle as long as the business deadline; attempts are bounded, because a batch that kills
// eagle must not do so for two days.
func extract(ctx workflow.Context, summary string, size int64, deadline time.Duration) workflow.Context {
	attempt := min(30*time.Minute+time.Duration(size/extractFloor)*time.Second, deadline)
	return ordinary(ctx, activities.EagleQueue, summary, attempt, deadline, backoff(2*time.Second, 5*time.Minute, 8))
}

// ordinary makes the options of an activity on a queue: attempt and total bound one try and all of them together.
func ordinary(ctx workflow.Context, queue, summary string, attempt, total time.Duration, retry *temporal.RetryPolicy) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              queue,
		StartToCloseTimeout:    attempt,
		ScheduleToCloseTimeout: total,
		HeartbeatTimeout:       heartbeat,
		WaitForCancellation:    true,
		Summary:                Summary(summary),
		RetryPolicy:            retry,
	})
}

// unlimited attempts: only the total time ends them.
const unlimited = 0

// backoff doubles the pause between attempts from initial to ceiling.
func backoff(initial, ceiling time.Duration, attempts int32) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: initial, BackoffCoefficient: 2, MaximumInterval: ceiling, MaximumAttempts: attempts}
}
