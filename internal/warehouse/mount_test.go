package warehouse

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/mounttest"
)

func TestABindMountIsAnotherFileSystem(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir()+"/late")
	mounttest.Mount(t, w.UnzipDir(), w.UnzipDir(), "", unix.MS_BIND, "")
	require.ErrorIs(t, Check(w.root), ErrTwoFileSystems, "one device, but no renames between two mounts of it")
	_, err := w.Visible(w.UnzipDir())
	require.ErrorIs(t, err, ErrTwoFileSystems)

	branch := filepath.Join(w.ZipDir(), "late/branch")
	require.NoError(t, os.Mkdir(branch, 0o700))
	mounttest.Mount(t, branch, branch, "", unix.MS_BIND, "")
	stage(t, w, "x", "x")
	_, err = tree.NewPublication().File("x", "branch/x", identity("x"), nil)
	require.ErrorIs(t, err, ErrTwoFileSystems, "mounted after the checks")
	require.ErrorIs(t, err, syscall.EXDEV)
	assert.FileExists(t, filepath.Join(w.StageDir(), "x"))
}

func TestAFullFileSystem(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	root := t.TempDir()
	mounttest.Mount(t, "tmpfs", root, "tmpfs", 0, "size=64k,nr_inodes=32")
	w, err := Open(root)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.Close()) })
	f, err := w.CreateStaged("run/large")
	require.NoError(t, err)
	_, err = f.Write([]byte(strings.Repeat("x", 100<<10)))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Discard())

	for i := 0; err == nil || i == 0; i++ { // until the inodes are gone
		_, err = w.stage.Stat("run")
		require.NoError(t, err)
		var small *StagedFile
		if small, err = w.CreateStaged("run/" + strings.Repeat("i", i+1)); err == nil {
			_, err = small.Close()
			require.NoError(t, err)
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	tree := openTree(t, w, w.ZipDir())
	_, err = tree.NewPublication().File("run/i", "no/room/for/dirs", identity(""), nil)
	require.ErrorIs(t, err, syscall.ENOSPC)
	published, err := tree.NewPublication().File("run/i", "i", identity(""), nil)
	require.NoError(t, err, "publishing itself takes no room")
	assert.Equal(t, "i", published)
}
