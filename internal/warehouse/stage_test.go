package warehouse

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// strays are names that must be refused wherever a path below a directory is meant.
var strays = []string{"", ".", "..", "../x", "a/../../x", "/etc/passwd", "a/.."}

func TestStagedFile(t *testing.T) {
	w := openHouse(t)
	f, err := w.CreateStaged("run/attempt-1/0001")
	require.NoError(t, err)
	for _, part := range []string{"hello ", "", "world"} {
		n, err := f.Write([]byte(part))
		require.NoError(t, err)
		assert.Equal(t, len(part), n)
	}
	got, err := f.Close()
	require.NoError(t, err)
	assert.Equal(t, identity("hello world"), got)
	file := filepath.Join(w.StageDir(), "run/attempt-1/0001")
	assert.Equal(t, "hello world", read(t, file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o640), info.Mode())

	_, err = w.CreateStaged("run/attempt-1/0001")
	require.ErrorIs(t, err, fs.ErrExist)
	require.NoError(t, f.Discard())
	require.NoError(t, f.Discard())
	assert.NoFileExists(t, file)
}

func TestDiscardAnOpenFile(t *testing.T) {
	w := openHouse(t)
	f, err := w.CreateStaged("x")
	require.NoError(t, err)
	require.NoError(t, f.Discard())
	assert.NoFileExists(t, filepath.Join(w.StageDir(), "x"))
	_, err = f.Write([]byte("late"))
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestStageRefusesStrays(t *testing.T) {
	w := openHouse(t)
	for _, name := range strays {
		_, err := w.CreateStaged(name)
		require.ErrorIs(t, err, ErrOutside, "%q", name)
		_, err = w.RemoveStaged(name)
		require.ErrorIs(t, err, ErrOutside, "%q", name)
		require.ErrorIs(t, w.VerifyTree(name, nil, false), ErrOutside, "%q", name)
	}
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(w.StageDir(), "link")))
	_, err := w.CreateStaged("link/x")
	require.Error(t, err, "links do not lead out")
}

func TestAFullDiskIsRecognisable(t *testing.T) {
	w := openHouse(t)
	f, err := w.CreateStaged("x")
	require.NoError(t, err)
	require.NoError(t, f.file.Close())
	f.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Discard())
}

func TestRemoveStaged(t *testing.T) {
	w := openHouse(t)
	stage(t, w, "a/1", "")
	stage(t, w, "a/deep/er/2", "")
	write(t, filepath.Join(w.StageDir(), "a/\xff"), "")
	require.NoError(t, os.Symlink("/", filepath.Join(w.StageDir(), "a/link")))
	stage(t, w, "b", "stays")
	for _, want := range []int{4, 0} {
		files, err := w.RemoveStaged("a")
		require.NoError(t, err)
		assert.Equal(t, want, files)
	}
	assert.NoDirExists(t, filepath.Join(w.StageDir(), "a"))
	assert.FileExists(t, filepath.Join(w.StageDir(), "b"))
	files, err := w.RemoveStaged("b")
	require.NoError(t, err)
	assert.Equal(t, 1, files)
}

func TestSweepStage(t *testing.T) {
	w := openHouse(t)
	for _, name := range []string{"run1/a/x", "run1/a/y/z", "run1/b/x", "run2/a", "file", "kept", "\xff/\xfe"} {
		write(t, filepath.Join(w.StageDir(), name), "")
	}
	require.NoError(t, os.Mkdir(filepath.Join(w.StageDir(), "empty"), 0o700))
	require.NoError(t, os.Symlink("run1", filepath.Join(w.StageDir(), "link")))
	var asked []string
	files, err := w.SweepStage(func(name string, _ time.Time) bool {
		asked = append(asked, name)
		return name == "run1/b" || name == "kept"
	})
	require.NoError(t, err)
	assert.Equal(t, 6, files)
	slices.Sort(asked)
	assert.Equal(t, []string{
		"empty", "file", "kept", "link", "run1", "run1/a", "run1/b", "run2", "run2/a", "\xff", "\xff/\xfe",
	}, asked)
	left, err := list(w.stage, ".")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"run1", "kept"}, left)
	assert.FileExists(t, filepath.Join(w.StageDir(), "run1/b/x"))
}

func TestSweepStageTellsTheLastChangeOfTheWholeTree(t *testing.T) {
	w := openHouse(t)
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"run/old/x", "run/busy/deep/x"} {
		write(t, filepath.Join(w.StageDir(), name), "")
	}
	future := time.Now().Add(time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(filepath.Join(w.StageDir(), "run/busy/deep/x"), future, future))
	require.NoError(t, os.Chtimes(filepath.Join(w.StageDir(), "run/busy"), old, old))
	times := map[string]time.Time{}
	files, err := w.SweepStage(func(name string, changed time.Time) bool {
		times[name] = changed
		return true
	})
	require.NoError(t, err)
	assert.Zero(t, files)
	assert.Equal(t, future, times["run/busy"])
	assert.Equal(t, future, times["run"])
	assert.WithinRange(t, times["run/old"], old.Add(time.Minute), future.Add(-time.Minute))
}

func TestSweepStageGoesOnAfterAnError(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is forbidden to root")
	}
	w := openHouse(t)
	write(t, filepath.Join(w.StageDir(), "a/shut/x"), "")
	write(t, filepath.Join(w.StageDir(), "b"), "")
	shut := filepath.Join(w.StageDir(), "a/shut")
	require.NoError(t, os.Chmod(shut, 0))
	files, err := w.SweepStage(func(string, time.Time) bool { return false })
	require.NoError(t, os.Chmod(shut, 0o700))
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Equal(t, 1, files)
}

var errInjected = errors.New("injected")
