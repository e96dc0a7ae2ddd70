package catalog

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlanListingWritesEntriesAndBooks(t *testing.T) {
	c := open(t)
	listed := lines("a.zip", "b\xb1\xa8.csv", "")
	listed[1].Path = "b报.csv"
	young := line("young")
	young.State, young.Reason = StateDeferred, "too_young"
	evil := line("../evil")
	evil.State, evil.Reason, evil.Detail = StateRefused, "unsafe_name", "climbs\xff"
	listed = append(listed, young, evil)
	var books Books
	twice(t, c, func() {
		var err error
		books, err = c.PlanListing(t.Context(), testRun, testServer, listed, 4)
		require.NoError(t, err)
	})
	assert.Equal(t, Books{Listed: 5, Excluded: 4, Deferred: 1, Refused: 1, Pending: 3}, books)
	again, err := c.Books(t.Context(), testRun, testServer)
	require.NoError(t, err)
	assert.Equal(t, books, again)

	entries := pendingIn(t, c, testRun)
	require.Len(t, entries, 3)
	for i, e := range entries {
		assert.Equal(t, listed[i], e.Listed)
		assert.Equal(t, []string{testRun, testServer}, []string{e.Run, e.Server})
	}
}

func TestPlanListingCountsDuplicatesOnce(t *testing.T) {
	c := open(t)
	second := line("a")
	second.Size = 999
	books := planIn(t, c, testRun, append(lines("a", "b"), second, line("b")))
	assert.Equal(t, Books{Listed: 2, Pending: 2}, books)
	assert.EqualValues(t, 10, pendingIn(t, c, testRun)[0].Size, "the first line counts")
}

func TestPlanListingRejectsAnUnknownStateAndLeavesNothing(t *testing.T) {
	c := open(t)
	wrong := line("b")
	wrong.State = StateCollected
	_, err := c.PlanListing(t.Context(), testRun, testServer, append(lines("a"), wrong), 0)
	require.Error(t, err)
	assert.Empty(t, dump(t, c))
}

func TestPlanListingReplacesAnEarlierPlan(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a", "gone", "b"))
	before := pendingIn(t, c, testRun)
	changed := line("b")
	changed.Size++
	books := planIn(t, c, testRun, append(lines("a", "new"), changed))
	assert.Equal(t, Books{Listed: 3, Pending: 3}, books)
	after := pendingIn(t, c, testRun)
	assert.Equal(t, before[0], after[0], "what is still planned keeps its ID")
	_, err := c.Entry(t.Context(), before[1].ID)
	require.ErrorIs(t, err, ErrNoRow)
	for _, e := range after[1:] {
		assert.Greater(t, e.ID, before[2].ID, "IDs are never used again")
	}
}

func TestCollectedFilesAreUnchangedInTheNextRun(t *testing.T) {
	c := open(t)
	collectAll(t, c, testRun, "a", "b", "c", "d")
	next := lines("a", "b", "c", "d", "e")
	next[1].Size++
	next[2].ModTime = next[2].ModTime.Add(time.Nanosecond)
	next[3].State, next[3].Reason = StateDeferred, "too_young"
	books := planIn(t, c, "collect/next", next)
	assert.Equal(t, Books{Listed: 5, Unchanged: 2, Pending: 3}, books)

	other, err := c.PlanListing(t.Context(), "collect/next", "branch-002", lines("a"), 0)
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: 1, Pending: 1}, other, "another server's files are its own")
}

func TestPlanListingAgainAfterSettling(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a", "b", "c", "d"))
	entries := pendingIn(t, c, testRun)
	_, err := c.Settle(t.Context(), page(testRun, collected(entries[0], "x/a"), collected(entries[1], "x/b"),
		Settled{EntryID: entries[2].ID, State: StateFailed, Reason: "timeout"}))
	require.NoError(t, err)
	var books Books
	twice(t, c, func() { books = planIn(t, c, testRun, lines("a", "c", "d")) })
	assert.Equal(t, Books{Listed: 4, Collected: 2, Pending: 2, Bytes: 20}, books, "b was deleted after it was collected")
	assertBalanced(t, books)
}

func TestNextEntriesPages(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a", "b", "c", "d", "e"))
	var names string
	var after int64
	for range 3 {
		entries, err := c.NextEntries(t.Context(), testRun, testServer, after, 2)
		require.NoError(t, err)
		for _, e := range entries {
			names += e.Path
			after = e.ID
		}
		names += "|"
	}
	assert.Equal(t, "ab|cd|e|", names)
}

func TestBooksOfAnUnknownServerAreEmpty(t *testing.T) {
	books, err := open(t).Books(t.Context(), testRun, "nobody")
	require.NoError(t, err)
	assert.Zero(t, books)
}

func TestPlanListingOfManyFiles(t *testing.T) {
	const count = manyFiles
	c := open(t)
	listed := make([]Listed, count)
	for i := range listed {
		listed[i] = line(fmt.Sprintf("out/%06d.csv", i))
	}
	assert.Equal(t, Books{Listed: count, Pending: count}, planIn(t, c, testRun, listed))
	_, err := c.writer.Exec(`INSERT INTO files (server, raw_path, size, mtime, precision, sha256, path, version, bytes, zip_dir, local_path,
		entry_id, run, collected_at, remote_action, remote_done, remote_detail)
		SELECT ?, raw_path, size, mtime, precision, '', path, 1, size, '', path, id, '', 0, '', 0, '' FROM entries`, testServer)
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: count, Unchanged: count}, planIn(t, c, "collect/next", listed))
}
