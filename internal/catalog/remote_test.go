package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRemoteActions(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	collectAll(t, c, testRun, "a", "b\xff", "c")
	pending := func(limit int) []RemoteAction {
		actions, err := c.RemoteActions(ctx, testServer, limit)
		require.NoError(t, err)
		return actions
	}
	all := pending(10)
	require.Len(t, all, 3)
	assert.Equal(t, RemoteAction{FileID: all[1].FileID, RawPath: "b\xff", Action: "delete", Size: 20, ModTime: monday}, all[1])
	twice(t, c, func() { require.NoError(t, c.RemoteFailed(ctx, all[0].FileID, "550 no")) })
	assert.Equal(t, []RemoteAction{all[1], all[2]}, pending(2), "what failed does not keep others from being done")
	assert.Equal(t, []RemoteAction{all[1], all[2], all[0]}, pending(10))
	twice(t, c, func() { require.NoError(t, c.RemoteDone(ctx, all[1].FileID)) })
	twice(t, c, func() { require.NoError(t, c.RemoteFailed(ctx, all[1].FileID, "late")) })
	assert.Equal(t, []RemoteAction{all[2], all[0]}, pending(10))
	require.ErrorIs(t, c.RemoteDone(ctx, 999), ErrNoRow)
	require.ErrorIs(t, c.RemoteFailed(ctx, 999, "x"), ErrNoRow)

	keep := page("collect/keep")
	keep.RemoteAction = ""
	planIn(t, c, "collect/keep", lines("d"))
	keep.Files = []Settled{collected(pendingIn(t, c, "collect/keep")[0], "d")}
	_, err := c.Settle(ctx, keep)
	require.NoError(t, err)
	assert.Len(t, pending(10), 2)
}

func TestSettlingAgainDoesNotReviveARemoteAction(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a"))
	p := page(testRun, collected(pendingIn(t, c, testRun)[0], "a"))
	_, err := c.Settle(t.Context(), p)
	require.NoError(t, err)
	require.NoError(t, c.RemoteDone(t.Context(), 1))
	_, err = c.Settle(t.Context(), p)
	require.NoError(t, err)
	actions, err := c.RemoteActions(t.Context(), testServer, 10)
	require.NoError(t, err)
	assert.Empty(t, actions)
}

func TestRemoteActionsOfEveryKind(t *testing.T) {
	c := open(t)
	listed := lines("a", "b", "c")
	listed[1].Marker = "b\xff.done"
	planIn(t, c, testRun, listed)
	var want []RemoteAction
	for i, action := range []string{"delete", "move", "rename"} {
		e := pendingIn(t, c, testRun)[0]
		assert.Equal(t, listed[i], e.Listed)
		p := page(testRun, collected(e, "x/"+e.Path))
		p.RemoteAction = action
		twice(t, c, func() {
			_, err := c.Settle(t.Context(), p)
			require.NoError(t, err)
		})
		want = append(want, RemoteAction{RawPath: e.RawPath, Marker: listed[i].Marker, Action: action, Size: e.Size, ModTime: e.ModTime})
	}
	actions, err := c.RemoteActions(t.Context(), testServer, 10)
	require.NoError(t, err)
	for i := range actions {
		assert.NotZero(t, actions[i].FileID)
		actions[i].FileID = 0
	}
	assert.Equal(t, want, actions)

	planIn(t, c, "collect/next", lines("d"))
	p := page("collect/next", collected(pendingIn(t, c, "collect/next")[0], "x/d"))
	p.RemoteAction = "copy"
	_, err = c.Settle(t.Context(), p)
	require.Error(t, err)
}

func TestTheMarkerIsTheOneOfTheLastListing(t *testing.T) {
	c := open(t)
	runs := []string{testRun, "collect/parallel"}
	for i, marker := range []string{"a.done", "a.ok"} {
		l := line("a")
		l.Marker = "before"
		planIn(t, c, runs[i], []Listed{l})
		l.Marker = marker
		planIn(t, c, runs[i], []Listed{l})
		assert.Equal(t, marker, pendingIn(t, c, runs[i])[0].Marker)
	}
	for _, run := range runs {
		_, err := c.Settle(t.Context(), page(run, collected(pendingIn(t, c, run)[0], "x/a")))
		require.NoError(t, err)
	}
	actions, err := c.RemoteActions(t.Context(), testServer, 10)
	require.NoError(t, err)
	require.Len(t, actions, 1)
	assert.Equal(t, "a.ok", actions[0].Marker)
}

func TestRemoteBacklogIsWhatFailedAndIsStillToBeDone(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	backlog := func(server string) (int, string) {
		failed, sample, err := c.RemoteBacklog(ctx, server)
		require.NoError(t, err)
		return failed, sample
	}
	collectAll(t, c, testRun, "a", "b", "c")
	failed, sample := backlog(testServer)
	assert.Equal(t, []any{0, ""}, []any{failed, sample}, "what was not tried has not failed")
	require.NoError(t, c.RemoteFailed(ctx, 2, "550 second"))
	require.NoError(t, c.RemoteFailed(ctx, 1, "550 first"))
	failed, sample = backlog(testServer)
	assert.Equal(t, []any{2, "550 second"}, []any{failed, sample})
	require.NoError(t, c.RemoteDone(ctx, 2))
	failed, sample = backlog(testServer)
	assert.Equal(t, []any{1, "550 first"}, []any{failed, sample})
	failed, sample = backlog("branch-002")
	assert.Equal(t, []any{0, ""}, []any{failed, sample})
}
