package warehouse

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStagedTree(t *testing.T) {
	w := openForTest(t)
	tree := w.NewTree("extract/a/tree")
	then := time.Date(2026, 6, 30, 18, 0, 7, 0, time.UTC)
	create := func(name string) {
		f, err := tree.Create(name)
		require.NoError(t, err, name)
		_, err = f.Write([]byte(name))
		require.NoError(t, err)
		require.NoError(t, f.SetTime(then))
		require.Equal(t, "extract/a/tree/"+name, f.Mark().Name)
		got, err := f.Close()
		require.NoError(t, err)
		require.EqualValues(t, len(name), got.Size)
	}
	names := []string{"b/c/1", "b/c/2", "b/3", "b/c/4", "5", "b/d/e/6"}
	for _, name := range names {
		create(name)
	}
	for _, name := range names {
		file := filepath.Join(w.StageDir(), "extract/a/tree", name)
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, name, string(content))
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.True(t, info.ModTime().Equal(then))
	}
	_, err := tree.Create("b/c/1")
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = tree.Create("5/7")
	require.Error(t, err, "a file is in the way")
	for _, name := range []string{"../x", "/x", "b/../../x", ""} {
		_, err = tree.Create(name)
		require.ErrorIs(t, err, ErrOutside, name)
	}
	require.NoError(t, os.Symlink(w.ZipDir(), filepath.Join(w.StageDir(), "extract/a/tree/out")))
	_, err = tree.Create("out/x")
	require.Error(t, err)
	f, err := tree.Create("b/gone")
	require.NoError(t, err)
	require.NoError(t, f.Discard())
	assert.NoFileExists(t, filepath.Join(w.StageDir(), "extract/a/tree/b/gone"))
	require.NoError(t, tree.Close())
	left, err := os.ReadDir(w.ZipDir())
	require.NoError(t, err)
	assert.Empty(t, left)
}

// TestStagedTreeAfterTheJanitor: a directory that is empty may be removed at any moment.
func TestStagedTreeAfterTheJanitor(t *testing.T) {
	w := openForTest(t)
	tree := w.NewTree("a")
	f, err := tree.Create("b/1")
	require.NoError(t, err)
	require.NoError(t, f.Discard())
	require.NoError(t, os.RemoveAll(filepath.Join(w.StageDir(), "a")))
	f, err = tree.Create("b/2")
	require.NoError(t, err)
	require.NoError(t, f.Keep())
	assert.FileExists(t, filepath.Join(w.StageDir(), "a/b/2"))
	require.NoError(t, tree.Close())
}

func TestDescentOpens(t *testing.T) {
	w := openForTest(t)
	stage(t, w, "a/1", "one")
	stage(t, w, "b/2", "two")
	require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(w.StageDir(), "a/far")))
	descent := NewDescent(w.stage)
	read := func(name string) (string, error) {
		content, err := fs.ReadFile(descent, name)
		return string(content), err
	}
	for range 2 {
		for name, want := range map[string]string{"a/1": "one", "b/2": "two"} {
			got, err := read(name)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
		for _, name := range []string{"a/2", "c/1"} {
			_, err := read(name)
			require.ErrorIs(t, err, fs.ErrNotExist, name)
		}
		for _, name := range []string{"a/far", "../zip", "a/../../zip"} {
			_, err := read(name)
			require.Error(t, err, name)
		}
	}
	require.NoError(t, descent.Close())
}

// TestWalkHoldsFewDirectories: nobody can make tiger run out of file descriptors by the depth of what he delivers.
func TestWalkHoldsFewDirectories(t *testing.T) {
	w := openForTest(t)
	const depth = 100
	name := strings.Repeat("d/", depth)
	stage(t, w, name+"file", "deep")
	descriptors := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(open)
	}
	before, most, last := descriptors(), 0, ""
	require.NoError(t, walk(w.stage, "d", func(name string, _ fs.FileInfo) error {
		most, last = max(most, descriptors()), name
		return nil
	}))
	assert.Equal(t, name+"file", last, "what a directory holds comes after it")
	assert.Less(t, most, before+10)
}
