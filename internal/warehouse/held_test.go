package warehouse

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHeldDirectories: what a process holds nobody takes for abandoned; what it leaves behind is removed, and nothing else.
func TestHeldDirectories(t *testing.T) {
	w := openForTest(t)
	files, err := w.RemoveAbandoned("eagle", "host-")
	require.NoError(t, err, "nothing there")
	assert.Zero(t, files)

	held, release, err := w.HoldStagedDir("eagle/host-1")
	require.NoError(t, err)
	for _, dir := range []string{"eagle/host-1", "eagle/host-2/tree", "eagle/other-3"} {
		require.NoError(t, os.MkdirAll(filepath.Join(w.StageDir(), dir), 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(w.StageDir(), dir, "a.txt"), nil, 0o600))
	}
	files, err = w.RemoveAbandoned("eagle", "host-")
	require.NoError(t, err)
	assert.Equal(t, 1, files)
	assert.FileExists(t, filepath.Join(held, "a.txt"))
	assert.NoDirExists(t, filepath.Join(w.StageDir(), "eagle/host-2"))
	assert.DirExists(t, filepath.Join(w.StageDir(), "eagle/other-3"))

	require.NoError(t, release())
	assert.NoDirExists(t, held)
	_, _, err = w.HoldStagedDir("../zip/evil")
	assert.ErrorIs(t, err, ErrOutside)
}
