package warehouse

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUsage(t *testing.T) {
	w := openHouse(t)
	stage(t, w, "run/a", "four")
	stage(t, w, "run/deep/b", "sixsix")
	require.NoError(t, os.Symlink("a", filepath.Join(w.StageDir(), "run/link")))
	usage, err := w.Usage(t.Context(), ".")
	require.NoError(t, err)
	assert.Equal(t, 2, usage.Files)
	assert.Equal(t, int64(10), usage.Bytes)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Usage(ended, ".")
	require.ErrorIs(t, err, context.Canceled)
}

func TestTry(t *testing.T) {
	w := openHouse(t)
	require.NoError(t, w.Try())
	usage, err := w.Usage(t.Context(), ".")
	require.NoError(t, err)
	assert.Zero(t, usage.Files, "nothing of it stays")
}
