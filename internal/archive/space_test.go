package archive_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/mounttest"
)

// TestADiskThatIsFull: it is the destination's fault, in every format, for files that fit a buffer and for those that do not.
func TestADiskThatIsFull(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
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
	if !mounttest.Inside(t) {
		return
	}
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
