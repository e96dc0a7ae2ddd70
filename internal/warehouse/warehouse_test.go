package warehouse

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openHouse(t *testing.T) *Warehouse {
	t.Helper()
	w, err := Open(filepath.Join(t.TempDir(), "data"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.Close()) })
	return w
}

func openTree(t *testing.T, w *Warehouse, dir string) *Tree {
	t.Helper()
	tree, err := w.Visible(dir)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, tree.Close()) })
	return tree
}

func identity(content string) Identity {
	sum := sha256.Sum256([]byte(content))
	return Identity{Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

// stage puts a file into the stage the way a download does.
func stage(t *testing.T, w *Warehouse, name, content string) {
	t.Helper()
	f, err := w.CreateStaged(name)
	require.NoError(t, err)
	_, err = f.Write([]byte(content))
	require.NoError(t, err)
	got, err := f.Close()
	require.NoError(t, err)
	require.Equal(t, identity(content), got)
}

// write puts a file anywhere, as an operator might.
func write(t *testing.T, file, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(content)
}

// elsewhere is a directory on another file system than the test's own.
func elsewhere(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "talon-test-")
	if err != nil {
		t.Skipf("no second file system at /dev/shm: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	here, err := placeOf(t.TempDir())
	require.NoError(t, err)
	there, err := placeOf(dir)
	require.NoError(t, err)
	if here.device == there.device {
		t.Skip("/dev/shm lies on the file system of the tests")
	}
	return dir
}

func TestOpenCreatesTheDirectories(t *testing.T) {
	w := openHouse(t)
	for _, dir := range []string{w.ZipDir(), w.UnzipDir(), w.StageDir(), w.StateDir()} {
		assert.True(t, filepath.IsAbs(dir))
		info, err := os.Stat(dir)
		require.NoError(t, err)
		assert.Equal(t, os.ModeDir|0o750, info.Mode(), dir)
	}
	again, err := Open(w.root)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	size, free, err := w.Space()
	require.NoError(t, err)
	assert.Positive(t, free)
	assert.GreaterOrEqual(t, size, free)
}

func TestOpenTakesARelativeRoot(t *testing.T) {
	t.Chdir(t.TempDir())
	w, err := Open("data")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.Close()) })
	assert.True(t, filepath.IsAbs(w.ZipDir()))
}

func TestCheckCreatesNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not", "there")
	require.NoError(t, Check(root))
	assert.NoDirExists(t, filepath.Dir(root))
}

func TestAFileInTheWayIsAnError(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "unzip"), "a file")
	require.ErrorIs(t, Check(root), syscall.ENOTDIR)
	_, err := Open(root)
	require.ErrorIs(t, err, syscall.ENOTDIR)
}

func TestTwoFileSystemsAreRefused(t *testing.T) {
	other := elsewhere(t)
	root := t.TempDir()
	require.NoError(t, os.Symlink(other, filepath.Join(root, "unzip")))
	for _, err := range []error{Check(root), second(Open(root))} {
		require.ErrorIs(t, err, ErrTwoFileSystems)
		assert.ErrorContains(t, err, filepath.Join(root, "unzip"))
		assert.ErrorContains(t, err, "mount their common parent")
	}
	_, err := openHouse(t).Visible(filepath.Join(other, "new"))
	require.ErrorIs(t, err, ErrTwoFileSystems)
	assert.NoDirExists(t, filepath.Join(other, "new"))
}

func second[T any](_ T, err error) error { return err }

func TestTwoMountsOfOneDeviceAreTwoPlaces(t *testing.T) {
	for _, c := range []struct {
		one, other place
		want       bool
	}{
		{place{1, 7}, place{1, 7}, false},
		{place{1, 7}, place{2, 7}, true},
		{place{1, 7}, place{1, 8}, true},
		{place{1, 7}, place{1, 0}, false},
		{place{1, 0}, place{2, 0}, true},
	} {
		assert.Equal(t, c.want, c.one.differs(c.other), "%+v", c)
	}
}

func TestVisible(t *testing.T) {
	w := openHouse(t)
	outside := filepath.Join(t.TempDir(), "new", "dir")
	openTree(t, w, outside)
	assert.DirExists(t, outside)
	openTree(t, w, w.StageDir()+"-not-really")
	for _, dir := range []string{w.StageDir(), filepath.Join(w.StageDir(), "x"), w.StateDir(), w.ZipDir() + "/../state/x"} {
		_, err := w.Visible(dir)
		require.ErrorIs(t, err, ErrReserved, dir)
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	_, err := w.Visible(file)
	require.ErrorIs(t, err, syscall.ENOTDIR)
}
