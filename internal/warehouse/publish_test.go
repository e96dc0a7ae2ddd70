package warehouse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// eachMove runs a test with either way of renaming without replacing.
func eachMove(t *testing.T, test func(t *testing.T, w *Warehouse, tree *Tree)) {
	t.Helper()
	for name, move := range map[string]func(*os.File, string, *os.File, string) error{
		"renameat2": moveNoReplace, "link": moveByLink,
	} {
		t.Run(name, func(t *testing.T) {
			w := openHouse(t)
			tree := openTree(t, w, w.ZipDir())
			tree.move = move
			test(t, w, tree)
		})
	}
}

// owned makes a Taken of a set of paths.
func owned(paths ...string) Taken {
	return func(candidate string) (bool, error) {
		for _, p := range paths {
			if p == candidate {
				return true, nil
			}
		}
		return false, nil
	}
}

func publishFile(t *testing.T, tree *Tree, staged, target, content string, taken Taken) string {
	t.Helper()
	p := tree.NewPublication()
	published, err := p.File(staged, target, identity(content), taken)
	require.NoError(t, err)
	require.NoError(t, p.Sync())
	assert.Equal(t, content, read(t, filepath.Join(tree.root.Name(), published)))
	assert.NoFileExists(t, filepath.Join(tree.house.StageDir(), staged))
	return published
}

func TestPublishFile(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		stage(t, w, "run/1", "one")
		assert.Equal(t, "branch/out/a.tar.gz", publishFile(t, tree, "run/1", "branch/out/a.tar.gz", "one", nil))
		info, err := os.Stat(filepath.Join(w.ZipDir(), "branch/out"))
		require.NoError(t, err)
		assert.Equal(t, os.ModeDir|0o750, info.Mode())

		stage(t, w, "run/2", "two")
		assert.Equal(t, "branch/out/a~2.tar.gz", publishFile(t, tree, "./run//2", "branch//out/a.tar.gz/", "two", nil),
			"what is there is never replaced")
		assert.Equal(t, "one", read(t, filepath.Join(w.ZipDir(), "branch/out/a.tar.gz")))
	})
}

func TestPublishFileAgainAfterACrash(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		write(t, filepath.Join(w.ZipDir(), "a.zip"), "another's")
		stage(t, w, "run/1", "one")
		for range 2 { // the first time, the catalog was not written
			assert.Equal(t, "a~2.zip", publishFile(t, tree, "run/1", "a.zip", "one", nil))
		}
		stage(t, w, "run/again", "one") // or the file was fetched again
		assert.Equal(t, "a~2.zip", publishFile(t, tree, "run/again", "a.zip", "one", nil))
	})
}

func TestPublishFileBesideWhatIsInTheWay(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		zip := w.ZipDir()
		require.NoError(t, os.Mkdir(filepath.Join(zip, "a"), 0o700))
		require.NoError(t, os.Symlink("nowhere", filepath.Join(zip, "a~2")))
		write(t, filepath.Join(zip, "a~3"), "xxx")
		write(t, filepath.Join(zip, "a~4"), "mine")
		stage(t, w, "1", "mine")
		assert.Equal(t, "a~5", publishFile(t, tree, "1", "a", "mine", owned("a~4")), "equal contents, but another's")
	})
}

func TestPublishFileWhereADirectoryWasAFile(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		stage(t, w, "1", "file")
		publishFile(t, tree, "1", "s/data.d", "file", nil)
		for range 2 {
			stage(t, w, "2", "below")
			assert.Equal(t, "s/data~2.d/x", publishFile(t, tree, "2", "s/data.d/x", "below", nil))
		}
	})
}

func TestPublishFileThatIsLost(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		lost := func(staged string) {
			_, err := tree.NewPublication().File(staged, "a", identity("mine"), nil)
			require.ErrorIs(t, err, ErrLost)
			assert.NoFileExists(t, filepath.Join(w.ZipDir(), "a"))
		}
		lost("never/was")
		stage(t, w, "short", "min")
		lost("short")
		require.NoError(t, os.Symlink("short", filepath.Join(w.StageDir(), "link")))
		lost("link")
		stage(t, w, "rotten", "mime")
		w.opened = time.Now().Add(time.Minute) // staged before a restart, perhaps before a crash of the host
		lost("rotten")
		stage(t, w, "sound", "mine")
		publishFile(t, tree, "sound", "a", "mine", nil)
	})
}

func TestPublishRefusesStrays(t *testing.T) {
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir())
	stage(t, w, "ok", "x")
	for _, name := range strays {
		for _, pair := range [][2]string{{"ok", name}, {name, "ok"}} {
			_, err := tree.NewPublication().File(pair[0], pair[1], identity("x"), nil)
			require.ErrorIs(t, err, ErrOutside, "%q", pair)
			_, err = tree.NewPublication().Dir(pair[0], pair[1], nil, nil)
			require.ErrorIs(t, err, ErrOutside, "%q", pair)
		}
	}
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(w.ZipDir(), "out")))
	_, err := tree.NewPublication().File("ok", "out/x", identity("x"), nil)
	require.Error(t, err, "links do not lead out")
	assert.FileExists(t, filepath.Join(w.StageDir(), "ok"))
}

func TestTwoEqualFilesOfOnePublicationStayTwo(t *testing.T) {
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir())
	for range 2 { // and so they do when it is repeated
		p := tree.NewPublication()
		for i, want := range []string{"a.zip", "a~2.zip"} {
			name := fmt.Sprint(i)
			_, err := w.RemoveStaged(name)
			require.NoError(t, err)
			stage(t, w, name, "same")
			published, err := p.File(name, "a.zip", identity("same"), owned())
			require.NoError(t, err)
			assert.Equal(t, want, published)
		}
	}
}

func TestPublishPassesErrorsOn(t *testing.T) {
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir())
	stage(t, w, "x", "x")
	_, err := tree.NewPublication().File("x", "a", identity("x"), func(string) (bool, error) { return false, errInjected })
	require.ErrorIs(t, err, errInjected)
	for errno, want := range map[error]error{
		syscall.EXDEV: ErrTwoFileSystems, syscall.ENOSPC: syscall.ENOSPC, syscall.ENOENT: syscall.ENOENT,
	} {
		tree.move = func(*os.File, string, *os.File, string) error { return os.NewSyscallError("renameat2", errno) }
		_, err = tree.NewPublication().File("x", "a", identity("x"), nil)
		require.ErrorIs(t, err, want)
	}
	assert.FileExists(t, filepath.Join(w.StageDir(), "x"))
}

func TestSyncOfAPublication(t *testing.T) {
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir())
	var synced []string
	tree.fsync = func(dir *os.File) error {
		synced = append(synced, dir.Name())
		return nil
	}
	p := tree.NewPublication()
	for _, name := range []string{"s/d/a", "s/d/b", "s/c"} {
		stage(t, w, name, name)
		_, err := p.File(name, name, identity(name), nil)
		require.NoError(t, err)
	}
	assert.Empty(t, synced)
	require.NoError(t, p.Sync())
	assert.ElementsMatch(t, []string{w.ZipDir() + "/.", w.ZipDir() + "/s", w.ZipDir() + "/s/d"}, synced,
		"each once, and new directories need durable names, too")
	require.NoError(t, p.Sync())
	assert.Len(t, synced, 3)

	p = tree.NewPublication()
	_, err := p.File("gone", "s/c", identity("s/c"), nil)
	require.NoError(t, err)
	require.NoError(t, p.Sync())
	assert.Len(t, synced, 5, "the attempt that published it may not have come so far")
}

func TestSyncOfAPublicationNamesWhatFails(t *testing.T) {
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir())
	stage(t, w, "x", "x")
	p := tree.NewPublication()
	_, err := p.File("x", "s/a", identity("x"), nil)
	require.NoError(t, err)
	tree.fsync = func(*os.File) error { return syscall.EIO }
	require.ErrorIs(t, p.Sync(), ErrSync)
	tree.fsync = (*os.File).Sync
	require.NoError(t, os.RemoveAll(filepath.Join(w.ZipDir(), "s")))
	require.ErrorContains(t, p.Sync(), "publish: s:")
}

func TestManyPublishOneTarget(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		const writers = 16
		for i := range writers {
			stage(t, w, fmt.Sprint(i), fmt.Sprint("content ", i))
		}
		var group sync.WaitGroup
		published := make([]string, writers)
		for i := range writers {
			group.Go(func() {
				var err error
				published[i], err = tree.NewPublication().File(fmt.Sprint(i), "s/a.zip", identity(fmt.Sprint("content ", i)), nil)
				assert.NoError(t, err)
			})
		}
		group.Wait()
		for i, name := range published {
			assert.Equal(t, fmt.Sprint("content ", i), read(t, filepath.Join(w.ZipDir(), name)))
		}
		entries, err := os.ReadDir(filepath.Join(w.ZipDir(), "s"))
		require.NoError(t, err)
		assert.Len(t, entries, writers)
	})
}

func TestTwinsPublishOneFile(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		for round := range 50 {
			name := fmt.Sprint("twin", round)
			stage(t, w, name, name)
			var group sync.WaitGroup
			for range 2 {
				group.Go(func() {
					published, err := tree.NewPublication().File(name, name, identity(name), nil)
					assert.NoError(t, err)
					assert.Equal(t, name, published)
				})
			}
			group.Wait()
		}
	})
}

func publishDir(t *testing.T, tree *Tree, staged, target string, taken Taken) string {
	t.Helper()
	require.NoError(t, tree.house.VerifyTree(staged, treeManifest, true))
	p := tree.NewPublication()
	published, err := p.Dir(staged, target, treeManifest, taken)
	require.NoError(t, err)
	require.NoError(t, p.Sync())
	for path, content := range map[string]string{"top.txt": "top", "in/报.txt": "inner", "zero": ""} {
		assert.Equal(t, content, read(t, filepath.Join(tree.root.Name(), published, path)))
	}
	assert.NoDirExists(t, filepath.Join(tree.house.StageDir(), staged))
	return published
}

func TestPublishDir(t *testing.T) {
	eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
		stageTree(t, w, "run/1")
		assert.Equal(t, "branch/a", publishDir(t, tree, "run/1", "branch/a", nil))
		stageTree(t, w, "run/2")
		assert.Equal(t, "branch/a", publishDir(t, tree, "run/2", "branch/a", nil), "the same contents are there already")
		p := tree.NewPublication()
		published, err := p.Dir("run/2", "branch/a", treeManifest, nil)
		require.NoError(t, err, "published, but the catalog was not written")
		assert.Equal(t, "branch/a", published)
		stageTree(t, w, "run/3")
		assert.Equal(t, "branch/a~2", publishDir(t, tree, "run/3", "branch/a", owned("branch/a")))
		_, err = p.Dir("run/4", "branch/b", treeManifest, nil)
		require.ErrorIs(t, err, ErrLost)
		stage(t, w, "file", "")
		_, err = p.Dir("file", "branch/b", treeManifest, nil)
		require.ErrorIs(t, err, ErrLost)
	})
}

func TestPublishDirBesideWhatIsInTheWay(t *testing.T) {
	for name, block := range map[string]func(t *testing.T, dir string){
		"a file":            func(t *testing.T, dir string) { write(t, dir, "x") },
		"an empty one":      func(t *testing.T, dir string) { require.NoError(t, os.MkdirAll(dir, 0o700)) },
		"other contents":    func(t *testing.T, dir string) { write(t, dir+"/top.txt", "toq") },
		"a link to nowhere": func(t *testing.T, dir string) { require.NoError(t, os.Symlink("nowhere", dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			eachMove(t, func(t *testing.T, w *Warehouse, tree *Tree) {
				block(t, filepath.Join(w.ZipDir(), "a"))
				stageTree(t, w, "1")
				assert.Equal(t, "a~2", publishDir(t, tree, "1", "a", nil))
			})
		})
	}
}

func TestPublishDirDoesNotAdoptMoreThanItsOwn(t *testing.T) {
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir())
	stageTree(t, w, "1")
	publishDir(t, tree, "1", "a", nil)
	write(t, filepath.Join(w.ZipDir(), "a/more"), "")
	stageTree(t, w, "2")
	assert.Equal(t, "a~2", publishDir(t, tree, "2", "a", nil))
	write(t, filepath.Join(w.ZipDir(), "a~2/top.txt"), "toq")
	stageTree(t, w, "3")
	assert.Equal(t, "a~3", publishDir(t, tree, "3", "a", nil), "one changed byte is another content")
}

func TestNextFree(t *testing.T) {
	for _, count := range []int{0, 1, 2, 3, 7, 8, 9, 1000, 35_000} {
		asked := 0
		taken := func(n int) (bool, error) {
			asked++
			return n <= count, nil
		}
		n, err := nextFree(0, taken)
		require.NoError(t, err)
		assert.Equal(t, count+1, n)
		assert.Less(t, asked, 40, "%d versions", count)
		n, err = nextFree(count+5, taken)
		require.NoError(t, err)
		assert.Equal(t, count+6, n)
	}
	for failing := range 5 {
		_, err := nextFree(0, func(n int) (bool, error) {
			if failing--; failing < 0 {
				return false, errors.Join(errInjected)
			}
			return n <= 5, nil
		})
		require.ErrorIs(t, err, errInjected)
	}
}
