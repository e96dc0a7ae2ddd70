package warehouse

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

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
