package activities

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
)

// beats runs work as an activity, in a bubble where time costs nothing, and returns its heartbeats: when they came, and their details.
func beats(t *testing.T, work func(ctx context.Context)) (times []time.Duration, details []Checkpoint) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		suite := &testsuite.WorkflowTestSuite{}
		suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
		env := suite.NewTestActivityEnvironment()
		start := time.Now()
		env.SetOnActivityHeartbeatListener(func(_ *activity.Info, values converter.EncodedValues) {
			var c Checkpoint
			require.NoError(t, values.Get(&c))
			times, details = append(times, time.Since(start)), append(details, c)
		})
		env.SetHeartbeatDetails(Checkpoint{Bytes: 5, Delivered: []Delivery{{ID: 1, Dir: "one"}}})
		activity := func(ctx context.Context) error {
			work(ctx)
			return context.DeadlineExceeded // a failed attempt sends what the SDK held back
		}
		env.RegisterActivity(activity)
		_, err := env.ExecuteActivity(activity)
		require.Error(t, err)
	})
	return times, details
}

func TestHeartbeatsCarryTheWholeCheckpoint(t *testing.T) {
	_, details := beats(t, func(ctx context.Context) {
		p := startProgress(ctx, lastCheckpoint(ctx))
		defer p.stop()
		time.Sleep(2*time.Minute + time.Second)
		p.bytes(70)
		time.Sleep(2*time.Minute + time.Second)
		p.delivered(ctx, Delivery{ID: 2, Dir: "two"})
	})
	require.Greater(t, len(details), 2)
	for i, c := range details {
		assert.NotEmpty(t, c.Delivered, "beat %d wiped what the attempt before had finished", i)
		assert.NotZero(t, c.Bytes)
	}
	want := Checkpoint{Bytes: 70, Delivered: []Delivery{{ID: 1, Dir: "one"}, {ID: 2, Dir: "two"}}}
	assert.Equal(t, want, details[len(details)-1], "the next attempt need not do it again")
}

func TestOneSlowStepDoesNotLookLikeADeadWorker(t *testing.T) {
	times, _ := beats(t, func(ctx context.Context) {
		p := startProgress(ctx, Checkpoint{})
		defer p.stop()
		time.Sleep(stallAfter - time.Second)
	})
	last := time.Duration(0)
	for _, at := range append(times, stallAfter) {
		assert.LessOrEqual(t, at-last, 35*time.Second, "silent from %s on", last)
		last = at
	}
}

func TestHeartbeatsEndWhenNothingMovesAtAll(t *testing.T) {
	times, _ := beats(t, func(ctx context.Context) {
		p := startProgress(ctx, Checkpoint{})
		defer p.stop()
		time.Sleep(time.Minute)
		p.bytes(1)
		<-ctx.Done() // the attempt's deadline
	})
	last := times[len(times)-1]
	assert.Greater(t, last, stallAfter, "it moved meanwhile")
	assert.Less(t, last, stallAfter+90*time.Second, "it was given up when it stood still")
}

func TestSnapshotIsACopy(t *testing.T) {
	p := &progress{checkpoint: Checkpoint{Delivered: make([]Delivery, 1, 10)}}
	snapshot := p.snapshot()
	p.checkpoint.Delivered[0].ID = 7
	assert.Equal(t, int64(0), snapshot.Delivered[0].ID, "a heartbeat is encoded while the work goes on")
}

func TestLocalActivitiesOnlyKeepCount(t *testing.T) {
	suite := &testsuite.WorkflowTestSuite{}
	env := suite.NewTestActivityEnvironment()
	result, err := env.ExecuteLocalActivity(func(ctx context.Context) (Checkpoint, error) {
		p := startProgress(ctx, lastCheckpoint(ctx))
		defer p.stop()
		p.bytes(9)
		return p.snapshot(), nil
	})
	require.NoError(t, err)
	var c Checkpoint
	require.NoError(t, result.Get(&c))
	assert.Equal(t, Checkpoint{Bytes: 9}, c)
}

func TestUnreadableCheckpointIsAsGoodAsNone(t *testing.T) {
	suite := &testsuite.WorkflowTestSuite{}
	env := suite.NewTestActivityEnvironment()
	env.SetHeartbeatDetails("of an older version")
	last := func(ctx context.Context) (Checkpoint, error) { return lastCheckpoint(ctx), nil }
	env.RegisterActivity(last)
	result, err := env.ExecuteActivity(last)
	require.NoError(t, err)
	var c Checkpoint
	require.NoError(t, result.Get(&c))
	assert.Equal(t, Checkpoint{}, c)
}

func TestADiskThatTakesGigabytesDoesNotLookLikeAStall(t *testing.T) {
	times, _ := beats(t, func(ctx context.Context) {
		p := startProgress(ctx, Checkpoint{})
		defer p.stop()
		p.bytes(10 << 30)
		p.rest()
		time.Sleep(stallAfter + 4*time.Minute) // the test's attempts have ten minutes
	})
	assert.Greater(t, times[len(times)-1], stallAfter+3*time.Minute)
}
