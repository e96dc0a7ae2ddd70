package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/mounttest"
)

// inMountNamespace is mounttest.Inside for a test that needs versitygw, which is built where it is seen: outside.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	_, err := versitygw()
	require.NoError(t, err)
	return mounttest.Inside(t)
}

// bind makes a directory visible below the container's root.
func bind(t *testing.T, source, target string, flags uintptr) {
	t.Helper()
	mounttest.Mount(t, source, target, "", unix.MS_BIND|unix.MS_REC, "")
	if flags != 0 {
		require.NoError(t, unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""))
	}
}

// A container made FROM scratch has the two programs and nothing else, a root and a zip that cannot be written, and no root user.
func TestInAContainerFromScratch(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	p := newProgram(t)
	root := t.TempDir()
	for _, dir := range []string{"bin", "proc", "dev", "warehouse/zip", "warehouse/stage", "state", "run/secrets"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(root, "bin", "gateway"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	path, err := versitygw()
	require.NoError(t, err)
	copyFile(t, path, filepath.Join(root, "bin", "versitygw"), 0o755)
	copyFile(t, p.args[7], filepath.Join(root, "run/secrets/eagle.key"), 0o444)

	bind(t, root, root, unix.MS_RDONLY)
	bind(t, "/proc", filepath.Join(root, "proc"), 0)
	bind(t, "/dev", filepath.Join(root, "dev"), 0)
	bind(t, filepath.Join(p.root, "zip"), filepath.Join(root, "warehouse/zip"), unix.MS_RDONLY)
	bind(t, filepath.Join(p.root, "stage"), filepath.Join(root, "warehouse/stage"), 0)
	require.NoError(t, os.Mkdir(p.state, 0o700))
	bind(t, p.state, filepath.Join(root, "state"), 0)

	p.cmd = exec.Command("/bin/gateway", "--warehouse", "/warehouse", "--state", "/state", "--eagle-key", "/run/secrets/eagle.key", "--listen",
		"127.0.0.1:0")
	p.cmd.Env, p.cmd.Dir = []string{}, "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() == 0 && !inUserNamespace(t) {
		const nobody = 65534
		for _, dir := range []string{p.state, filepath.Join(p.root, "stage")} {
			require.NoError(t, os.Chown(dir, nobody, nobody))
		}
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	p.run()
	p.works("d1")
	var made unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(p.root, "stage/bundles/d1/parts"), &made))
	if credential := p.cmd.SysProcAttr.Credential; credential != nil {
		assert.Equal(t, credential.Uid, made.Uid)
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.wait())
}

// inUserNamespace tells whether there is nobody else than this user to become.
func inUserNamespace(t *testing.T) bool {
	t.Helper()
	mapping, err := os.ReadFile("/proc/self/uid_map")
	require.NoError(t, err)
	return string(mapping) != "         0          0 4294967295\n"
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	source, err := os.Open(from)
	require.NoError(t, err)
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	require.NoError(t, err)
	_, err = io.Copy(target, source)
	require.NoError(t, err)
	require.NoError(t, target.Close())
}
