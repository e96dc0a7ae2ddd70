package catalog

import (
	"errors"
	"fmt"
	"path/filepath"
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
		books = planWith(t, c, testRun, listed, PlanOptions{Excluded: func() int { return 4 }}).Books
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
	_, err := c.PlanListing(t.Context(), testRun, testServer, each(append(lines("a"), wrong)), PlanOptions{})
	require.Error(t, err)
	assert.Empty(t, dump(t, c))
}

func TestAListingThatBreaksOffLeavesNothing(t *testing.T) {
	c := open(t)
	planIn(t, c, "collect/earlier", lines("a"))
	before := dump(t, c)
	gone := errors.New("connection reset")
	_, err := c.PlanListing(t.Context(), testRun, testServer, func(yield func(Listed, error) bool) {
		for _, l := range manyLines(3 * siftBatch) {
			if !yield(l, nil) {
				return
			}
		}
		assert.False(t, yield(Listed{}, gone), "nobody reads on")
	}, PlanOptions{})
	require.ErrorIs(t, err, gone)
	assert.ErrorContains(t, err, testServer)
	assert.Equal(t, before, dump(t, c))
	left, err := filepath.Glob(filepath.Join(c.dir, "listing-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAListingThatTakesItsTimeLocksNobodyOut(t *testing.T) {
	c := open(t)
	listed := manyLines(2*siftBatch + 1)
	_, err := c.PlanListing(t.Context(), testRun, testServer, func(yield func(Listed, error) bool) {
		for i, l := range listed {
			if i%siftBatch == 0 {
				assert.NoError(t, c.SaveRun(t.Context(), RunRow{ID: testRun, Kind: KindCollect}))
				other, err := c.PlanListing(t.Context(), testRun, "branch-002", each(lines("a")), PlanOptions{})
				assert.NoError(t, err)
				assert.Equal(t, 1, other.Books.Listed)
			}
			if !yield(l, nil) {
				return
			}
		}
	}, PlanOptions{})
	require.NoError(t, err)
	entries := pendingIn(t, c, testRun)
	require.Len(t, entries, len(listed))
	for i, e := range entries {
		assert.Equal(t, listed[i], e.Listed)
	}
}

func TestAFileThatIsCollectedWhileItIsListedAgainStaysCollected(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a", "b"))
	entries := pendingIn(t, c, testRun)
	plan, err := c.PlanListing(t.Context(), testRun, testServer, func(yield func(Listed, error) bool) {
		listed := manyLines(siftBatch - 1)
		for _, l := range append(lines("a"), listed...) { // which fill a batch: the next line comes after the look for "a"
			if !yield(l, nil) {
				return
			}
		}
		_, err := c.Settle(t.Context(), page(testRun, collected(entries[0], "x/a")))
		assert.NoError(t, err)
		yield(line("b"), nil)
	}, PlanOptions{})
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: siftBatch + 1, Collected: 1, Pending: siftBatch, Bytes: 10}, plan.Books)
}

func TestExcludedIsAskedAfterTheListing(t *testing.T) {
	c := open(t)
	excluded := 0
	plan, err := c.PlanListing(t.Context(), testRun, testServer, func(yield func(Listed, error) bool) {
		excluded = 7
		yield(line("a"), nil)
	}, PlanOptions{Excluded: func() int { return excluded }})
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: 1, Excluded: 7, Pending: 1}, plan.Books)
}

func TestLastListing(t *testing.T) {
	c := open(t)
	last := func(exceptRun string) (int, bool) {
		files, ok, err := c.LastListing(t.Context(), testServer, exceptRun)
		require.NoError(t, err)
		return files, ok
	}
	planWith(t, c, "collect/2", lines("a", "b"), PlanOptions{Excluded: func() int { return 3 }})
	_, ok := last("collect/2")
	assert.False(t, ok, "its own listing does not count")
	files, ok := last("collect/1")
	assert.Equal(t, []any{5, true}, []any{files, ok}, "the order is that of the listings, not of the names")
	planIn(t, c, "collect/1", lines("a"))
	files, _ = last("collect/0")
	assert.Equal(t, 1, files)
	files, _ = last("collect/1")
	assert.Equal(t, 5, files)
	_, ok = last("collect/2")
	assert.False(t, ok, "what was listed later does not count")
	planIn(t, c, "collect/0", nil)
	files, ok = last("collect/next")
	assert.Equal(t, []any{0, true}, []any{files, ok}, "an empty listing is a listing")
	_, ok, err := c.LastListing(t.Context(), "nobody", testRun)
	require.NoError(t, err)
	assert.False(t, ok)
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

	other, err := c.PlanListing(t.Context(), "collect/next", "branch-002", each(lines("a")), PlanOptions{})
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: 1, Pending: 1}, other.Books, "another server's files are its own")
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
	listed := manyLines(count)
	assert.Equal(t, Books{Listed: count, Pending: count}, planIn(t, c, testRun, listed))
	collectEverything(t, c)
	assert.Equal(t, Books{Listed: count, Unchanged: count}, planIn(t, c, "collect/next", listed))
}

func manyLines(count int) []Listed {
	listed := make([]Listed, count)
	for i := range listed {
		listed[i] = line(fmt.Sprintf("out/%06d.csv", i))
	}
	return listed
}

// collectEverything makes a collected file of every entry.
func collectEverything(t testing.TB, c *Catalog) {
	t.Helper()
	_, err := c.writer.Exec(`INSERT INTO files (server, raw_path, size, mtime, precision, sha256, path, version, bytes, zip_dir, local_path,
		entry_id, run, collected_at, remote_action, remote_done, remote_detail)
		SELECT ?, raw_path, size, mtime, precision, '', path, 1, size, '', path, id, '', 0, '', 0, '' FROM entries`, testServer)
	require.NoError(t, err)
}
