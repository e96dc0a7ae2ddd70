package workflows

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// command gives an order to a workflow at a moment of the run and notes the answer, or the type of the refusal.
func (w *world) command(after time.Duration, id, update, server string) *string {
	answer := new(string)
	w.env.RegisterDelayedCallback(func() {
		err := w.env.UpdateWorkflowByID(id, update, fmt.Sprint(update, " ", server, " ", after), &testsuite.TestUpdateCallback{
			OnAccept: func() {},
			OnReject: func(err error) { *answer = kindOf(err) },
			OnComplete: func(result any, err error) {
				if *answer, _ = result.(string); err != nil {
					*answer = kindOf(err)
				}
			},
		}, Order{Server: server, By: "me@here", Why: "because"})
		if err != nil {
			*answer = err.Error()
		}
	}, after)
	return answer
}

func kindOf(err error) string {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application.Type()
	}
	return err.Error()
}

// continued is what the workflow that was executed hands to its next page.
func (w *world) continued(next any) error {
	var again *workflow.ContinueAsNewError
	if err := w.env.GetWorkflowError(); !errors.As(err, &again) {
		return fmt.Errorf("it does not continue as new: %w", err)
	}
	return converter.GetDefaultDataConverter().FromPayloads(again.Input, next)
}

// fetching makes each file take a minute.
func (w *world) fetching() {
	on(w, func(activity.Info, activities.DownloadInput) error { return slowly(time.Minute, nil) })
}

// TestPauseBetweenFiles: what has arrived before a pause is published at once, what has not is fetched after it, on this page and on the next.
func TestPauseBetweenFiles(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 4
	w.add("a", 1, numbered(6, large)...)
	w.fetching()
	paused := w.command(90*time.Second, ServerID("a"), PauseUpdate, "a")
	again := w.command(91*time.Second, ServerID("a"), PauseUpdate, "a")
	elsewhere := w.command(92*time.Second, ServerID("a"), PauseUpdate, "b")
	resumed := w.command(time.Hour, ServerID("a"), ResumeUpdate, "a")
	late := w.command(time.Hour+time.Second, ServerID("a"), ResumeUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))

	var next ServerInput
	require.NoError(t, w.continued(&next), "to the second page")
	assert.Contains(t, *paused, "a is paused")
	assert.Contains(t, *resumed, "a goes on")
	assert.Equal(t, []string{OrderRefused, NotHere, OrderRefused}, []string{*again, *elsewhere, *late})
	commits := inputs[activities.CommitInput](w)
	require.Len(t, commits, 2)
	assert.Equal(t, []int{2, 2}, []int{len(commits[0].Files), len(commits[1].Files)})
	assert.Nil(t, next.Paused)
	assert.Equal(t, int64(4), next.After)
}

// TestPauseGoesOnToTheNextPage: a server that is paused in the last files of its page is paused on the next one.
func TestPauseGoesOnToTheNextPage(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 1
	w.add("a", 1, numbered(2, large)...)
	w.fetching()
	paused := w.command(30*time.Second, ServerID("a"), PauseUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	var next ServerInput
	require.NoError(t, w.continued(&next))
	assert.Contains(t, *paused, "a is paused")
	require.NotNil(t, next.Paused)
	assert.Equal(t, "because", next.Paused.Why)

	w.newEnv()
	begun := w.env.Now()
	var listed time.Duration
	on(w, func(activity.Info, activities.ListInput) error { listed = w.env.Now().Sub(begun); return nil })
	w.command(time.Hour, ServerID("a"), ResumeUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, next)
	assert.Equal(t, activities.Success, resultOf[activities.ServerResult](w).Result)
	assert.GreaterOrEqual(t, listed, time.Hour, "a paused server is asked for nothing")
}

// TestSkipIsNoCancellation: the books are closed with what has arrived, and the run goes on.
func TestSkipIsNoCancellation(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, numbered(3, large)...)
	w.fetching()
	skipped := w.command(90*time.Second, ServerID("a"), SkipUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	row := resultOf[activities.ServerResult](w)
	assert.Contains(t, *skipped, "is being skipped")
	assert.Equal(t, []any{activities.Partial, "skipped", "by me@here: because"}, []any{row.Result, row.Reason, row.Detail})
	assert.Equal(t, []int{1, 2}, []int{row.Books.Collected, row.Books.Failed})
}

// TestPausedServerCanBeSkipped: nobody needs to resume it first.
func TestPausedServerCanBeSkipped(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, numbered(3, large)...)
	w.fetching()
	w.command(30*time.Second, ServerID("a"), PauseUpdate, "a")
	w.command(time.Hour, ServerID("a"), SkipUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	row := resultOf[activities.ServerResult](w)
	assert.Equal(t, []any{"skipped", 1, 2}, []any{row.Reason, row.Books.Collected, row.Books.Failed})
}

// TestRetryOfAServerAtWork: instead of closing its books it lists once more, as another visit, so that the pool does not refuse what was parked.
func TestRetryOfAServerAtWork(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, numbered(3, large)...)
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Name == "02.csv" {
			return slowly(time.Minute, final(activities.ServerUnreachable))
		}
		return slowly(time.Minute, nil)
	})
	early := w.command(30*time.Second, ServerID("a"), RetryUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Equal(t, OrderRefused, *early, "nothing has failed yet")

	w = newWorld(t)
	w.plan.Settings.PageFiles = 2
	w.add("a", 2, numbered(3, large)...)
	w.servers["a"].warnings = []string{"said again by the next listing"}
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Name == "02.csv" {
			return slowly(time.Minute, final(activities.ServerUnreachable))
		}
		return slowly(time.Hour, nil)
	})
	ordered := w.command(30*time.Minute, ServerID("a"), RetryUpdate, "a")
	again := w.command(31*time.Minute, ServerID("a"), RetryUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	var next ServerInput
	require.NoError(t, w.continued(&next))
	assert.Contains(t, *ordered, "is listed once more")
	assert.Equal(t, OrderRefused, *again)
	assert.Equal(t, []any{int64(0), 1, false}, []any{next.After, next.Try, next.Again})
	assert.Empty(t, next.Warnings)
	assert.Empty(t, w.rows, "the books are open")

	w.newEnv()
	w.faults = nil
	w.plan.Settings.PageFiles = 500
	next.Settings.PageFiles = 500
	w.execute(ServerID("a"), CollectServerWorkflow, next)
	row := resultOf[activities.ServerResult](w)
	assert.Equal(t, []int{activities.Success, 3, 1}, []int{row.Result, row.Books.Collected, row.Try})
	downloads := inputs[activities.DownloadInput](w)
	assert.Equal(t, 1, downloads[len(downloads)-1].Try)
}

// TestOrdersOfARun: a run of one server at a time, with a server held back, one left out and one that is collected once more.
func TestOrdersOfARun(t *testing.T) {
	w := newWorld(t)
	w.plan.Window = 1
	w.add("a", 1, sized(large, "1.zip")...)
	w.add("b", 1, sized(large, "1.csv")...)
	w.add("c", 1, sized(large, "1.csv")...)
	failing := true
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Server == "a" && failing {
			failing = false
			return slowly(time.Minute, final(activities.PermissionDenied))
		}
		return slowly(time.Minute, nil)
	})
	run := CollectID("k")
	unknown := w.command(10*time.Second, run, PauseUpdate, "nobody")
	atWork := w.command(11*time.Second, run, PauseUpdate, "a")
	held := w.command(12*time.Second, run, PauseUpdate, "b")
	heldAgain := w.command(12*time.Second+time.Millisecond, run, PauseUpdate, "b")
	skipped := w.command(13*time.Second, run, SkipUpdate, "c")
	retried := w.command(2*time.Minute, run, RetryUpdate, "a")
	twice := w.command(2*time.Minute+time.Second, run, RetryUpdate, "a")
	complete := w.command(5*time.Minute, run, RetryUpdate, "a")
	resumed := w.command(6*time.Minute, run, ResumeUpdate, "b")
	w.execute(run, CollectWorkflow, CollectInput{})

	result := resultOf[CollectResult](w)
	assert.Equal(t, []string{NotHere, OrderRefused, OrderRefused, OrderRefused, OrderRefused}, []string{*unknown, *atWork, *heldAgain, *twice, *complete})
	assert.Contains(t, *held, "b is held back")
	assert.Contains(t, *skipped, "c is left out")
	assert.Contains(t, *retried, "a is collected once more")
	assert.Contains(t, *resumed, "b is collected")
	assert.Equal(t, map[string]string{"c": "1 skipped"}, briefs(result))
	assert.Equal(t, []int{3, 2, 1, 2}, []int{result.Servers, result.Good, result.Bad, result.Books.Collected})
	assert.Equal(t, map[string]string{"c": "1 skipped"}, w.unwritten())
}

// TestDeadlineOfAHeldServer: the row says who held it back.
func TestDeadlineOfAHeldServer(t *testing.T) {
	w := newWorld(t)
	w.plan.Window = 1
	w.add("a", 1, sized(large, "1.csv")...)
	w.add("b", 1, sized(large, "1.csv")...)
	w.fetching()
	w.command(30*time.Second, CollectID("k"), PauseUpdate, "b")
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	result := resultOf[CollectResult](w)
	assert.Equal(t, map[string]string{"b": "1 not_started"}, briefs(result))
	assert.Contains(t, result.Failures[0].Detail, "by me@here: because")
}

// TestCancelByOrder: a run that was cancelled by order ends as cancelled, and says by whom.
func TestCancelByOrder(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, numbered(3, large)...)
	w.fetching()
	cancelled := w.command(90*time.Second, CollectID("k"), CancelUpdate, "")
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Contains(t, *cancelled, "is being cancelled")
	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	closed := inputs[activities.CloseRunInput](w)
	require.Len(t, closed, 1)
	assert.Equal(t, []string{"cancelled", "by me@here: because"}, []string{closed[0].Reason, closed[0].Detail})
	assert.Equal(t, []int{1, 2}, []int{w.rows["a"].Books.Collected, w.rows["a"].Books.Failed})
}

// TestPauseBeforeTheFirstFile: nothing has arrived, so there is nothing to commit until the server goes on.
func TestPauseBeforeTheFirstFile(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, numbered(2, large)...)
	on(w, func(info activity.Info, _ activities.ListInput) error {
		if info.IsLocalActivity {
			return retryable(activities.ServerBusy)
		}
		return slowly(time.Minute, nil)
	})
	w.command(30*time.Second, ServerID("a"), PauseUpdate, "a")
	w.command(time.Hour, ServerID("a"), ResumeUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Equal(t, 2, resultOf[activities.ServerResult](w).Books.Collected)
	commits := inputs[activities.CommitInput](w)
	require.Len(t, commits, 1)
	assert.Len(t, commits[0].Files, 2)
}

// TestOrdersThatComeTooLate: while the books are being closed nothing can be changed any more.
func TestOrdersThatComeTooLate(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, sized(large, "1.csv")...)
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		return slowly(time.Minute, final(activities.PermissionDenied))
	})
	on(w, func(info activity.Info, _ activities.CommitInput) error {
		if info.IsLocalActivity {
			return retryable(activities.DiskFull)
		}
		return slowly(time.Hour, nil)
	})
	var late []*string
	for _, update := range []string{PauseUpdate, RetryUpdate, SkipUpdate} {
		late = append(late, w.command(30*time.Minute, ServerID("a"), update, "a"))
	}
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Equal(t, "", resultOf[activities.ServerResult](w).Reason)
	for _, answer := range late {
		assert.Equal(t, OrderRefused, *answer)
	}
}

// TestRetryOfAFileThatFailed while others are still on their way, and a skip that thinks better of it.
func TestRetryOfAFileThatFailed(t *testing.T) {
	for skipped, reason := range map[bool]string{false: "", true: "skipped"} {
		w := newWorld(t)
		w.add("a", 2, numbered(2, large)...)
		on(w, func(_ activity.Info, in activities.DownloadInput) error {
			if in.Name == "01.csv" {
				return slowly(time.Minute, final(activities.PermissionDenied))
			}
			return slowly(time.Hour, nil)
		})
		ordered := w.command(2*time.Minute, ServerID("a"), RetryUpdate, "a")
		if skipped {
			w.command(3*time.Minute, ServerID("a"), SkipUpdate, "a")
		}
		w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
		assert.Contains(t, *ordered, "is listed once more")
		if skipped {
			assert.Equal(t, reason, resultOf[activities.ServerResult](w).Reason)
			continue
		}
		var next ServerInput
		require.NoError(t, w.continued(&next))
		assert.Equal(t, 1, next.Try)
	}
}

// TestRunWaitsForARetry: a run whose other servers have finished stays for the one that is collected once more; its archives get workflows of
// their own.
func TestRunWaitsForARetry(t *testing.T) {
	w := newWorld(t)
	w.plan.Window = 1
	w.add("a", 1, sized(large, "1.zip", "2.zip")...)
	w.add("b", 1, sized(large, "1.csv")...)
	failures := 1
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Server == "a" && in.Name == "2.zip" && failures > 0 {
			failures--
			return slowly(time.Minute, final(activities.PermissionDenied))
		}
		return slowly(time.Minute, nil)
	})
	ids := w.children(nil)
	run := CollectID("k")
	early := w.command(10*time.Second, run, RetryUpdate, "b")
	retried := w.command(2*time.Minute+30*time.Second, run, RetryUpdate, "a")
	twice := w.command(2*time.Minute+31*time.Second, run, RetryUpdate, "a")
	finished := w.command(2*time.Minute+32*time.Second, run, SkipUpdate, "a")
	w.execute(run, CollectWorkflow, CollectInput{})
	result := resultOf[CollectResult](w)
	assert.Contains(t, *retried, "a is collected once more")
	assert.Equal(t, []string{OrderRefused, OrderRefused, OrderRefused}, []string{*early, *twice, *finished})
	assert.Equal(t, []int{activities.Success, 2, 3}, []int{result.Result, result.Good, result.Books.Collected})
	assert.ElementsMatch(t, []string{"decompress/k/a", "decompress/k/a/2"}, ids["DecompressWorkflow"])
	assert.Equal(t, []Decompressions{{Server: "a", Count: 2, Archives: 2}}, result.Decompressions)
}

// TestRetryThatBreaks: what stood before stands.
func TestRetryThatBreaks(t *testing.T) {
	w := newWorld(t)
	w.plan.Window = 2
	w.add("a", 1, sized(large, "1.csv")...)
	w.add("b", 1, sized(large, "1.csv")...)
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Server == "a" {
			return slowly(time.Minute, final(activities.PermissionDenied))
		}
		return slowly(10*time.Minute, nil)
	})
	on(w, func(_ activity.Info, in activities.CommitInput) error {
		if in.Try > 0 {
			return final(activities.SyncFailed)
		}
		return nil
	})
	w.command(5*time.Minute, CollectID("k"), RetryUpdate, "a")
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	result := resultOf[CollectResult](w)
	assert.Equal(t, []int{2, 1, 1}, []int{result.Servers, result.Good, result.Bad})
	assert.Empty(t, result.Failures, "it has no reason but its file's")
	assert.Empty(t, w.unwritten())
}

// TestRetryAtTheDeadline: a server that is at work once more when the run ends is reported as running.
func TestRetryAtTheDeadline(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, sized(large, "1.csv")...)
	w.add("b", 1, sized(large, "1.csv")...)
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Server == "a" && in.Try == 0 {
			return slowly(time.Minute, final(activities.PermissionDenied))
		}
		return slowly(time.Hour, nil)
	})
	w.command(5*time.Minute, CollectID("k"), RetryUpdate, "a")
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Equal(t, map[string]string{"a": "2 running", "b": "2 running"}, briefs(resultOf[CollectResult](w)))
}

// TestGatewayTriedByOrder: an operator who has mended the gateway need not wait for the next try.
func TestGatewayTriedByOrder(t *testing.T) {
	w := withArchives(t, 3)
	w.gatewayAway(activities.StoreUnreachable, time.Hour)
	waiting := w.command(45*time.Second, decompressionID, RetryUpdate, "")
	early := w.command(5*time.Second, decompressionID, RetryUpdate, "")
	w.command(time.Hour+time.Second, decompressionID, RetryUpdate, "")
	w.execute(decompressionID, DecompressWorkflow, w.decompressInput())
	result := resultOf[DecompressResult](w)
	assert.Equal(t, OrderRefused, *early, "it is at work")
	assert.Contains(t, *waiting, "tries the gateway now")
	assert.Less(t, result.End.Sub(result.Start), time.Hour+time.Minute)
	assert.Equal(t, 3, result.Succeeded)
}

// TestPauseInTheLastFiles: a server stays paused, and so with this workflow, though nothing is left to be fetched: later runs must find it busy. What
// has arrived is published meanwhile.
func TestPauseInTheLastFiles(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, numbered(1, large)...)
	w.fetching()
	paused := w.command(30*time.Second, ServerID("a"), PauseUpdate, "a")
	resumed := w.command(time.Hour, ServerID("a"), ResumeUpdate, "a")
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Contains(t, *paused, "a is paused")
	assert.Contains(t, *resumed, "a goes on")
	row := resultOf[activities.ServerResult](w)
	assert.Equal(t, []int{activities.Success, 1}, []int{row.Result, row.Books.Collected})
	commits := inputs[activities.CommitInput](w)
	require.Len(t, commits, 2)
	assert.Equal(t, []any{1, true}, []any{len(commits[0].Files), commits[0].Close == nil})
	assert.Equal(t, []any{0, true}, []any{len(commits[1].Files), commits[1].Close != nil})
	assert.Len(t, inputs[activities.ListInput](w), 1)
}

// TestCancelOfAPart: it would end the whole run, and fail it. Who means that says so.
func TestCancelOfAPart(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, sized(large, "1.csv")...)
	w.add("b", 1, sized(large, "1.csv")...)
	w.plan.Shards = []activities.Shard{{Until: "b"}, {From: "b"}}
	w.fetching()
	refused := w.command(30*time.Second, CollectID("k")+"/1", CancelUpdate, "")
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Equal(t, OrderRefused, *refused)
	require.NoError(t, w.env.GetWorkflowError())
	assert.Equal(t, 2, resultOf[CollectResult](w).Good)
}

// TestDeadlineOfARetry: until a server has a new outcome the files of the old one count.
func TestDeadlineOfARetry(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, sized(large, "1.zip", "2.csv")...)
	w.add("b", 1, sized(large, "1.csv")...)
	tries := 0
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Server == "a" && in.Name == "2.csv" {
			if tries++; tries == 1 {
				return slowly(time.Minute, final(activities.PermissionDenied))
			}
		}
		if in.Server == "b" || tries > 0 {
			return slowly(time.Hour, nil)
		}
		return slowly(time.Minute, nil)
	})
	retried := w.command(7*time.Minute, CollectID("k"), RetryUpdate, "a")
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Contains(t, *retried, "a is collected once more")
	result := resultOf[CollectResult](w)
	assert.Equal(t, map[string]string{"a": "2 running", "b": "2 running"}, briefs(result))
	assert.Equal(t, 1, result.Books.Collected)
	assert.Equal(t, []Decompressions{{Server: "a", Count: 1, Archives: 1}}, result.Decompressions)
}
