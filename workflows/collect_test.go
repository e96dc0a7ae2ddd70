package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// children notes the IDs of the children that start, by workflow type, and calls seen with each.
func (w *world) children(seen func(info *workflow.Info, args converter.EncodedValues)) map[string][]string {
	ids := map[string][]string{}
	w.env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, args converter.EncodedValues) {
		name := info.WorkflowType.Name
		ids[name] = append(ids[name], info.WorkflowExecution.ID)
		if seen != nil {
			seen(info, args)
		}
	})
	return ids
}

// briefs are the reasons of the servers that a result tells of.
func briefs(result CollectResult) map[string]string {
	reasons := map[string]string{}
	for _, b := range result.Failures {
		reasons[b.Server] = fmt.Sprintf("%d %s", b.Result, b.Reason)
	}
	return reasons
}

// unwritten are the rows that the run writes itself, by server.
func (w *world) unwritten() map[string]string {
	reasons := map[string]string{}
	for _, in := range inputs[activities.CloseRunInput](w) {
		for _, row := range in.Servers {
			reasons[row.Server] = fmt.Sprintf("%d %s", row.Result, row.Reason)
		}
	}
	return reasons
}

func threeServers(t *testing.T) *world {
	w := newWorld(t)
	w.add("a", 2, sized(small, "1.zip", "2.zip", "3.csv")...)
	w.add("b", 2, sized(large, "1.zip")...)
	w.add("c", 2)
	w.servers["c"].unchanged = 7
	return w
}

func TestCollectGood(t *testing.T) {
	w := threeServers(t)
	ids := w.children(nil)
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})

	result := resultOf[CollectResult](w)
	assert.Equal(t, "collect/k", result.Run)
	assert.Equal(t, activities.Success, result.Result)
	assert.Equal(t, []int{3, 3, 0}, []int{result.Servers, result.Good, result.Bad})
	assert.Equal(t, activities.Books{Listed: 11, Unchanged: 7, Collected: 4, Bytes: 3*small + large}, result.Books)
	assert.Empty(t, result.Failures)
	assert.ElementsMatch(t, []Decompressions{{Server: "a", Count: 1, Archives: 2}, {Server: "b", Count: 1, Archives: 1}}, result.Decompressions)
	assert.ElementsMatch(t, []string{"server/a", "server/b", "server/c"}, ids["CollectServerWorkflow"])
	assert.ElementsMatch(t, []string{"decompress/k/a", "decompress/k/b"}, ids["DecompressWorkflow"])
	assert.Empty(t, w.unwritten(), "each server wrote its own row")

	runs := inputs[activities.CloseRunInput](w)
	require.Len(t, runs, 1)
	assert.Equal(t, activities.Success, runs[0].Result)
	assert.Equal(t, "/data/zip", runs[0].ZipDir)
	assert.Equal(t, map[int64]string{1: "", 2: "", 4: ""}, w.sealed)
}

func TestCollectionNeverWaitsForEagle(t *testing.T) {
	w := threeServers(t)
	w.eagle = false
	on(w, func(activity.Info, activities.ExtractInput) error { return slowly(5*time.Hour, nil) })
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})

	result := resultOf[CollectResult](w)
	assert.Equal(t, activities.Success, result.Result)
	assert.Equal(t, result.Start, result.End, "nothing took time but the extraction")
	assert.Len(t, w.sealed, 3, "the decompressions outlived the collection and finished")
}

func TestPartialFailureIsData(t *testing.T) {
	w := threeServers(t)
	on(w, func(_ activity.Info, in activities.ListInput) error {
		if in.Server == "b" {
			return final(activities.LoginRefused)
		}
		return nil
	})
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})

	result := resultOf[CollectResult](w)
	assert.Equal(t, activities.Partial, result.Result)
	assert.Equal(t, map[string]string{"b": "1 login_refused"}, briefs(result))
	assert.Equal(t, "no: LoginRefused", result.Failures[0].Detail)
	assert.Equal(t, []int{3, 2, 1}, []int{result.Servers, result.Good, result.Bad})
	assert.Equal(t, activities.Failed, w.rows["b"].Result, "its own workflow closed its books")
	assert.Equal(t, "login_refused", w.rows["b"].Reason)
	assert.Len(t, inputs[activities.ListInput](w), 3, "a refused login is not tried again: it would lock the account")
}

func TestFailedCommitIsARowWithItsReason(t *testing.T) {
	w := threeServers(t)
	on(w, func(_ activity.Info, in activities.CommitInput) error {
		if in.Server == "b" {
			return final(activities.SyncFailed)
		}
		return nil
	})
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Equal(t, map[string]string{"b": "1 sync_failed"}, briefs(resultOf[CollectResult](w)))
	assert.Equal(t, map[string]string{"b": "1 sync_failed"}, w.unwritten())
}

func TestAllServersFailed(t *testing.T) {
	w := threeServers(t)
	w.servers["c"].unchanged = 0
	on(w, func(activity.Info, activities.ListInput) error { return final(activities.DirectoryMissing) })
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Equal(t, activities.Failed, resultOf[CollectResult](w).Result)
}

func TestPlanThatCannotBeMadeFailsTheRun(t *testing.T) {
	w := threeServers(t)
	on(w, func(activity.Info, activities.PlanInput) error { return final(activities.UnknownServer) })
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{Servers: []string{"x"}})
	var application *temporal.ApplicationError
	require.ErrorAs(t, w.env.GetWorkflowError(), &application)
	assert.Equal(t, activities.UnknownServer, application.Type())
	assert.Len(t, w.calls, 1, "it is not tried again")
	assert.Equal(t, []string{"x"}, inputs[activities.PlanInput](w)[0].Servers)
}

func TestWindowIsFullAndNeverOverfull(t *testing.T) {
	for name, in := range map[string]CollectInput{"of the plan": {}, "share of a shard": {Window: 2}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.plan.Window = 3
			for i := range 12 {
				w.add(fmt.Sprint("s", i), 1, sized(large, "x.csv")...)
			}
			on(w, func(activity.Info, activities.DownloadInput) error { return slowly(time.Minute, nil) })
			running, peak := 0, 0
			w.children(func(*workflow.Info, converter.EncodedValues) {
				running++
				peak = max(peak, running)
			})
			w.env.SetOnChildWorkflowCompletedListener(func(*workflow.Info, converter.EncodedValue, error) { running-- })
			w.execute(CollectID("k"), CollectWorkflow, in)

			result := resultOf[CollectResult](w)
			window := cmp.Or(in.Window, w.plan.Window)
			assert.Equal(t, 12, result.Good)
			assert.Equal(t, window, peak)
			assert.Equal(t, time.Duration(12/window)*time.Minute, result.End.Sub(result.Start), "no slot lies idle")
		})
	}
}

// twoRuns starts a second collection while one server of the first is at work.
func twoRuns(ctx workflow.Context) (CollectResult, error) {
	child := func(key string) workflow.Context {
		return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: CollectID(key), ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		})
	}
	first := workflow.ExecuteChildWorkflow(child("1"), CollectWorkflow, CollectInput{Servers: []string{"b"}})
	if err := workflow.Sleep(ctx, time.Minute); err != nil {
		return CollectResult{}, err
	}
	var second CollectResult
	err := workflow.ExecuteChildWorkflow(child("2"), CollectWorkflow, CollectInput{}).Get(ctx, &second)
	return second, errors.Join(err, first.Get(ctx, nil))
}

func TestBusyServer(t *testing.T) {
	w := threeServers(t)
	w.env.RegisterWorkflow(twoRuns)
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Server == "b" {
			return slowly(10*time.Minute, nil)
		}
		return nil
	})
	w.execute("two runs", twoRuns)

	second := resultOf[CollectResult](w)
	assert.Equal(t, activities.Partial, second.Result)
	assert.Equal(t, map[string]string{"b": "1 busy"}, briefs(second))
	assert.Equal(t, map[string]string{"b": "1 busy"}, w.unwritten())
	assert.Equal(t, 3, second.Books.Collected, "everything else is collected")
	assert.Equal(t, "collected", w.file("b", "1.zip").state, "by the first run")
}

// manyPaces has a quick server, two that work for an hour and more, and one that has to wait for them in a window of two.
func manyPaces(t *testing.T) *world {
	w := newWorld(t)
	w.plan.Window = 2
	w.add("late", 1, sized(small, "1.csv")...)
	for _, name := range []string{"quick", "slow", "slower"} {
		w.add(name, 1, sized(large, "1.csv", "2.csv")...)
	}
	w.order = []string{"quick", "slow", "slower", "late"}
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if minutes := map[string]time.Duration{"slow": 30, "slower": 40}[in.Server]; minutes > 0 {
			return slowly(minutes*time.Minute, nil)
		}
		return nil
	})
	return w
}

// slowOnQueue makes an activity on a queue take a while, after its local attempt failed.
func slowOnQueue(info activity.Info, takes time.Duration) error {
	if info.IsLocalActivity {
		return retryable(activities.DiskFull)
	}
	return slowly(takes, nil)
}

func TestDeadline(t *testing.T) {
	w := manyPaces(t)
	on(w, func(info activity.Info, _ activities.CloseRunInput) error { return slowOnQueue(info, time.Hour) })
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})

	result := resultOf[CollectResult](w)
	assert.Equal(t, activities.Partial, result.Result)
	assert.Equal(t, 12*time.Minute, result.End.Sub(result.Start))
	want := map[string]string{"slow": "2 running", "slower": "2 running", "late": "1 not_started"}
	assert.Equal(t, want, briefs(result))
	assert.Equal(t, want, w.unwritten())
	assert.Equal(t, []int{4, 1, 1}, []int{result.Servers, result.Good, result.Bad})
	for _, name := range []string{"slow", "slower"} {
		assert.Equal(t, activities.Success, w.rows[name].Result, "%s went on and finished", name)
		assert.Equal(t, 2, w.rows[name].Books.Collected)
	}
	assert.NotContains(t, w.rows, "late", "it got no slot although the run took long to close")
}

func TestCancelledRun(t *testing.T) {
	w := manyPaces(t)
	w.plan.Deadline = 3 * time.Hour
	on(w, func(info activity.Info, _ activities.CommitInput) error { return slowOnQueue(info, time.Minute) })
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, 45*time.Minute)
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})

	require.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	for _, name := range []string{"slow", "slower"} {
		row := w.rows[name]
		assert.Equal(t, "2 cancelled", fmt.Sprint(row.Result, " ", row.Reason))
		assert.Equal(t, []int{1, 1}, []int{row.Books.Collected, row.Books.Failed}, "what had arrived is kept")
	}
	runs := inputs[activities.CloseRunInput](w)
	require.Len(t, runs, 1)
	assert.Equal(t, "2 cancelled", fmt.Sprint(runs[0].Result, " ", runs[0].Reason))
	assert.Equal(t, map[string]string{"slow": "1 cancelled", "slower": "1 cancelled", "late": "1 cancelled"}, w.unwritten())
	last := w.calls[len(w.calls)-1]
	assert.Equal(t, "CloseRun", last.ActivityType.Name, "after the children have closed their books")
}

func shardedWorld(t *testing.T) (*world, *[]CollectInput) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.add(name, 1, sized(large, "1.csv", "2.zip")...)
	}
	w.plan.Window = 10
	w.plan.Shards = []activities.Shard{{From: "a", Until: "c"}, {From: "c", Until: "e"}, {From: "e"}}
	var parts []CollectInput
	w.children(func(info *workflow.Info, args converter.EncodedValues) {
		if info.WorkflowType.Name == "CollectWorkflow" {
			var in CollectInput
			require.NoError(t, args.Get(&in))
			parts = append(parts, in)
		}
	})
	return w, &parts
}

func TestManyServersAreDividedOverShards(t *testing.T) {
	w, parts := shardedWorld(t)
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Server == "d" {
			return final(activities.PermissionDenied)
		}
		return nil
	})
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{Buffer: "/buffer"})

	result := resultOf[CollectResult](w)
	assert.Equal(t, activities.Partial, result.Result)
	assert.Equal(t, []int{5, 4, 1}, []int{result.Servers, result.Good, result.Bad})
	assert.Equal(t, activities.Books{Listed: 10, Collected: 8, Failed: 2, Bytes: 8 * large}, result.Books)
	assert.Equal(t, []string{"collect/k/1", "collect/k/2", "collect/k/3"}, result.Shards)
	var want []CollectInput
	for i := range w.plan.Shards {
		want = append(want, CollectInput{Buffer: "/buffer", Root: "collect/k", Window: 3, Shard: &w.plan.Shards[i]})
	}
	assert.ElementsMatch(t, want, *parts)
	assert.Contains(t, w.archives, "decompress/k/e", "decompressions belong to the run, not to its part")
	var closed []bool
	for _, in := range inputs[activities.CloseRunInput](w) {
		assert.Equal(t, "collect/k", in.Run)
		closed = append(closed, in.Shard)
	}
	assert.Equal(t, []bool{true, true, true, false}, closed, "parts write rows, the root ends the run")
}

func TestCancelledShards(t *testing.T) {
	w, _ := shardedWorld(t)
	on(w, func(activity.Info, activities.DownloadInput) error { return slowly(5*time.Minute, nil) })
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, 7*time.Minute)
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})

	require.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	runs := inputs[activities.CloseRunInput](w)
	require.Len(t, runs, 4)
	root := runs[3]
	assert.False(t, root.Shard)
	assert.Equal(t, "cancelled", root.Reason)
	assert.NotEqual(t, activities.Success, root.Result)
	assert.Len(t, w.rows, 5, "every server closed its books")
}

func TestProgressOfACollectionComesInPieces(t *testing.T) {
	w := newWorld(t)
	for i := range maxBriefs + 20 {
		w.add(fmt.Sprintf("s%03d", i), 1, sized(small, "1.zip")...)
	}
	on(w, func(activity.Info, activities.ListInput) error { return final(activities.LoginRefused) })
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Len(t, resultOf[CollectResult](w).Failures, maxBriefs, "a result stays small")
	assert.Equal(t, maxBriefs+20, resultOf[CollectResult](w).Bad)

	seen, position := map[string]bool{}, 0
	for _, want := range []int{maxBriefs, 20, 0} {
		value, err := w.env.QueryWorkflow(ProgressQuery, position)
		require.NoError(t, err)
		var p Progress
		require.NoError(t, value.Get(&p))
		assert.Equal(t, []any{StateDone, maxBriefs + 20, maxBriefs + 20}, []any{p.State, p.Done, p.Total})
		assert.Len(t, p.Finished, want)
		for _, b := range p.Finished {
			seen[b.Server] = true
		}
		position = p.Position
	}
	assert.Len(t, seen, maxBriefs+20)
}

// TestOrphansAreAdopted: what nobody is at work on is started again, and the run does not wait for it.
func TestOrphansAreAdopted(t *testing.T) {
	w := threeServers(t)
	w.plan.Orphans = []activities.Orphan{{ID: "decompress/earlier/a", Run: "collect/earlier", Server: "a", ZipDir: "/data/zip", UnzipDir: "/data/unzip", Archives: 1}}
	w.archives["decompress/earlier/a"] = []activities.ArchiveRef{{ID: 77, Path: "a/old.zip", Size: small}}
	on(w, func(activity.Info, activities.ExtractInput) error { return slowly(5*time.Hour, nil) })
	ids := w.children(nil)
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	result := resultOf[CollectResult](w)
	assert.Equal(t, result.Start, result.End)
	assert.Contains(t, ids["DecompressWorkflow"], "decompress/earlier/a")
	assert.Contains(t, w.sealed, int64(77))
}
