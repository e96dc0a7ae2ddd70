package warehouse

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mountEnv makes a test run in a mount namespace of its own; its mounts end with it.
const mountEnv = "TALON_TEST_MOUNTS"

// inMountNamespace runs the calling test again in a child with a mount namespace, and tells whether this is the child. Where
// namespaces are forbidden the test is skipped.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(mountEnv) != "" {
		require.NoError(t, unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), mountEnv+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	output, err := child.CombinedOutput()
	if err != nil && len(output) == 0 {
		t.Skipf("no mount namespace: %v", err)
	}
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: "+t.Name())
	return false
}

// mount mounts for the rest of the test.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	require.NoError(t, unix.Mount(source, target, kind, flags, data))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(target, unix.MNT_DETACH)) })
}

func TestABindMountIsAnotherFileSystem(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir()+"/late")
	mount(t, w.UnzipDir(), w.UnzipDir(), "", unix.MS_BIND, "")
	require.ErrorIs(t, Check(w.root), ErrTwoFileSystems, "one device, but no renames between two mounts of it")
	_, err := w.Visible(w.UnzipDir())
	require.ErrorIs(t, err, ErrTwoFileSystems)

	branch := filepath.Join(w.ZipDir(), "late/branch")
	require.NoError(t, os.Mkdir(branch, 0o700))
	mount(t, branch, branch, "", unix.MS_BIND, "")
	stage(t, w, "x", "x")
	_, err = tree.NewPublication().File("x", "branch/x", identity("x"), nil)
	require.ErrorIs(t, err, ErrTwoFileSystems, "mounted after the checks")
	require.ErrorIs(t, err, syscall.EXDEV)
	assert.FileExists(t, filepath.Join(w.StageDir(), "x"))
}

func TestAFullFileSystem(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	root := t.TempDir()
	mount(t, "tmpfs", root, "tmpfs", 0, "size=64k,nr_inodes=32")
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
