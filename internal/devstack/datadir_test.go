package devstack

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDataDirHasOneUserAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "demo")
	first, err := OpenDataDir(path, true)
	require.NoError(t, err)
	_, err = OpenDataDir(path, true)
	require.ErrorIs(t, err, ErrDirInUse)
	assert.ErrorContains(t, err, path)
	require.NoError(t, first.Close())
	second, err := OpenDataDir(path, true)
	require.NoError(t, err)
	require.NoError(t, second.Close())
}

func TestDataDirIsCleanedOfItsOwnThingsOnly(t *testing.T) {
	path := t.TempDir()
	foreign := filepath.Join(path, "thesis.doc")
	for _, fresh := range []bool{true, false, true} {
		require.NoError(t, os.WriteFile(foreign, []byte("mine"), 0o644))
		d, err := OpenDataDir(path, fresh)
		require.NoError(t, err)
		own := []string{
			filepath.Join(d.Warehouse(), "zip", "a"), d.Log("tiger"), d.Config(), d.Database(), d.Database() + "-wal",
			d.RunFile(), d.Result(), filepath.Join(path, secretsDir, "branch-001"),
		}
		for _, name := range own {
			if fresh {
				assert.NoFileExists(t, name)
			} else {
				assert.FileExists(t, name, "without fresh all stays")
			}
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
			require.NoError(t, os.WriteFile(name, nil, 0o644))
		}
		assert.FileExists(t, foreign)
		require.NoError(t, d.Close())
	}
}
