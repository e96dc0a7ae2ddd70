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
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// failing makes the downloads of one file fail, as often as there are errors; nil lets one pass.
func (w *world) failing(name string, errs ...error) {
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		if in.Name != name || len(errs) == 0 {
			return nil
		}
		err := errs[0]
		errs = errs[1:]
		return err
	})
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// states are what became of a server's files, with reasons.
func (w *world) states(server string) map[string]string {
	states := map[string]string{}
	for _, f := range w.servers[server].files {
		states[f.Name] = f.state
		if f.reason != "" {
			states[f.Name] += " " + f.reason
		}
	}
	return states
}

func TestHowOftenAndWhereAFileIsTried(t *testing.T) {
	for name, test := range map[string]struct {
		size     int64
		errs     []error
		attempts []string
		state    string
	}{
		"a small file is fetched without a queue": {
			size: smallFile, attempts: []string{"local"}, state: "collected",
		},
		"a large one never": {
			size: smallFile + 1, attempts: []string{"tiger 1"}, state: "collected",
		},
		"what cannot be mended is tried once": {
			size: small, errs: repeat(final(activities.FileVanished), 9),
			attempts: []string{"local"}, state: "failed file_vanished",
		},
		"what may be mended goes on where the Web UI shows it": {
			size: small, errs: repeat(retryable(activities.TransferTruncated), 2),
			attempts: []string{"local", "tiger 1", "tiger 2"}, state: "collected",
		},
		"an unknown error too": {
			size: small, errs: []error{errors.New("what is that?")},
			attempts: []string{"local", "tiger 1"}, state: "collected",
		},
		"not for ever": {
			size: large, errs: repeat(retryable(activities.ServerBusy), 99),
			attempts: []string{"tiger 1", "tiger 2", "tiger 3", "tiger 4", "tiger 5"}, state: "failed server_busy",
		},
		"a file that changes is left to the next run": {
			size: small, errs: []error{final(activities.FileChanged)},
			attempts: []string{"local"}, state: "deferred file_changed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add("a", 1, append(sized(test.size, "it"), sized(small, "other")...)...)
			w.failing("it", test.errs...)
			w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
			row := resultOf[activities.ServerResult](w)
			assert.Equal(t, test.attempts, w.attempts("it"))
			assert.Equal(t, map[string]string{"it": test.state, "other": "collected"}, w.states("a"))
			assert.Equal(t, activities.ServerEnd{Start: row.Start, Leftovers: 1}, *inputs[activities.CommitInput](w)[0].Close)
		})
	}
}

func TestServerThatIsGoneIsParked(t *testing.T) {
	for reason, errs := range map[string][]error{
		activities.ServerUnreachable: repeat(retryable(activities.ServerUnreachable), 6),
		activities.LoginRefused:      {final(activities.LoginRefused)},
	} {
		t.Run(reason, func(t *testing.T) {
			w := newWorld(t)
			w.add("a", 1, sized(small, "1.csv", "2.csv", "3.csv", "4.csv")...)
			w.failing("2.csv", errs...)
			w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))

			row := resultOf[activities.ServerResult](w)
			code, _ := activities.ReasonOf(final(reason))
			assert.Equal(t, code, row.Reason)
			assert.Equal(t, activities.Partial, row.Result)
			assert.Len(t, w.attempts("2.csv"), len(errs))
			assert.Empty(t, w.attempts("3.csv"))
			assert.Empty(t, w.attempts("4.csv"))
			commits := inputs[activities.CommitInput](w)
			require.Len(t, commits, 1)
			require.Len(t, commits[0].Files, 1, "files that were not reached have no outcome of their own")
			assert.Equal(t, int64(1), commits[0].Files[0].ID, "what arrived before is kept")
		})
	}
}

func TestServerThatCannotBeListed(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, sized(small, "1.csv")...)
	on(w, func(activity.Info, activities.ListInput) error { return retryable(activities.ServerUnreachable) })
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	row := resultOf[activities.ServerResult](w)
	assert.Equal(t, "1 server_unreachable", fmt.Sprint(row.Result, " ", row.Reason))
	assert.Len(t, inputs[activities.ListInput](w), 4, "a local attempt and three on the queue: the next run comes in 15 minutes")
	assert.Empty(t, inputs[activities.DownloadInput](w))
	assert.Len(t, inputs[activities.CommitInput](w), 1)
}

func TestAllConnectionsAreBusyAndNoMore(t *testing.T) {
	w := newWorld(t)
	w.add("a", 3, numbered(10, large)...)
	minutes := map[string]time.Duration{"01.csv": 4} // the others take one minute each
	on(w, func(_ activity.Info, in activities.DownloadInput) error {
		return slowly(max(1, minutes[in.Name])*time.Minute, nil)
	})
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	row := resultOf[activities.ServerResult](w)
	assert.Equal(t, 10, row.Books.Collected)
	assert.Equal(t, 3, w.peak["downloads from a"])
	assert.Equal(t, 5*time.Minute, row.End.Sub(row.Start), "13 minutes over 3 lanes, none of which waits for another")
}

func TestConnectionsAreBoundedWhateverThePlanSays(t *testing.T) {
	w := newWorld(t)
	w.add("a", 500, numbered(maxConnections+20, large)...)
	on(w, func(activity.Info, activities.DownloadInput) error { return slowly(time.Minute, nil) })
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Equal(t, maxConnections, w.peak["downloads from a"])
}

func TestNextPageKnowsWhatItMust(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 2
	w.add("a", 1, sized(small, "1.zip", "2.zip", "3.csv", "4.csv", "5.zip")...)
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))

	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.env.GetWorkflowError(), &again)
	assert.Equal(t, "CollectServerWorkflow", again.WorkflowType.Name)
	var next ServerInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &next))
	assert.False(t, next.Start.IsZero())
	want := w.serverInput("a")
	want.Page, want.After, want.Decompressions, want.Archives, want.Leftovers = 1, 2, 1, 2, 1
	want.Books, want.Start = activities.Books{Listed: 5, Pending: 5}, next.Start // as of the listing
	assert.Equal(t, want, next)
	require.Len(t, inputs[activities.CommitInput](w), 1)
	assert.Nil(t, inputs[activities.CommitInput](w)[0].Close)
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 2
	w.add("a", 1, sized(large, "1.zip", "2.zip", "3.csv", "4.csv", "5.zip")...)
	on(w, func(activity.Info, activities.DownloadInput) error { return slowly(time.Minute, nil) })
	ids := w.children(nil)
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})

	result := resultOf[CollectResult](w)
	assert.Equal(t, activities.Success, result.Result)
	assert.Equal(t, activities.Books{Listed: 5, Collected: 5, Bytes: 5 * large}, result.Books)
	assert.Equal(t, []Decompressions{{Server: "a", Count: 2, Archives: 3}}, result.Decompressions)
	assert.Equal(t, []string{"decompress/k/a", "decompress/k/a/2"}, ids["DecompressWorkflow"])
	var after []int64
	for _, in := range inputs[activities.ListInput](w) {
		after = append(after, in.After)
	}
	assert.Equal(t, []int64{0, 2, 4}, after)
	commits := inputs[activities.CommitInput](w)
	require.Len(t, commits, 3)
	assert.Nil(t, commits[0].Close)
	assert.Nil(t, commits[1].Close)
	require.NotNil(t, commits[2].Close)
	assert.Equal(t, 1, commits[2].Close.Leftovers)
	assert.True(t, result.Start.Equal(commits[2].Close.Start), "the server's part began with its first page")
}

func TestServerGoneOnALaterPage(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 2
	w.add("a", 1, sized(small, "1.csv", "2.csv", "3.csv")...)
	on(w, func(_ activity.Info, in activities.ListInput) error {
		if in.After > 0 {
			return final(activities.LoginRefused)
		}
		return nil
	})
	w.execute(CollectID("k"), CollectWorkflow, CollectInput{})
	assert.Equal(t, map[string]string{"a": "2 login_refused"}, briefs(resultOf[CollectResult](w)))
	assert.Equal(t, map[string]string{"1.csv": "collected", "2.csv": "collected", "3.csv": "failed login_refused"}, w.states("a"))
}

func TestLostDataIsFetchedAgainOnce(t *testing.T) {
	for name, test := range map[string]struct {
		lost      int
		downloads int
		commits   int
		state     string
	}{
		"lost once":     {lost: 1, downloads: 2, commits: 2, state: "collected"},
		"lost twice":    {lost: 2, downloads: 2, commits: 3, state: "failed staged_lost"},
		"lost for ever": {lost: 99, downloads: 2, commits: 3, state: "failed staged_lost"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add("a", 2, sized(small, "1.zip", "2.zip")...)
			w.loses[w.file("a", "1.zip").ID] = test.lost
			ids := w.children(nil)
			w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
			row := resultOf[activities.ServerResult](w)
			assert.Equal(t, map[string]string{"1.zip": test.state, "2.zip": "collected"}, w.states("a"))
			assert.Len(t, w.attempts("1.zip"), test.downloads)
			assert.Len(t, w.attempts("2.zip"), 1, "only what was lost is fetched again")
			assert.Len(t, inputs[activities.CommitInput](w), test.commits)
			assert.Len(t, ids["DecompressWorkflow"], row.Decompressions, "each commit's archives have a decompression of their own")
			assert.Len(t, w.sealed, row.Books.Collected)
		})
	}
}

func TestLostDataOfAServerThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, sized(small, "1.csv", "2.csv")...)
	w.loses[w.file("a", "1.csv").ID] = 1
	w.failing("2.csv", final(activities.LoginRefused))
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Equal(t, "login_refused", resultOf[activities.ServerResult](w).Reason)
	assert.Len(t, w.attempts("1.csv"), 1)
	assert.Equal(t, "failed login_refused", w.states("a")["1.csv"])
}

func TestCancelledServerKeepsWhatHasArrived(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 3
	w.add("a", 1, numbered(5, large)...)
	w.servers["a"].files[0].Name = "01.zip"
	on(w, func(activity.Info, activities.DownloadInput) error { return slowly(10*time.Minute, nil) })
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, 15*time.Minute)
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))

	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "%v", w.env.GetWorkflowError())
	assert.Equal(t, "cancelled", w.rows["a"].Reason)
	assert.Equal(t, 1, w.rows["a"].Books.Collected)
	assert.Empty(t, w.attempts("03.csv"))
	assert.Equal(t, map[int64]string{1: ""}, w.sealed, "the archive that arrived is extracted all the same")
}

func TestCancellationDuringACommitIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 2
	w.add("a", 1, sized(small, "1.csv", "2.csv", "3.csv")...)
	on(w, func(activity.Info, activities.CommitInput) error {
		w.env.CancelWorkflow()
		return nil
	})
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), "a new run would not know of it: %v", w.env.GetWorkflowError())
	assert.Equal(t, "cancelled", w.rows["a"].Reason)
	assert.Equal(t, map[string]string{"1.csv": "collected", "2.csv": "collected", "3.csv": "failed cancelled"}, w.states("a"))
}

// besideItsDecompression collects a server while the decompression that its archives are for is at work already, as after a reset.
func besideItsDecompression(ctx workflow.Context, in ServerInput, decompression DecompressInput) (activities.ServerResult, error) {
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: DecompressID(in.Run, in.Server, 1)})
	running := workflow.ExecuteChildWorkflow(child, DecompressWorkflow, decompression)
	if err := running.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return activities.ServerResult{}, err
	}
	var row activities.ServerResult
	child = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: ServerID(in.Server)})
	err := workflow.ExecuteChildWorkflow(child, CollectServerWorkflow, in).Get(ctx, &row)
	return row, errors.Join(err, running.Get(ctx, nil))
}

func TestDecompressionThatIsAtWorkAlreadyIsNoFailure(t *testing.T) {
	w := withArchives(t, 1)
	w.lastID = 10
	w.add("a", 1, sized(small, "1.zip")...)
	w.env.RegisterWorkflow(besideItsDecompression)
	on(w, func(activity.Info, activities.ExtractInput) error { return slowly(time.Hour, nil) })
	w.execute("parent", besideItsDecompression, w.serverInput("a"), w.decompressInput())
	row := resultOf[activities.ServerResult](w)
	assert.Equal(t, activities.Success, row.Result)
	assert.Equal(t, 1, row.Decompressions)
}

func TestProgressOfAServer(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, numbered(3, large)...)
	on(w, func(activity.Info, activities.DownloadInput) error { return slowly(10*time.Minute, nil) })
	seen := 0
	w.env.RegisterDelayedCallback(func() {
		value, err := w.env.QueryWorkflow(ProgressQuery, 0)
		require.NoError(t, err)
		var p Progress
		require.NoError(t, value.Get(&p))
		assert.Equal(t, []any{StateCollecting, 1, 3}, []any{p.State, p.Done, p.Total})
		seen++
	}, 15*time.Minute)
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Equal(t, 1, seen)
}
