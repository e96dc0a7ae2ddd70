package warehouse

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func openForTest(t *testing.T) *Warehouse {
	t.Helper()
	w, err := Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w
}

func TestMakeStagedDirStaysInTheStage(t *testing.T) {
	w := openForTest(t)
	dir, err := w.MakeStagedDir("extract/a/tree")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(w.StageDir(), "extract/a/tree"), dir)
	assert.DirExists(t, dir)
	_, err = w.MakeStagedDir("../zip/evil")
	assert.ErrorIs(t, err, ErrOutside)
	assert.NoDirExists(t, filepath.Join(w.ZipDir(), "evil"))
}

func TestReadStaged(t *testing.T) {
	w := openForTest(t)
	require.NoError(t, os.WriteFile(filepath.Join(w.StageDir(), "m"), []byte("1234"), 0o600))
	content, err := w.ReadStaged("m", 4)
	require.NoError(t, err)
	assert.Equal(t, "1234", string(content))
	_, err = w.ReadStaged("m", 3)
	assert.ErrorIs(t, err, ErrDamaged)
	_, err = w.ReadStaged("none", 3)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = w.ReadStaged("../state/catalog.db", 3)
	assert.ErrorIs(t, err, ErrOutside)
}

func TestRemoveStagedExceptKeepsOneEntry(t *testing.T) {
	w := openForTest(t)
	for _, name := range []string{"collect/s/old/1", "collect/s/old/2", "collect/s/mine/1", "collect/other/old/1"} {
		f, err := w.CreateStaged(name)
		require.NoError(t, err)
		_, err = f.Close()
		require.NoError(t, err)
	}
	files, err := w.RemoveStagedExcept("collect/s", "mine")
	require.NoError(t, err)
	assert.Equal(t, 2, files)
	assert.NoDirExists(t, filepath.Join(w.StageDir(), "collect/s/old"))
	assert.FileExists(t, filepath.Join(w.StageDir(), "collect/s/mine/1"))
	assert.FileExists(t, filepath.Join(w.StageDir(), "collect/other/old/1"))
	files, err = w.RemoveStagedExcept("collect/unknown", "mine")
	require.NoError(t, err)
	assert.Zero(t, files)
}

// TestOpenStaged: nothing but a regular file is opened, wherever a name leads.
func TestOpenStaged(t *testing.T) {
	w := openHouse(t)
	stage(t, w, "bundles/a", "alpha")
	dir := filepath.Join(w.StageDir(), "bundles")
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(dir, "far")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))

	file, err := w.OpenStaged("bundles/a")
	require.NoError(t, err)
	content, err := io.ReadAll(file)
	require.NoError(t, errors.Join(err, file.Close()))
	assert.Equal(t, "alpha", string(content))
	for _, name := range []string{"bundles/link", "bundles/far", "bundles/pipe", "bundles"} {
		_, err := w.OpenStaged(name)
		require.ErrorIs(t, err, ErrDamaged, name)
	}
	_, err = w.OpenStaged("bundles/missing")
	require.ErrorIs(t, err, fs.ErrNotExist)
	for _, name := range []string{"../zip", "/etc/hostname", ""} {
		_, err := w.OpenStaged(name)
		require.ErrorIs(t, err, ErrOutside, name)
	}
}

// TestStageByItself: a host without a warehouse has work in progress as well.
func TestStageByItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "scratch")
	s, err := OpenStage(dir)
	require.NoError(t, err)
	held, release, err := s.HoldStagedDir("eagle/one")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "eagle/one"), held)
	require.NoError(t, os.WriteFile(filepath.Join(held, "x"), []byte("x"), 0o600))
	other, err := OpenStage(dir)
	require.NoError(t, err)
	files, err := other.RemoveAbandoned("eagle", "")
	require.NoError(t, err)
	assert.Zero(t, files, "it is held")
	require.NoError(t, errors.Join(release(), s.Close(), other.Close()))
	assert.NoDirExists(t, held)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no directory of a warehouse is made")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = OpenStage(filepath.Join(file, "scratch"))
	require.Error(t, err)
}

func TestStagedFilesHaveTheirOwnTime(t *testing.T) {
	w := openHouse(t)
	staged, err := w.CreateStaged("a")
	require.NoError(t, err)
	then := time.Date(1999, time.December, 31, 23, 59, 59, 123456789, time.UTC)
	_, err = staged.Write([]byte("x"))
	require.NoError(t, errors.Join(err, staged.SetTime(then)))
	_, err = staged.Close()
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(w.StageDir(), "a"))
	require.NoError(t, err)
	assert.True(t, info.ModTime().Equal(then), "%s", info.ModTime())
}
