package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
	"talon/internal/devstack"
)

// TestTigerKilled kills the tiger worker twice with SIGKILL in the middle of a transfer: of a small file, in a page after one
// that was committed; and of one that is large enough for an activity with heartbeats. Each time a new worker takes over.
func TestTigerKilled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.addSite("a"), s.addSite("b")
	for i := range 9 {
		a.put(fmt.Sprintf("%d.csv", i), text(fmt.Sprint("a", i), 3000))
	}
	a.putZip("0.zip", member("one.txt", text("one", 5000)), member("sub/two.txt", text("two", 100)))
	b.put("large.csv", text("large", 300_000))
	b.put("small.csv", text("small", 300))
	s.configure("collect: {page: 4, small_file: 100KiB}")
	small, large := a.hold("6.csv"), b.hold("large.csv")
	s.watch()
	s.start()

	run := s.beginCollect()
	await(s, "transfer of 6.csv", small.held)
	await(s, "transfer of large.csv", large.held)
	s.eventually("the first page in the warehouse", func() bool {
		visible, err := s.look()
		return err == nil && visible["zip/a/0.csv"] != ""
	})
	require.NoError(t, s.tiger.Kill())
	require.NotEmpty(t, s.staged(), "a half of a file was left behind")
	small.forget()
	s.startTiger()
	await(s, "second transfer of 6.csv", small.held)
	require.NoError(t, s.tiger.Kill())
	s.startTiger()
	small.release()
	large.release()

	result := run.result(complete)
	s.requireWarehouse()
	s.requireFiles(result)
	assert.Equal(t, 10, result.Servers["a"].NumberOfFiles)
	assert.Equal(t, 2, result.Servers["b"].NumberOfFiles)
	s.requireNothingNew()
}

// TestTigerKilledWhilePublishing kills the tiger worker as soon as the first of many files becomes visible, and again at the
// first directory of extracted files: between the renames, or between them and the catalog. A new worker finds some of its
// work done.
func TestTigerKilledWhilePublishing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.settings = ", connections: 16"
	for i := range 240 {
		a.put(fmt.Sprintf("f%03d.csv", i), text(fmt.Sprint(i), 200))
	}
	for i := range 60 {
		a.putZip(fmt.Sprintf("p%02d.zip", i), member("m.txt", text(fmt.Sprint(i), 200)), member("n.txt", text("n", i)))
	}
	s.configure("")
	s.watch()
	s.start()

	run := s.beginCollect()
	for _, top := range []string{"zip", "unzip"} {
		dir := filepath.Join(s.root, top, "a")
		s.awaitEntry(dir)
		require.NoError(t, s.tiger.Kill())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		t.Logf("killed with %d entries in %s", len(entries), top)
		s.startTiger()
	}
	result := run.result(complete)
	assert.Equal(t, 300, result.Servers["a"].NumberOfFiles)
	assert.Equal(t, 60, result.Decompress.Succeeded)
	s.requireWarehouse()
	s.requireFiles(result)
	s.requireNothingNew()
}

// awaitEntry waits for the first entry in a directory, without a pause between two looks.
func (s *stack) awaitEntry(dir string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return
		}
	}
	require.FailNow(s.t, "nothing became visible in "+dir)
}

// requireNothingNew demands that another collection finds everything unchanged.
func (s *stack) requireNothingNew() {
	s.t.Helper()
	for name, row := range s.collect(complete).Servers {
		assert.Zero(s.t, row.NumberOfFiles, name)
		assert.Equal(s.t, row.Listed, row.Unchanged, name)
	}
	s.requireWarehouse()
}

// TestEagleKilled kills the eagle worker with SIGKILL when it has extracted a part of the archives.
func TestEagleKilled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	for i := range 24 {
		var members []archivetest.File
		for j := range 50 {
			members = append(members, member(fmt.Sprintf("dir-%d/%d.txt", j%5, j), text(fmt.Sprint(i, "/", j), 20_000)))
		}
		a.putZip(fmt.Sprintf("p%02d.zip", i), members...)
	}
	s.configure("extract: {batch_archives: 12}")
	s.watch()
	s.start()

	run := s.beginCollect()
	s.eventually("work of the eagle in the stage", s.extracting)
	require.NoError(t, s.eagle.Kill())
	require.NotEmpty(t, s.staged(), "the eagle left something unfinished")
	visible, err := s.look()
	require.NoError(t, err)
	require.Less(t, len(visible), len(s.want.all()), "the eagle had finished before it was killed")
	s.startEagle()

	result := run.result(complete)
	assert.Equal(t, 24, result.Decompress.Succeeded)
	s.requireWarehouse()
	s.requireNothingNew()
}

// extracting tells whether a file that eagle has extracted lies in the stage.
func (s *stack) extracting() bool {
	found := false
	_ = filepath.WalkDir(filepath.Join(s.root, "stage", "extract"), func(_ string, entry fs.DirEntry, err error) error {
		found = found || err == nil && entry.Type().IsRegular()
		if found {
			return fs.SkipAll
		}
		return nil // what comes and goes while it is looked at is looked at again
	})
	return found
}

// TestTemporalKilled kills the Temporal server in the middle of a run and starts it again with its database. The workers and
// the starter go on as if nothing had been.
func TestTemporalKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{
		CLI: temporalCLI, Headless: true, DBFile: filepath.Join(dir, "temporal.db"), Log: filepath.Join(dir, "temporal.log"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Kill()) })
	s := newStackOn(t, server)
	a := s.addSite("a")
	for i := range 9 {
		a.put(fmt.Sprintf("%d.csv", i), text(fmt.Sprint("a", i), 3000))
	}
	a.putZip("0.zip", member("one.txt", text("one", 5000)))
	s.configure("collect: {page: 4}")
	held := a.hold("6.csv")
	s.watch()
	s.start()

	run := s.beginCollect()
	await(s, "transfer of 6.csv", held.held)
	require.NoError(t, server.Kill())
	held.release()
	require.NoError(t, server.Restart(t.Context()))

	result := run.result(complete)
	s.requireWarehouse()
	s.requireFiles(result)
	s.requireNothingNew()
	for _, worker := range []*devstack.Process{s.tiger, s.eagle} {
		select {
		case <-worker.Done():
			require.Fail(t, "a worker did not survive", worker.LogTail())
		default:
		}
	}
}
