package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOutcomes(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a", "b", "c", "d"))
	entries := pendingIn(t, c, testRun)
	done := collected(entries[0], "branch-001/a")
	_, err := c.Settle(t.Context(), page(testRun, done,
		Settled{EntryID: entries[1].ID, State: StateFailed, Reason: "file_vanished"}, Settled{EntryID: entries[2].ID, State: StateFailed, Reason: "file_vanished"}))
	require.NoError(t, err)
	require.NoError(t, c.SettlePending(t.Context(), testRun, entries[0].Server, "cancelled", ""))
	outcomes, err := c.Outcomes(t.Context(), testRun, entries[0].Server)
	require.NoError(t, err)
	assert.Equal(t, []Outcome{
		{State: StateCollected, Files: 1, Bytes: done.Size},
		{State: StateFailed, Reason: "cancelled", Files: 1, Bytes: entries[3].Size},
		{State: StateFailed, Reason: "file_vanished", Files: 2, Bytes: entries[1].Size + entries[2].Size},
	}, outcomes)
	outcomes, err = c.Outcomes(t.Context(), "collect/another", entries[0].Server)
	require.NoError(t, err)
	assert.Empty(t, outcomes)
}

// TestOutcomesWithoutSize: a file whose size nobody told has no bytes, rather than one too few.
func TestOutcomesWithoutSize(t *testing.T) {
	c := open(t)
	listed := line("a")
	listed.Size, listed.State, listed.Reason = -1, StateRefused, "no_size"
	planIn(t, c, testRun, []Listed{listed})
	outcomes, err := c.Outcomes(t.Context(), testRun, testServer)
	require.NoError(t, err)
	assert.Equal(t, []Outcome{{State: StateRefused, Reason: "no_size", Files: 1}}, outcomes)
}

func TestBacklog(t *testing.T) {
	c := open(t)
	none, err := c.Backlog(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Backlog{}, none)

	before := time.Now()
	waiting := collectAll(t, c, testRun, "a.zip", "b.zip")
	some, err := c.Backlog(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, some.Archives)
	assert.WithinRange(t, some.Oldest, before, time.Now(), "when the first was collected")

	own := "decompress/own"
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: own, Kind: KindDecompress, Start: monday}))
	require.NoError(t, c.AddArchives(t.Context(), []Archive{{Decompression: own, Run: own, ZipDir: "/elsewhere", Path: "x.zip", UnzipDir: "/u"}}))
	some, err = c.Backlog(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, some.Archives)
	assert.True(t, some.Oldest.Equal(monday), "one of no collection waits since its run began")

	for _, archive := range waiting {
		require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{extraction(archive.ID, archive.Path+"-out")}))
	}
	some, err = c.Backlog(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, some.Archives)
}

// TestBacklogOfOldFiles: what was collected long ago and is to be extracted once more has not waited for that long.
func TestBacklogOfOldFiles(t *testing.T) {
	c := open(t)
	for _, archive := range collectAll(t, c, testRun, "a.zip", "b.zip") {
		require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{extraction(archive.ID, archive.Path+"-out")}))
		archive.Decompression = "decompress/again"
		if archive.Path == "branch-001/b.zip" {
			archive.Run = archive.Decompression
		}
		require.NoError(t, c.AddArchives(t.Context(), []Archive{archive}))
	}
	again := time.Now().Add(time.Hour)
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: "decompress/again", Kind: KindDecompress, Start: again}))
	waiting, err := c.Backlog(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, waiting.Archives)
	assert.True(t, waiting.Oldest.Equal(again), "%s", waiting.Oldest)
}

func TestLastEnd(t *testing.T) {
	c := open(t)
	end, err := c.LastEnd(t.Context(), KindCollect)
	require.NoError(t, err)
	assert.True(t, end.IsZero())
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: "collect/1", Kind: KindCollect, Start: monday, End: monday.Add(time.Hour)}))
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: "collect/2", Kind: KindCollect, Start: monday.Add(2 * time.Hour)}))
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: "decompress/1", Kind: KindDecompress, Start: monday, End: monday.Add(9 * time.Hour)}))
	end, err = c.LastEnd(t.Context(), KindCollect)
	require.NoError(t, err)
	assert.Equal(t, monday.Add(time.Hour), end, "of the runs that have ended")
}

func TestCheck(t *testing.T) {
	c := open(t)
	require.NoError(t, c.Check(t.Context()))
	require.NoError(t, c.Close())
	assert.ErrorContains(t, c.Check(t.Context()), "catalog: ")
}
