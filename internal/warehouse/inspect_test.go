package warehouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rooted is a directory with files, by path.
func rooted(t *testing.T, files map[string]string) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, root.Close()) })
	return root, dir
}

func TestInspect(t *testing.T) {
	root, dir := rooted(t, map[string]string{"a": "same", "flipped": "sbme", "short": "sam", "dir/x": "", "file": ""})
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("/", filepath.Join(dir, "out")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	want := identityOf("same")
	for name, condition := range map[string]Condition{
		"a": Intact, "flipped": Damaged, "short": Damaged, "dir": Damaged, "link": Damaged, "pipe": Damaged, "gone": Missing, "file/below": Missing,
		"nowhere/a": Missing, "out/etc/passwd": Unreadable,
	} {
		got, detail, err := Inspect(t.Context(), root, name, want, nil)
		require.NoError(t, err, name)
		assert.Equal(t, condition, got, name)
		assert.Equal(t, condition == Intact || condition == Missing, detail == "", "%s: %s", name, detail)
	}
	got, _, err := Inspect(t.Context(), root, "flipped", Identity{Size: 4}, nil)
	require.NoError(t, err)
	assert.Equal(t, Intact, got, "no more is known than its size")
}

// TestInspectKeepsToItsPace: each byte is paid for, once, and what ends the pace ends the reading.
func TestInspectKeepsToItsPace(t *testing.T) {
	content := strings.Repeat("x", 3*readAtOnce+7)
	root, _ := rooted(t, map[string]string{"a": content})
	read := 0
	_, _, err := Inspect(t.Context(), root, "a", identityOf(content), func(_ context.Context, n int) error {
		read += n
		return nil
	})
	require.NoError(t, err)
	assert.Len(t, content, read)
	enough := errors.New("enough")
	_, _, err = Inspect(t.Context(), root, "a", identityOf(content), func(context.Context, int) error { return enough })
	require.ErrorIs(t, err, enough)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = Inspect(cancelled, root, "a", identityOf(content), nil)
	require.ErrorIs(t, err, context.Canceled)
}

// TestWalkAfter: wherever a walk stopped, the next one goes on, with each file once; names need not be UTF-8.
func TestWalkAfter(t *testing.T) {
	root, dir := rooted(t, map[string]string{"a": "", "a-b": "", "b/c/d": "", "b/c/e": "", "b/f": "", "b-": "", "c\xff/x": "", "z": ""})
	require.NoError(t, os.Symlink("/", filepath.Join(dir, "b/link")))
	var all []string
	walked := func(after string, most int) (names []string) {
		stop := errors.New("stop")
		err := WalkAfter(root, after, func(name string, info fs.FileInfo, err error) error {
			assert.NoError(t, err)
			assert.False(t, info.IsDir())
			if len(names) == most {
				return stop
			}
			names = append(names, name)
			return nil
		})
		if err != nil {
			require.ErrorIs(t, err, stop)
		}
		return names
	}
	all = walked("", 100)
	assert.Equal(t, []string{"a", "a-b", "b/c/d", "b/c/e", "b/f", "b/link", "b-", "c\xff/x", "z"}, all)
	for i, after := range all {
		assert.Equal(t, len(all)-i-1, len(walked(after, 100)), after)
	}
	var again []string
	for after := ""; ; after = again[len(again)-1] {
		more := walked(after, 2)
		if len(more) == 0 {
			break
		}
		again = append(again, more...)
	}
	assert.Equal(t, all, again)
}

func TestSetAside(t *testing.T) {
	long := strings.Repeat("n", 255)
	root, dir := rooted(t, map[string]string{"d/a.zip": "one", long: "long"})
	now := time.Date(2026, 11, 28, 2, 0, 0, 0, time.UTC)
	first, err := SetAside(root, "d/a.zip", now)
	require.NoError(t, err)
	assert.Equal(t, "d/a.zip.damaged-20261128-020000", first)
	assert.Equal(t, AsideName("d/a.zip", now), first)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "d/a.zip"), []byte("two"), 0o600))
	second, err := SetAside(root, "d/a.zip", now)
	require.NoError(t, err)
	cut, err := SetAside(root, long, now)
	require.NoError(t, err)
	for name, content := range map[string]string{first: "one", second: "two", cut: "long"} {
		data, err := root.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, content, string(data), "nothing is lost")
		since, is := IsAside(name)
		assert.True(t, is, name)
		assert.Equal(t, now, since)
	}
	_, err = SetAside(root, "d/gone", now)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, is := IsAside("a.damaged-yesterday")
	assert.False(t, is)
}

// stagedDir stages a directory of files.
func stagedDir(t *testing.T, w *Warehouse, rel string, files map[string]string) (manifest []ManifestFile) {
	t.Helper()
	for name, content := range files {
		f, err := w.CreateStaged(rel + "/" + name)
		require.NoError(t, err)
		_, err = f.Write([]byte(content))
		require.NoError(t, err)
		id, err := f.Close()
		require.NoError(t, err)
		manifest = append(manifest, ManifestFile{Path: name, Size: id.Size, SHA256: id.SHA256})
	}
	return manifest
}

// TestFill: what lacks is put in, what is there stays the very file that it is, and what differs keeps everything out.
func TestFill(t *testing.T) {
	w := openForTest(t)
	tree, err := w.Visible(w.UnzipDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, tree.Close()) })
	files := map[string]string{"a": "A", "sub/b": "B", "sub/c": "C"}
	at := func(name string) string { return filepath.Join(w.UnzipDir(), "t", name) }
	for name, content := range map[string]string{"a": "A", "sub/b": "x", "foreign": "f"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(at(name)), 0o755))
		require.NoError(t, os.WriteFile(at(name), []byte(content), 0o600))
	}
	fill := func(stage, target string) bool {
		manifest := stagedDir(t, w, stage, files)
		p := tree.NewPublication()
		filled, err := p.Fill(stage, target, manifest)
		require.NoError(t, err)
		require.NoError(t, p.Sync())
		return filled
	}
	assert.False(t, fill("s/1", "nowhere"))
	assert.False(t, fill("s/2", "t"), "something else lies in the place of b")
	assert.NoFileExists(t, at("sub/c"))
	root, err := os.OpenRoot(w.UnzipDir())
	require.NoError(t, err)
	defer root.Close()
	aside, err := SetAside(root, "t/sub/b", time.Now())
	require.NoError(t, err)
	before, err := os.Stat(at("a"))
	require.NoError(t, err)
	assert.True(t, fill("s/3", "t"))
	after, err := os.Stat(at("a"))
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))
	for name, content := range map[string]string{"a": "A", "sub/b": "B", "sub/c": "C", "foreign": "f"} {
		data, err := os.ReadFile(at(name))
		require.NoError(t, err)
		assert.Equal(t, content, string(data))
	}
	assert.FileExists(t, filepath.Join(w.UnzipDir(), aside))
	assert.NoDirExists(t, filepath.Join(w.StageDir(), "s/3"))
	assert.True(t, fill("s/4", "t"), "again")
}

// TestClearing: files go with the directories that they leave empty; what is no regular file, and what others put there, stays.
func TestClearing(t *testing.T) {
	root, dir := rooted(t, map[string]string{"a/b/c": "", "a/b/d": "", "e/f": "", "e/g": ""})
	require.NoError(t, os.Symlink("f", filepath.Join(dir, "e/link")))
	c := NewClearing(root)
	for _, name := range []string{"a/b/c", "a/b/d", "e/f", "e/link", "gone/x", "e/f/below"} {
		require.NoError(t, c.Remove(name), name)
	}
	require.ErrorIs(t, c.Remove("../x"), ErrOutside)
	require.NoError(t, c.Sync())
	assert.NoDirExists(t, filepath.Join(dir, "a"))
	left, err := os.ReadDir(filepath.Join(dir, "e"))
	require.NoError(t, err)
	assert.Len(t, left, 2)
}

func identityOf(content string) Identity {
	sum := sha256.Sum256([]byte(content))
	return Identity{Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}
