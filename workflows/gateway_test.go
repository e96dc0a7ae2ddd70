package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
)

// gatewayAway lets extractions fail as they do where the gateway is down, until it is back. The first failures come half a minute
// after their start, as an eagle's patience has it.
func (w *world) gatewayAway(name string, back time.Duration) {
	start := w.env.Now()
	on(w, func(activity.Info, activities.ExtractInput) error {
		if w.env.Now().Sub(start) < back {
			return slowly(30*time.Second, final(name))
		}
		return nil
	})
}

// TestWaitingForTheGateway: no archive is to blame when eagle cannot get at tiger's directories; they wait, one batch tries for all, and all
// go on when it is over.
func TestWaitingForTheGateway(t *testing.T) {
	for _, name := range []string{activities.StoreUnreachable, activities.StoreRefused, activities.StoreUntrusted, activities.StoreFull} {
		t.Run(name, func(t *testing.T) {
			w := withArchives(t, 40)
			w.batch, w.batches = 4, 100
			w.gatewayAway(name, 5*time.Hour)
			states := w.watchStates()
			var early, late string
			w.queryState(20*time.Second, &early)
			w.queryState(4*time.Hour, &late)
			w.execute(decompressionID, DecompressWorkflow, w.decompressInput())

			result := resultOf[DecompressResult](w)
			assert.Equal(t, []int{activities.Success, 40, 40}, []int{result.Result, result.Total, result.Succeeded})
			assert.Equal(t, []string{"extracting", "waiting-for-gateway"}, []string{early, late})
			assert.Equal(t, []string{"extracting", "waiting-for-gateway", "extracting", "done"}, *states)
			assert.Less(t, result.End.Sub(result.Start), 5*time.Hour+2*outageRecheck, "it goes on soon after")
			assert.Less(t, len(inputs[activities.ExtractInput](w)), 100, "five hours of ten batches do not fill a history")
		})
	}
}

// TestOneBatchThatNeverGetsThrough keeps no other from getting on, while the gateway is away and after it.
func TestOneBatchThatNeverGetsThrough(t *testing.T) {
	w := withArchives(t, 40)
	w.batch, w.batches = 2, 100
	on(w, func(_ activity.Info, in activities.ExtractInput) error {
		if has(in, 1) {
			return final(activities.StoreRefused)
		}
		return nil
	})
	w.gatewayAway(activities.StoreUnreachable, time.Hour)
	var done int
	w.env.RegisterDelayedCallback(func() { done = len(w.sealed) }, time.Hour+2*outageRecheck)
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	assert.Equal(t, 38, done, "the others are through long before the deadline")
	result := resultOf[DecompressResult](w)
	assert.Equal(t, []int{activities.Partial, 38, 2}, []int{result.Result, result.Succeeded, result.Failed})
	assert.Equal(t, []string{"store_refused", "store_refused", ""}, []string{w.sealed[1], w.sealed[2], w.sealed[3]})
	assert.Less(t, len(inputs[activities.ExtractInput](w)), 700, "two days of trying do not fill a history")
}

func TestGatewayAwayUntilTheDeadline(t *testing.T) {
	w := withArchives(t, 3)
	w.batch = 2
	w.gatewayAway(activities.StoreUnreachable, 1000*time.Hour)
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	result := resultOf[DecompressResult](w)
	assert.Equal(t, []int{activities.Failed, 3, 3}, []int{result.Result, result.Total, result.Failed})
	assert.Equal(t, map[int64]string{1: "store_unreachable", 2: "store_unreachable", 3: "store_unreachable"}, w.sealed)
	assert.InDelta(t, 48*time.Hour, result.End.Sub(result.Start), float64(10*time.Minute))
}

// TestWhatWasDeliveredBeforeAnOutageIsKept: only the rest is asked for when it is over, and at the deadline it is sealed all the same.
func TestWhatWasDeliveredBeforeAnOutageIsKept(t *testing.T) {
	for name, back := range map[string]time.Duration{"back": time.Hour, "never back": 1000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := withArchives(t, 3)
			start := w.env.Now()
			on(w, func(_ activity.Info, in activities.ExtractInput) error {
				if w.env.Now().Sub(start) >= back {
					return nil
				}
				var kept []activities.Delivery
				if has(in, 2) {
					kept = []activities.Delivery{{ID: 2, Dir: "extract/x/2"}}
				}
				return slowly(30*time.Second, temporal.NewNonRetryableApplicationError("away", activities.StoreUnreachable, nil, activities.Deliveries{Archives: kept}))
			})
			w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
			result := resultOf[DecompressResult](w)
			assert.Equal(t, 3, result.Total)
			assert.Empty(t, w.sealed[2])
			for _, in := range inputs[activities.ExtractInput](w)[1:] {
				assert.False(t, has(in, 2), "it is not done again")
			}
			if name == "back" {
				assert.Equal(t, activities.Success, result.Result)
			} else {
				assert.Equal(t, []string{"store_unreachable", "store_unreachable"}, []string{w.sealed[1], w.sealed[3]})
			}
		})
	}
}

// TestArchiveInTroubleDuringAnOutage: what brings eagle down is still found when the gateway is back, and the turn to try is passed on.
func TestArchiveInTroubleDuringAnOutage(t *testing.T) {
	w := withArchives(t, 6)
	w.batch = 2
	w.gatewayAway(activities.StoreUnreachable, time.Hour)
	on(w, func(_ activity.Info, in activities.ExtractInput) error {
		if has(in, 1) {
			return final(activities.ArchiveUnreadable)
		}
		return nil
	})
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	assert.Equal(t, activities.Partial, resultOf[DecompressResult](w).Result)
	assert.Equal(t, map[int64]string{1: "archive_unreadable", 2: "", 3: "", 4: "", 5: "", 6: ""}, w.sealed)
}

func TestCancelledWhileTheGatewayIsAway(t *testing.T) {
	w := withArchives(t, 6)
	w.batch = 1
	w.gatewayAway(activities.StoreUnreachable, 1000*time.Hour)
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, time.Hour)
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	assert.Empty(t, w.sealed)
	assert.Len(t, inputs[activities.CloseDecompressionInput](w), 1, "the stage is cleaned all the same")
}
