package catalog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettleAPage(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a.zip", "b.csv", "c", "d", "e", "f"))
	e := pendingIn(t, c, testRun)
	settled := page(testRun, collected(e[0], "branch-001/a.zip"), collected(e[1], "branch-001/b.csv"),
		Settled{EntryID: e[2].ID, State: StateDeferred, Reason: "changing"},
		Settled{EntryID: e[3].ID, State: StateRefused, Reason: "too_large"},
		Settled{EntryID: e[4].ID, State: StateFailed, Reason: "timeout", Detail: strings.Repeat("é", maxDetail)})
	var archives []Archive
	twice(t, c, func() {
		var err error
		archives, err = c.Settle(t.Context(), settled)
		require.NoError(t, err)
	})
	require.Len(t, archives, 1)
	assert.Equal(t, Archive{
		ID: archives[0].ID, Decompression: testDecomp, Run: testRun, Server: testServer, FileID: archives[0].FileID,
		ZipDir: testZip, Path: "branch-001/a.zip", Size: e[0].Size, SHA256: settled.Files[0].SHA256, UnzipDir: testUnzip,
	}, archives[0])
	assert.NotZero(t, archives[0].FileID)

	books, err := c.Books(t.Context(), testRun, testServer)
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: 6, Deferred: 1, Refused: 1, Failed: 1, Collected: 2, Pending: 1, Bytes: 100}, books)
	failed, err := c.Entry(t.Context(), e[4].ID)
	require.NoError(t, err)
	assert.Equal(t, StateFailed, failed.State)
	assert.LessOrEqual(t, len(failed.Detail), maxDetail)
	assert.True(t, strings.HasSuffix(failed.Detail, "é…"))
}

func TestSettleRefusesNonsenseAndLeavesNothing(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a", "b"))
	e := pendingIn(t, c, testRun)
	before := dump(t, c)
	good := collected(e[0], "x/a")
	for name, bad := range map[string]Settled{
		"no such entry":     {EntryID: 999, State: StateFailed},
		"pending":           {EntryID: e[1].ID, State: StatePending},
		"without a hash":    {EntryID: e[1].ID, State: StateCollected, LocalPath: "x/b"},
		"without a path":    {EntryID: e[1].ID, State: StateCollected, SHA256: "b"},
		"on another's path": collected(e[1], "x/a"),
	} {
		_, err := c.Settle(t.Context(), page(testRun, good, bad))
		require.Error(t, err, name)
		assert.Equal(t, before, dump(t, c), name)
	}
	_, err := c.Settle(t.Context(), page("collect/other", good))
	require.ErrorIs(t, err, ErrNoRow)
}

func TestCollectedStaysCollected(t *testing.T) {
	c := open(t)
	collectAll(t, c, testRun, "a")
	before := dump(t, c)
	_, err := c.Settle(t.Context(), page(testRun, Settled{EntryID: 1, State: StateFailed, Reason: "late"}))
	require.NoError(t, err)
	assert.Equal(t, before, dump(t, c))
}

func TestAChangedFileIsASecondVersion(t *testing.T) {
	c := open(t)
	collectAll(t, c, testRun, "a.zip", "b")
	changed := line("a.zip")
	changed.Size = 77
	planIn(t, c, "collect/next", []Listed{changed, line("b")})
	entry := pendingIn(t, c, "collect/next")[0]

	taken, err := c.LocalPathTaken(t.Context(), testZip, "branch-001/a.zip", entry.ID, collected(entry, "").SHA256)
	require.NoError(t, err)
	assert.True(t, taken, "by the first version")
	taken, err = c.LocalPathTaken(t.Context(), testZip, "branch-001/a~2.zip", entry.ID, collected(entry, "").SHA256)
	require.NoError(t, err)
	assert.False(t, taken)
	_, err = c.Settle(t.Context(), page("collect/next", collected(entry, "branch-001/a~2.zip")))
	require.NoError(t, err)
	taken, err = c.LocalPathTaken(t.Context(), testZip, "branch-001/a~2.zip", entry.ID, collected(entry, "").SHA256)
	require.NoError(t, err)
	assert.False(t, taken, "a version is not in its own way")
	_, err = c.LocalPathTaken(t.Context(), testZip, "x", 999, collected(entry, "").SHA256)
	require.ErrorIs(t, err, ErrNoRow)

	versions, err := query(t.Context(), c.reader, func(row scanner) (v int, err error) { return v, row.Scan(&v) },
		`SELECT version FROM files WHERE raw_path = ? ORDER BY id`, []byte("a.zip"))
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, versions)
}

func TestOneVersionWithTwoContentsIsKeptTwice(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a"))
	planIn(t, c, "collect/parallel", lines("a"))
	one, two := pendingIn(t, c, testRun)[0], pendingIn(t, c, "collect/parallel")[0]
	_, err := c.Settle(t.Context(), page(testRun, collected(one, "x/a")))
	require.NoError(t, err)
	other := collected(two, "x/a~2")
	other.SHA256 = "other"
	_, err = c.Settle(t.Context(), page("collect/parallel", other))
	require.NoError(t, err)
	var count int
	require.NoError(t, c.reader.QueryRow("SELECT count(DISTINCT local_path || version) FROM files").Scan(&count))
	assert.Equal(t, 2, count)
}

func TestTwoRunsCollectTheSameVersion(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("a.zip"))
	planIn(t, c, "collect/parallel", lines("a.zip"))
	for _, run := range []string{testRun, "collect/parallel"} {
		_, err := c.Settle(t.Context(), page(run, collected(pendingIn(t, c, run)[0], "x/a.zip")))
		require.NoError(t, err)
		books, err := c.Books(t.Context(), run, testServer)
		require.NoError(t, err)
		assert.Equal(t, Books{Listed: 1, Collected: 1, Bytes: 50}, books)
	}
	var count int
	require.NoError(t, c.reader.QueryRow("SELECT count(*) FROM files").Scan(&count))
	assert.Equal(t, 1, count)
}

// TestSettleCompletesAnArchive: what was said of a set before its last volumes came is gone, once, and it is extracted again.
func TestSettleCompletesAnArchive(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, lines("x.7z.001", "x.7z.002"))
	e := pendingIn(t, c, testRun)
	early := collected(e[0], "branch-001/x.7z.001")
	early.Archive = true
	archives, err := c.Settle(t.Context(), page(testRun, early))
	require.NoError(t, err)
	require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{extraction(archives[0].ID, "branch-001/x")}))

	late := page(testRun, collected(e[1], "branch-001/x.7z.002"))
	late.Files[0].Archive = false
	late.Decompression += "/2"
	late.Completed = []Archive{{Path: "branch-001/x.7z.001", Size: 7}}
	twice(t, c, func() {
		archives, err = c.Settle(t.Context(), late)
		require.NoError(t, err)
	})
	require.Len(t, archives, 1)
	pending, err := c.PendingArchives(t.Context(), late.Decompression, 0, 10)
	require.NoError(t, err)
	require.Len(t, pending, 1)
	assert.Equal(t, testServer, pending[0].Server)
	total, _, _, _, _, err := c.DecompressionTotals(t.Context(), testDecomp)
	require.NoError(t, err)
	assert.Zero(t, total, "the earlier outcome does not hold any more")
}
