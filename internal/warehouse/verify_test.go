package warehouse

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func manifestFile(path, content string) ManifestFile {
	id := identity(content)
	return ManifestFile{Path: path, Size: id.Size, SHA256: id.SHA256}
}

var treeManifest = []ManifestFile{manifestFile("top.txt", "top"), manifestFile("in/报.txt", "inner"), manifestFile("zero", "")}

// stageTree puts into the stage what treeManifest says, and an empty directory.
func stageTree(t *testing.T, w *Warehouse, dir string) string {
	t.Helper()
	stage(t, w, dir+"/top.txt", "top")
	stage(t, w, dir+"/in/报.txt", "inner")
	stage(t, w, dir+"/zero", "")
	root := filepath.Join(w.StageDir(), dir)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "empty/er"), 0o750))
	return root
}

func TestVerifyTree(t *testing.T) {
	w := openHouse(t)
	stageTree(t, w, "good/1")
	for _, hash := range []bool{false, true} {
		require.NoError(t, w.VerifyTree("good/1", treeManifest, hash))
	}
	require.ErrorIs(t, w.VerifyTree("nowhere", treeManifest, true), ErrLost)
}

func TestVerifyTreeFindsDamage(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, root string)
		names  string
	}{
		"a missing file":  {func(t *testing.T, root string) { require.NoError(t, os.Remove(root+"/top.txt")) }, "top.txt"},
		"a file too many": {func(t *testing.T, root string) { write(t, root+"/in/more", "x") }, "in/more"},
		"a wrong size":    {func(t *testing.T, root string) { write(t, root+"/top.txt", "longer") }, "top.txt"},
		"an odd name":     {func(t *testing.T, root string) { write(t, root+"/in/\xff", "x") }, `in/\xff`},
		"a link in place of a file": {func(t *testing.T, root string) {
			require.NoError(t, os.Rename(root+"/top.txt", root+"/../moved"))
			require.NoError(t, os.Symlink("../moved", root+"/top.txt"))
		}, "top.txt"},
		"a link in place of a directory": {func(t *testing.T, root string) {
			require.NoError(t, os.Rename(root+"/in", root+"/../moved"))
			require.NoError(t, os.Symlink("../moved", root+"/in"))
		}, "/in"},
		"a link beside": {func(t *testing.T, root string) { require.NoError(t, os.Symlink("/etc", root+"/etc")) }, "etc"},
		"a second name": {func(t *testing.T, root string) {
			require.NoError(t, os.Link(root+"/top.txt", root+"/../other"))
		}, "top.txt"},
		"a pipe": {func(t *testing.T, root string) {
			require.NoError(t, os.Remove(root+"/zero"))
			require.NoError(t, syscall.Mkfifo(root+"/zero", 0o600))
		}, "zero"},
		"a directory in place of a file": {func(t *testing.T, root string) {
			require.NoError(t, os.Remove(root+"/zero"))
			require.NoError(t, os.Mkdir(root+"/zero", 0o700))
		}, "zero"},
	} {
		t.Run(name, func(t *testing.T) {
			w := openHouse(t)
			c.damage(t, stageTree(t, w, "run/tree"))
			for _, hash := range []bool{false, true} {
				err := w.VerifyTree("run/tree", treeManifest, hash)
				require.ErrorIs(t, err, ErrDamaged)
				assert.ErrorContains(t, err, c.names)
			}
		})
	}
}

func TestVerifyTreeReadsWhatCrossedANetworkOrACrash(t *testing.T) {
	w := openHouse(t)
	root := stageTree(t, w, "tree")
	write(t, root+"/top.txt", "toq")
	require.NoError(t, w.VerifyTree("tree", treeManifest, false))
	require.ErrorIs(t, w.VerifyTree("tree", treeManifest, true), ErrDamaged)
	w.opened = time.Now().Add(time.Minute) // as if it had been staged before a restart
	require.ErrorIs(t, w.VerifyTree("tree", treeManifest, false), ErrDamaged)
}

func TestVerifyTreeRefusesABadManifest(t *testing.T) {
	w := openHouse(t)
	stage(t, w, "tree/a", "a")
	stage(t, w, "file", "a")
	for _, name := range append([]string{"./a", "b/../a", "a/"}, strays...) {
		err := w.VerifyTree("tree", []ManifestFile{manifestFile(name, "a")}, false)
		require.ErrorIs(t, err, ErrDamaged, "%q", name)
		require.ErrorIs(t, err, ErrOutside, "%q", name)
	}
	require.ErrorIs(t, w.VerifyTree("tree", []ManifestFile{manifestFile("a", "a"), manifestFile("a", "a")}, false), ErrDamaged)
	require.ErrorIs(t, w.VerifyTree("file", nil, false), ErrDamaged)
}
