package archive_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

// tightEnv makes a test run in a mount namespace of its own.
const tightEnv = "TALON_TEST_TIGHT"

// TestADiskThatIsFull: it is the destination's fault, in every format, for files that fit a buffer and for those that do not.
func TestADiskThatIsFull(t *testing.T) {
	if os.Getenv(tightEnv) == "" {
		inNamespace(t)
		return
	}
	require.NoError(t, unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	small := files(file("1.txt", strings.Repeat("1", 200<<10)), file("2.txt", strings.Repeat("2", 200<<10)), file("3.txt", "3"))
	large := files(file("1.txt", "1"), file("large.dat", strings.Repeat("l", 3<<20)), file("3.txt", "3"))
	for ext, build := range containers {
		for _, list := range [][]byte{build(small), build(large)} {
			for _, count := range []int{1, 4} {
				req := request(t, "a"+ext, list, parallel(count), limits(archive.Limits{FreeSpace: 1}))
				require.NoError(t, unix.Mount("tmpfs", req.Dest, "tmpfs", 0, "size=300k"))
				_, err := archive.Extract(t.Context(), req)
				require.ErrorIs(t, err, archive.ErrDestination, ext)
				assert.ErrorIs(t, err, syscall.ENOSPC, ext)
				require.NoError(t, unix.Unmount(req.Dest, 0), "nothing is open any more")
			}
		}
	}
}

// TestSpaceRunsLow: what was good is kept, and the limit is named. On a file system of its own, which nobody else fills.
func TestSpaceRunsLow(t *testing.T) {
	if os.Getenv(tightEnv) == "" {
		inNamespace(t)
		return
	}
	require.NoError(t, unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	zeros := archivetest.TarGz(files(file("small.txt", "s"), file("zeros", strings.Repeat("\x00", 100<<20))))
	req := request(t, "a.tgz", zeros, limits(archive.Limits{FreeSpace: 128 << 20, Ratio: 1 << 30}))
	require.NoError(t, unix.Mount("tmpfs", req.Dest, "tmpfs", 0, "size=160m,mode=750"))
	defer func() { assert.NoError(t, unix.Unmount(req.Dest, 0)) }()
	report, err := archive.Extract(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"small.txt": "s"}, audit(t, req.Dest, report))
	assert.Equal(t, archive.ReasonLimitSpace, report.Reason)
	assert.Equal(t, map[string]archive.Reason{"zeros": archive.ReasonLimitSpace}, reasons(report))
}

// inNamespace runs the calling test in a child with a mount namespace. Where namespaces are forbidden the test is skipped.
func inNamespace(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), tightEnv+"=1")
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
}
