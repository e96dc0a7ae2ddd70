package catalog

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// versions collects three versions of a file, each in a run of its own, and returns their rows.
func versions(t *testing.T, c *Catalog) (ids []int64) {
	t.Helper()
	for i := range 3 {
		run := fmt.Sprintf("collect/%d", i)
		l := line("a.csv")
		l.Size += int64(i)
		planIn(t, c, run, []Listed{l})
		e := pendingIn(t, c, run)[0]
		s := collected(e, fmt.Sprintf("branch-001/a~%d.csv", i+1))
		s.SHA256 = fmt.Sprint("sha", i)
		_, err := c.Settle(t.Context(), page(run, s))
		require.NoError(t, err)
	}
	kept, err := c.KeptFiles(t.Context(), Scope{}, 0, 10)
	require.NoError(t, err)
	for _, k := range kept {
		ids = append(ids, k.FileID)
	}
	require.Len(t, ids, 3)
	return ids
}

func oldOnes(t *testing.T, c *Catalog) (ids []int64) {
	t.Helper()
	old, err := c.OldVersions(t.Context(), time.Now().Add(time.Hour), 0, 10)
	require.NoError(t, err)
	for _, o := range old {
		ids = append(ids, o.FileID)
	}
	return ids
}

// TestOldVersions: those that have a newer one which is really there.
func TestOldVersions(t *testing.T) {
	c := open(t)
	ids := versions(t, c)
	assert.Equal(t, ids[:2], oldOnes(t, c))
	none, err := c.OldVersions(t.Context(), monday, 0, 10)
	require.NoError(t, err)
	assert.Empty(t, none, "none was collected before")
	forget(t, c, ForgetRequest{Name: "branch-001/a~3.csv"})
	assert.Equal(t, ids[:1], oldOnes(t, c), "the newest is to be fetched again: who knows whether it comes")
	forget(t, c, ForgetRequest{Name: "branch-001/a~1.csv"})
	assert.Empty(t, oldOnes(t, c))
}

// TestVersionThatCameBackIsNotOld: a server may go back to what it had before. What was collected last is no old version, whatever its number.
func TestVersionThatCameBackIsNotOld(t *testing.T) {
	c := open(t)
	ids := versions(t, c)
	forget(t, c, ForgetRequest{Name: "branch-001/a~1.csv"})
	back := func(run string) {
		require.Equal(t, 1, planIn(t, c, run, []Listed{line("a.csv")}).Pending)
		s := collected(pendingIn(t, c, run)[0], "branch-001/a~1.csv")
		s.SHA256 = "sha0"
		_, err := c.Settle(t.Context(), page(run, s))
		require.NoError(t, err)
	}
	back("collect/back")
	assert.Equal(t, ids[1:2], oldOnes(t, c))
}

// TestRemovedVersionThatCameBack: what is not there is not unchanged: it is collected, and from then on it is not old.
func TestRemovedVersionThatCameBack(t *testing.T) {
	c := open(t)
	ids := versions(t, c)
	require.NoError(t, c.BeginRemoval(t.Context(), time.Now().Add(time.Hour), ids))
	require.NoError(t, c.EndRemoval(t.Context(), ids))
	require.Equal(t, 1, planIn(t, c, "collect/back", []Listed{line("a.csv")}).Pending)
	s := collected(pendingIn(t, c, "collect/back")[0], "branch-001/a~1.csv")
	s.SHA256 = "sha0"
	twice(t, c, func() {
		_, err := c.Settle(t.Context(), page("collect/back", s))
		require.NoError(t, err)
	})
	assert.Empty(t, oldOnes(t, c))
	assert.Equal(t, 1, planIn(t, c, "collect/next", []Listed{line("a.csv")}).Unchanged)
}

// TestRemoval: begun, then ended; meanwhile nothing counts as missing or unknown, and afterwards the version is known but not there.
func TestRemoval(t *testing.T) {
	c := open(t)
	ids := versions(t, c)
	soon := time.Now().Add(time.Hour)
	owns := func() bool {
		owns, err := c.Owns(t.Context(), AreaZip, testZip, "branch-001/a~1.csv")
		require.NoError(t, err)
		return owns
	}
	count := func() int {
		n, err := c.CountKept(t.Context(), Scope{}, AreaZip)
		require.NoError(t, err)
		return n
	}
	twice(t, c, func() { require.NoError(t, c.BeginRemoval(t.Context(), soon, ids)) })
	begun, err := c.BeingRemoved(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, begun, 2, "not the newest, whoever asks for it")
	assert.True(t, owns())
	assert.Equal(t, 1, count())
	still, err := c.StillKept(t.Context(), begun[0].Kept)
	require.NoError(t, err)
	assert.False(t, still)

	forget(t, c, ForgetRequest{Name: "branch-001/a~1.csv"})
	first := line("a.csv")
	assert.Equal(t, 1, planIn(t, c, "collect/while", []Listed{first}).Unchanged, "not into a place that is being cleared")
	twice(t, c, func() { require.NoError(t, c.EndRemoval(t.Context(), ids)) })
	assert.False(t, owns())
	assert.Equal(t, 1, planIn(t, c, "collect/then", []Listed{first}).Pending)
	s := collected(pendingIn(t, c, "collect/then")[0], "branch-001/a~1.csv")
	s.SHA256 = "sha0"
	_, err = c.Settle(t.Context(), page("collect/then", s))
	require.NoError(t, err)
	assert.True(t, owns(), "collected again, it is there again")
	assert.Equal(t, 2, count())
}

// TestCleanRunsKeepsWhatIsNeeded: of runs of which a file came, its line; of each server, the last listing.
func TestCleanRunsKeepsWhatIsNeeded(t *testing.T) {
	c := open(t)
	for i, names := range [][]string{{"a.zip", "b"}, {"a.zip", "b", "odd"}, {"a.zip", "b"}} {
		run := fmt.Sprintf("collect/%d", i)
		require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: run, Kind: KindCollect, Start: monday}))
		listed := lines(names...)
		for j := range listed {
			if listed[j].Path == "odd" {
				listed[j].State, listed[j].Reason = StateRefused, "unsafe_name"
			}
		}
		planIn(t, c, run, listed)
		var files []Settled
		for _, e := range pendingIn(t, c, run) {
			files = append(files, collected(e, testServer+"/"+e.Path))
		}
		_, err := c.Settle(t.Context(), page(run, files...))
		require.NoError(t, err)
		require.NoError(t, c.SaveServer(t.Context(), ServerRow{Run: run, Server: testServer, Start: monday}))
		require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: run, Kind: KindCollect, Start: monday, End: monday.Add(time.Minute)}))
	}
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: "collect/open", Kind: KindCollect, Start: monday}))
	before := dump(t, c)
	counted, next, err := c.CleanRuns(t.Context(), monday.Add(time.Hour), 0, 10, false)
	require.NoError(t, err)
	assert.Zero(t, next)
	assert.Equal(t, before, dump(t, c), "only counted")
	assert.Equal(t, Spent{Count: 4, Oldest: monday.UTC()}, counted, "the second run's refusal, listing, server and run")

	var gone Spent
	for after := int64(0); ; {
		spent, next, err := c.CleanRuns(t.Context(), monday.Add(time.Hour), after, 1, true)
		require.NoError(t, err)
		gone.Add(spent)
		if after = next; next == 0 {
			break
		}
	}
	assert.Equal(t, counted, gone)
	for run, there := range map[string]bool{"collect/0": true, "collect/1": false, "collect/2": true, "collect/open": true} {
		_, err := c.Report(t.Context(), run, "", 1<<20)
		if there {
			require.NoError(t, err, run)
		} else {
			require.ErrorIs(t, err, ErrNoRow, run)
		}
	}
	assert.Equal(t, 2, planIn(t, c, "collect/next", lines("a.zip", "b")).Unchanged)
	violations, err := query(t.Context(), c.reader, func(row scanner) (table string, err error) {
		var id, parent, fk any
		return table, row.Scan(&table, &id, &parent, &fk)
	}, "PRAGMA foreign_key_check")
	require.NoError(t, err)
	assert.Empty(t, violations)
}
