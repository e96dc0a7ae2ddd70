package mounttest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// whereEnv names a directory that the test outside and the test inside both know.
const whereEnv = "TALON_TEST_MOUNTS_WHERE"

func TestMountsAreSeenByTheTestAlone(t *testing.T) {
	if os.Getenv(whereEnv) == "" {
		t.Setenv(whereEnv, t.TempDir())
	}
	dir := os.Getenv(whereEnv)
	if !Inside(t) {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, 1, "only what the child wrote before it mounted")
		assert.Equal(t, "before", left[0].Name())
		assert.Empty(t, mountsOf(t, dir))
		return
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "before"), nil, 0o600))
	Mount(t, "tmpfs", dir, "tmpfs", 0, "size=64k")
	assert.NotEmpty(t, mountsOf(t, dir))
	err := os.WriteFile(filepath.Join(dir, "after"), make([]byte, 100<<10), 0o600)
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// mountsOf returns the lines of this process's mount table that name dir.
func mountsOf(t *testing.T, dir string) (lines []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, " "+dir+" ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// What the child says is the test's result.
func TestSkippingInsideSkips(t *testing.T) {
	var skipped bool
	t.Run("a test", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		if Inside(t) {
			t.Skip("to show that a reason is passed on")
		}
	})
	assert.True(t, skipped)
}
