package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func forget(t *testing.T, c *Catalog, r ForgetRequest) []Forgotten {
	t.Helper()
	forgotten, err := c.Forget(t.Context(), r)
	require.NoError(t, err)
	return forgotten
}

// TestForget: by each of its names a file is new to the next listing, and only that file; what was known of it stays known.
func TestForget(t *testing.T) {
	for _, name := range []string{"a.zip", "branch-001/a.zip", testZip + "/branch-001/a.zip"} {
		c := open(t)
		collectAll(t, c, testRun, "a.zip", "b")
		forgotten := forget(t, c, ForgetRequest{Name: name})
		assert.Equal(t, []Forgotten{{
			Server: testServer, Kind: ForgottenCollected, Path: "a.zip", LocalPath: "branch-001/a.zip", Version: 1, Size: 50, ModTime: monday.UTC(),
		}}, forgotten)
		assert.True(t, forget(t, c, ForgetRequest{Name: name})[0].Again)

		books := planIn(t, c, "collect/next", lines("a.zip", "b"))
		assert.Equal(t, Books{Listed: 2, Unchanged: 1, Pending: 1}, books, name)
		var count int
		require.NoError(t, c.reader.QueryRow("SELECT count(*) FROM entries WHERE file_id IS NOT NULL").Scan(&count))
		assert.Equal(t, 2, count, "the first run's report still has it")
	}
}

// TestForgottenFileIsCollectedIntoItsPlace: the row is taken over, so that the file is known again and belongs to the run that fetched it.
func TestForgottenFileIsCollectedIntoItsPlace(t *testing.T) {
	c := open(t)
	collectAll(t, c, testRun, "a.zip")
	file := remoteActions(t, c)[0]
	require.NoError(t, c.RemoteDone(t.Context(), file.FileID))
	assert.Equal(t, "delete", forget(t, c, ForgetRequest{Name: "a.zip"})[0].Gone, "said, because it cannot be had again")

	again := line("a.zip") // as LIST tells it, where MLSD had the seconds
	again.ModTime, again.Precision = monday.Truncate(time.Minute), time.Minute
	planIn(t, c, "collect/next", []Listed{again})
	entry := pendingIn(t, c, "collect/next")[0]
	hash := "sha-a.zip" + line("a.zip").ModTime.String()
	taken, err := c.LocalPathTaken(t.Context(), testZip, "branch-001/a.zip", entry.ID, hash)
	require.NoError(t, err)
	assert.False(t, taken)
	taken, err = c.LocalPathTaken(t.Context(), testZip, "branch-001/a.zip", entry.ID, "other contents")
	require.NoError(t, err)
	assert.True(t, taken, "the catalog says that something else lies there")

	settled := collected(entry, "branch-001/a.zip")
	settled.SHA256 = hash
	twice(t, c, func() {
		_, err := c.Settle(t.Context(), page("collect/next", settled))
		require.NoError(t, err)
	})
	assert.Equal(t, Books{Listed: 1, Unchanged: 1}, planIn(t, c, "collect/later", []Listed{again}), "known again")
	var count int
	require.NoError(t, c.reader.QueryRow("SELECT count(*) FROM files WHERE run = 'collect/next' AND version = 1").Scan(&count))
	assert.Equal(t, 1, count)
	assert.Equal(t, file.FileID, remoteActions(t, c)[0].FileID, "it is to be deleted again")
}

// remoteActions are the pending ones.
func remoteActions(t *testing.T, c *Catalog) []RemoteAction {
	t.Helper()
	actions, err := c.RemoteActions(t.Context(), testServer, 10)
	require.NoError(t, err)
	return actions
}

func TestForgetVersions(t *testing.T) {
	c := open(t)
	collectAll(t, c, testRun, "a.zip")
	changed := line("a.zip")
	changed.Size = 77
	planIn(t, c, "collect/next", []Listed{changed})
	_, err := c.Settle(t.Context(), page("collect/next", collected(pendingIn(t, c, "collect/next")[0], "branch-001/a~2.zip")))
	require.NoError(t, err)

	versions := func(r ForgetRequest) (all []int) {
		for _, f := range forget(t, c, r) {
			all = append(all, f.Version)
		}
		return all
	}
	assert.Equal(t, []int{2}, versions(ForgetRequest{Name: "a.zip"}), "the newest")
	assert.Equal(t, []int{1}, versions(ForgetRequest{Name: "branch-001/a.zip"}), "the one that lies there")
	assert.Equal(t, []int{2, 1}, versions(ForgetRequest{Name: "a.zip", AllVersions: true}))
	assert.Equal(t, []int{2, 1}, versions(ForgetRequest{Name: "branch-001/a.zip", AllVersions: true}))
}

// TestForgetWhatWasNeverCollected: an adopted file becomes a new one, and one that is watched begins anew.
func TestForgetWhatWasNeverCollected(t *testing.T) {
	c := open(t)
	old, young := line("/out/old"), line("/out/young")
	planWith(t, c, testRun, []Listed{old}, PlanOptions{Baseline: Baseline{Adopt: true}})
	planWith(t, c, "collect/2", []Listed{old, young}, PlanOptions{Stable: time.Hour, Now: monday})
	dirs := map[string]string{testServer: "/out"}
	assert.Equal(t, ForgottenAdopted, forget(t, c, ForgetRequest{Name: "old", Dirs: dirs})[0].Kind)
	assert.Equal(t, ForgottenObserved, forget(t, c, ForgetRequest{Name: "/out/young", Server: testServer, Dirs: dirs})[0].Kind)
	plan := planWith(t, c, "collect/3", []Listed{old, young}, PlanOptions{Stable: time.Hour, Now: monday.Add(2 * time.Hour)})
	assert.Equal(t, 2, plan.Unstable, "nothing is known of either")
}

func TestForgetRefuses(t *testing.T) {
	c := open(t)
	collectAll(t, c, testRun, "report-a.zip", "b")
	_, err := c.writer.Exec(`INSERT INTO files (server, raw_path, size, mtime, precision, sha256, path, version, bytes, zip_dir, local_path, entry_id,
		run, collected_at, remote_action, remote_done, remote_detail)
		SELECT 'branch-002', raw_path, size, mtime, precision, sha256, path, version, bytes, zip_dir, 'branch-002/' || path, entry_id, run, collected_at,
		'', 0, '' FROM files WHERE path = 'b'`)
	require.NoError(t, err)
	before := dump(t, c)
	_, err = c.Forget(t.Context(), ForgetRequest{Name: "b"})
	require.ErrorIs(t, err, ErrAmbiguous)
	assert.ErrorContains(t, err, "branch-001, branch-002")
	_, err = c.Forget(t.Context(), ForgetRequest{Name: "report-A.zip"})
	require.ErrorIs(t, err, ErrNoRow)
	_, err = c.Forget(t.Context(), ForgetRequest{Name: "b", Server: "branch-003"})
	require.ErrorIs(t, err, ErrNoRow)
	assert.Equal(t, before, dump(t, c), "nothing is forgotten then")

	near, err := c.NearFiles(t.Context(), "Report-a.csv", "", 3)
	require.NoError(t, err)
	assert.Equal(t, []string{"branch-001/report-a.zip"}, near)
	assert.Len(t, forget(t, c, ForgetRequest{Name: "b", Server: "branch-002"}), 1)
}
