package workflows

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

const decompressionID = "decompress/k/a"

// withArchives is a world in which n archives (IDs 1 to n) wait for the decompression with decompressionID.
func withArchives(t *testing.T, n int) *world {
	w := newWorld(t)
	for i := range n {
		w.archives[decompressionID] = append(w.archives[decompressionID],
			activities.ArchiveRef{ID: int64(i + 1), Path: fmt.Sprintf("a/%d.zip", i+1), Size: small})
	}
	return w
}

func (w *world) decompressInput() DecompressInput {
	return DecompressInput{
		ZipDir: "/data/zip", UnzipDir: "/data/unzip", Server: "a", Run: CollectID("k"), Archives: len(w.archives[decompressionID]),
		Deadline: 48 * time.Hour, SearchAttributes: true,
	}
}

// has reports whether an archive is in a batch.
func has(in activities.ExtractInput, id int64) bool {
	return slices.ContainsFunc(in.Batch.Archives, func(a activities.ArchiveRef) bool { return a.ID == id })
}

func TestDecompress(t *testing.T) {
	w := withArchives(t, 5)
	w.batch = 2
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())

	result := resultOf[DecompressResult](w)
	assert.Equal(t, DecompressResult{Total: 5, Succeeded: 5, Files: 10, Bytes: 50, Start: result.Start, End: result.End}, result)
	assert.Len(t, w.sealed, 5)
	assert.Len(t, inputs[activities.ExtractInput](w), 3)
	assert.Equal(t, activities.ExtractionInput{Decompression: decompressionID, ZipDir: "/data/zip", UnzipDir: "/data/unzip"},
		inputs[activities.ExtractionInput](w)[0])
	assert.Equal(t, []activities.CloseDecompressionInput{{Decompression: decompressionID, Start: result.Start}},
		inputs[activities.CloseDecompressionInput](w))
}

func TestDecompressNothing(t *testing.T) {
	w := withArchives(t, 0)
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	assert.Equal(t, activities.Success, resultOf[DecompressResult](w).Result)
	assert.Len(t, inputs[activities.CloseDecompressionInput](w), 1)
}

func TestBatchesInFlightAreBounded(t *testing.T) {
	w := withArchives(t, batchesInFlight+5)
	w.batch, w.batches = 1, 100
	on(w, func(activity.Info, activities.ExtractInput) error { return slowly(time.Minute, nil) })
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	result := resultOf[DecompressResult](w)
	assert.Equal(t, batchesInFlight, w.peak[gauge(activities.ExtractInput{})])
	assert.Equal(t, 2*time.Minute, result.End.Sub(result.Start))
}

func TestNextPageOfADecompressionKnowsWhatItMust(t *testing.T) {
	w := withArchives(t, 5)
	w.batch, w.batches = 1, 2
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())

	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.env.GetWorkflowError(), &again)
	var next DecompressInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &next))
	assert.False(t, next.Start.IsZero())
	want := w.decompressInput()
	want.After, want.Totals, want.Start = 2, activities.SealResult{Succeeded: 2, Files: 4, Bytes: 20}, next.Start
	assert.Equal(t, want, next)
	assert.Empty(t, inputs[activities.CloseDecompressionInput](w), "it goes on")
}

// sameID starts a DecompressWorkflow as a child, because the environment continues only children as new.
func sameID(ctx workflow.Context, in DecompressInput) (DecompressResult, error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: decompressionID})
	var result DecompressResult
	err := workflow.ExecuteChildWorkflow(ctx, DecompressWorkflow, in).Get(ctx, &result)
	return result, err
}

func TestPagesOfADecompressionOfItsOwn(t *testing.T) {
	w := withArchives(t, 5)
	w.batch, w.batches = 1, 2
	on(w, func(_ activity.Info, in activities.ExtractInput) error {
		if has(in, 1) {
			return final(activities.ArchiveUnreadable)
		}
		return slowly(time.Minute, nil)
	})
	w.execute("parent", sameID, DecompressInput{ZipDir: "/in", UnzipDir: "/out", Own: true, Recursive: true})

	result := resultOf[DecompressResult](w)
	assert.Equal(t, []int{activities.Partial, 5, 4, 1}, []int{result.Result, result.Total, result.Succeeded, result.Failed})
	assert.Equal(t, 3*time.Minute, result.End.Sub(result.Start), "it began with its first page")
	plans := inputs[activities.ExtractionInput](w)
	require.Len(t, plans, 3)
	for i, plan := range plans {
		assert.Equal(t, activities.ExtractionInput{
			Decompression: decompressionID, ZipDir: "/in", UnzipDir: "/out", Recursive: true, Scan: i == 0, After: int64(2 * i),
		}, plan, "only the first page scans the directory")
	}
	var left []time.Duration
	for _, c := range w.calls {
		if c.ActivityType.Name == "ExtractArchives" {
			left = append(left, c.ScheduleToCloseTimeout)
		}
	}
	assert.Equal(t, 24*time.Hour, slices.Max(left), "its deadline comes with its plan")
	assert.Equal(t, 24*time.Hour-2*time.Minute, slices.Min(left), "and counts from its start, not anew on each page")
	ends := inputs[activities.CloseDecompressionInput](w)
	require.Len(t, ends, 1)
	assert.True(t, ends[0].Own)
	assert.Equal(t, activities.Partial, ends[0].Result)
}

func TestDirectoryThatCannotBePlannedFailsTheDecompression(t *testing.T) {
	w := withArchives(t, 0)
	on(w, func(activity.Info, activities.ExtractionInput) error { return final(activities.DirectoryMissing) })
	w.execute(decompressionID, DecompressWorkflow, DecompressInput{ZipDir: "/nowhere", Own: true})
	reason, _ := activities.ReasonOf(w.env.GetWorkflowError())
	assert.Equal(t, "directory_missing", reason)
}

// watchStates notes the values that the search attribute TalonState is given.
func (w *world) watchStates() *[]string {
	var states []string
	w.env.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		if state, ok := args.Get(0).(temporal.SearchAttributes).GetKeyword(AttributeState); ok {
			states = append(states, state)
		}
	}).Return(nil)
	return &states
}

// queryState asks for the state at a time after the start.
func (w *world) queryState(after time.Duration, state *string) {
	w.env.RegisterDelayedCallback(func() {
		value, err := w.env.QueryWorkflow(ProgressQuery, 0)
		require.NoError(w.t, err)
		var p Progress
		require.NoError(w.t, value.Get(&p))
		*state = p.State
	}, after)
}

func TestWaitingForEagleIsShown(t *testing.T) {
	w := withArchives(t, 2)
	w.eagle = false
	on(w, func(activity.Info, activities.ExtractInput) error { return slowly(3*time.Hour, nil) })
	states := w.watchStates()
	var before, waiting, back string
	w.queryState(eaglePatience/2, &before)
	w.queryState(time.Hour, &waiting)
	w.env.RegisterDelayedCallback(func() { w.eagle = true }, 2*time.Hour)
	w.queryState(2*time.Hour+eagleRecheck, &back)
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())

	assert.Equal(t, activities.Success, resultOf[DecompressResult](w).Result)
	assert.Equal(t, []string{"extracting", "waiting-for-eagle", "extracting"}, []string{before, waiting, back})
	assert.Equal(t, []string{"extracting", "waiting-for-eagle", "extracting", "done"}, *states)
	assert.Less(t, len(inputs[findEagle](w)), 25, "three hours of waiting do not fill a history")
}

func TestFinishedExtractionEndsTheWaitByItself(t *testing.T) {
	w := withArchives(t, 2)
	w.batch = 1
	w.eagle = false // its poll is not seen in time
	on(w, func(_ activity.Info, in activities.ExtractInput) error {
		return slowly(time.Duration(in.Batch.Archives[0].ID)*eagleRecheck/4, nil)
	})
	states := w.watchStates()
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	assert.Equal(t, activities.Success, resultOf[DecompressResult](w).Result)
	assert.Equal(t, []string{"extracting", "waiting-for-eagle", "extracting"}, (*states)[:3])
	assert.Equal(t, "done", (*states)[len(*states)-1])
}

func TestStateIsNotSetWhereTheServerDoesNotKnowIt(t *testing.T) {
	w := withArchives(t, 1)
	states := w.watchStates()
	in := w.decompressInput()
	in.SearchAttributes = false
	w.execute(decompressionID, DecompressWorkflow, in)
	assert.Equal(t, activities.Success, resultOf[DecompressResult](w).Result)
	assert.Empty(t, *states)
}

// TestNoEagleBeforeTheDeadline: without a ScheduleToStart timeout the server takes ScheduleToClose for it, and when both are due
// it reports ScheduleToStart; ScheduleToClose comes after an attempt.
func TestNoEagleBeforeTheDeadline(t *testing.T) {
	for _, kind := range []enumspb.TimeoutType{enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE} {
		t.Run(kind.String(), func(t *testing.T) {
			w := withArchives(t, 3)
			w.eagle = false
			on(w, func(info activity.Info, _ activities.ExtractInput) error {
				return slowly(info.ScheduleToCloseTimeout, temporal.NewTimeoutError(kind, nil))
			})
			w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
			result := resultOf[DecompressResult](w)
			assert.Equal(t, []int{activities.Failed, 3, 3}, []int{result.Result, result.Total, result.Failed})
			assert.Equal(t, 48*time.Hour, result.End.Sub(result.Start), "nobody waits for a second deadline")
			assert.Len(t, inputs[activities.ExtractInput](w), 1)
			assert.Equal(t, map[int64]string{1: "no_eagle", 2: "no_eagle", 3: "no_eagle"}, w.sealed)
		})
	}
}

func TestOneBadArchiveDoesNotTakeItsNeighboursWithIt(t *testing.T) {
	for reason, fault := range map[string]error{
		"archive_unreadable": retryable(activities.ArchiveUnreadable),
		"timeout":            slowly(time.Minute, temporal.NewHeartbeatTimeoutError()), // it brings eagle down
	} {
		t.Run(reason, func(t *testing.T) {
			w := withArchives(t, 4)
			on(w, func(_ activity.Info, in activities.ExtractInput) error {
				if has(in, 2) {
					return fault
				}
				return nil
			})
			w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
			result := resultOf[DecompressResult](w)
			assert.Equal(t, []int{activities.Partial, 3, 1}, []int{result.Result, result.Succeeded, result.Failed})
			assert.Equal(t, map[int64]string{1: "", 2: reason, 3: "", 4: ""}, w.sealed)
			alone := map[int64]int{}
			for _, in := range inputs[activities.ExtractInput](w) {
				if len(in.Batch.Archives) == 1 {
					alone[in.Batch.Archives[0].ID]++
				}
			}
			assert.Equal(t, []int{1, 1, 1}, []int{alone[1], alone[3], alone[4]})
			assert.LessOrEqual(t, alone[2], 8, "an archive that kills eagle must not do so for two days")
			assert.Len(t, inputs[activities.SealInput](w), 1)
		})
	}
}

func TestDamagedDeliveriesAreExtractedAgainOnce(t *testing.T) {
	w := withArchives(t, 3)
	w.damages = map[int64]int{1: 1, 2: 99}
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	result := resultOf[DecompressResult](w)
	assert.Equal(t, []int{activities.Partial, 3, 2, 1}, []int{result.Result, result.Total, result.Succeeded, result.Failed})
	assert.Equal(t, map[int64]string{1: "", 2: "damaged_in_stage", 3: ""}, w.sealed)
	assert.Len(t, inputs[activities.ExtractInput](w), 2)
	seals := inputs[activities.SealInput](w)
	require.Len(t, seals, 2)
	assert.Equal(t, []bool{false, true}, []bool{seals[0].LastRound, seals[1].LastRound})
	assert.Len(t, seals[1].Deliveries, 2, "only what was damaged")
}

func TestCancelledDecompression(t *testing.T) {
	for name, test := range map[string]struct {
		after   time.Duration
		batches int // on a page
		result  int
		sealed  map[int64]string
	}{
		"with nothing done":     {after: 30 * time.Second, batches: 9, result: activities.Failed, sealed: map[int64]string{}},
		"with one done":         {after: 90 * time.Second, batches: 9, result: activities.Partial, sealed: map[int64]string{1: ""}},
		"with another page due": {after: 30 * time.Second, batches: 1, result: activities.Failed, sealed: map[int64]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := withArchives(t, 2)
			w.batch, w.batches = 1, test.batches
			on(w, func(_ activity.Info, in activities.ExtractInput) error {
				return slowly(time.Duration(in.Batch.Archives[0].ID)*time.Minute, nil)
			})
			w.env.RegisterDelayedCallback(w.env.CancelWorkflow, test.after)
			w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
			assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
			assert.Equal(t, test.sealed, w.sealed)
			ends := inputs[activities.CloseDecompressionInput](w)
			require.Len(t, ends, 1, "the stage is cleaned all the same")
			assert.Equal(t, "cancelled", ends[0].Reason)
			assert.Equal(t, test.result, ends[0].Result, "what was not done is no success")
		})
	}
}

func TestCancelledDecompressionKeepsWhatWasDelivered(t *testing.T) {
	w := withArchives(t, 2)
	on(w, func(_ activity.Info, in activities.ExtractInput) error {
		switch {
		case len(in.Batch.Archives) == 2:
			return final(activities.ArchiveUnreadable) // so it is divided
		case has(in, 2):
			return slowly(time.Hour, nil)
		}
		return nil
	})
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, time.Minute)
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	assert.Equal(t, map[int64]string{1: ""}, w.sealed)
}

func TestCancellationWhilePlanning(t *testing.T) {
	w := withArchives(t, 2)
	on(w, func(info activity.Info, _ activities.ExtractionInput) error { return slowOnQueue(info, time.Hour) })
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, time.Minute)
	w.execute(decompressionID, DecompressWorkflow, DecompressInput{ZipDir: "/in", UnzipDir: "/out", Own: true})
	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	assert.Len(t, inputs[activities.CloseDecompressionInput](w), 1, "its run does not stay open in the catalog")
	assert.Empty(t, inputs[activities.ExtractInput](w))
}
