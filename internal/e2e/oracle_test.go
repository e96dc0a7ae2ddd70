package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tree is what is in a directory: SHA-256 by slash-separated path.
type tree map[string]string

// expectation is what may be visible in the warehouse, and in the end has to be.
type expectation struct {
	mu     sync.Mutex
	files  tree            // below the root: zip/… and unzip/…
	bundle map[string]tree // directories below unzip/ that appear as a whole
}

func newExpectation() *expectation {
	return &expectation{files: tree{}, bundle: map[string]tree{}}
}

// zip expects a collected file.
func (e *expectation) zip(name string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.files[path.Join("zip", name)] = digest(data)
}

// unzip expects a file in the directory of an archive.
func (e *expectation) unzip(dir, name string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	dir = path.Join("unzip", dir)
	if e.bundle[dir] == nil {
		e.bundle[dir] = tree{}
	}
	e.bundle[dir][path.Join(dir, name)] = digest(data)
	e.files[path.Join(dir, name)] = digest(data)
}

func (e *expectation) all() tree {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.files)
}

// judge tells what is wrong with a look at the visible files while work may be going on: a file that is not expected or not
// whole, and a directory of an archive that is there in part.
func (e *expectation) judge(visible tree) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var problems []string
	for name, sum := range visible {
		if e.files[name] != sum {
			problems = append(problems, fmt.Sprintf("%s is visible with the digest %s, expected is %q", name, sum, e.files[name]))
		}
	}
	for dir, files := range e.bundle {
		found := 0
		for name := range files {
			if _, ok := visible[name]; ok {
				found++
			}
		}
		if found != 0 && found != len(files) {
			problems = append(problems, fmt.Sprintf("%s is visible with %d of its %d files", dir, found, len(files)))
		}
	}
	return problems
}

// TestOracle: the watcher tells a half from a whole, for a file as for the directory of an archive.
func TestOracle(t *testing.T) {
	e := newExpectation()
	e.zip("a/x.csv", text("x", 100))
	e.unzip("a/p", "1.txt", text("1", 100))
	e.unzip("a/p", "2.txt", text("2", 100))
	file, one, two := "zip/a/x.csv", "unzip/a/p/1.txt", "unzip/a/p/2.txt"
	for name, look := range map[string]struct {
		visible  tree
		problems int
	}{
		"nothing yet":       {tree{}, 0},
		"a file":            {tree{file: digest(text("x", 100))}, 0},
		"half a file":       {tree{file: digest(text("x", 50))}, 1},
		"a strange file":    {tree{"zip/a/y.csv": digest(text("x", 100))}, 1},
		"a whole directory": {tree{one: digest(text("1", 100)), two: digest(text("2", 100))}, 0},
		"half a directory":  {tree{one: digest(text("1", 100))}, 1},
	} {
		assert.Len(t, e.judge(look.visible), look.problems, name)
	}
}

// TestOracleSeesChanges: the watcher sees that a file has changed of which it knows the digest, even if it is as long as before and says to be as old.
func TestOracleSeesChanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.csv")
	known := memory{}
	for _, content := range [][]byte{text("x", 100), text("y", 100)} {
		require.NoError(t, os.WriteFile(name, content, 0o644))
		require.NoError(t, os.Chtimes(name, written, written))
		require.Eventually(t, func() bool {
			found, err := known.hash(name)
			return assert.NoError(t, err) && assert.Equal(t, digest(content), found) && known[name].digest == found
		}, patience, glance, "the digest is not remembered")
	}
}

// look hashes everything that is visible in the warehouse. A name that is there must be readable.
func (s *stack) look() (tree, error) { return s.lookWith(hashFile) }

func (s *stack) lookWith(hash func(name string) (string, error)) (tree, error) {
	visible := tree{}
	for _, top := range []string{"zip", "unzip"} {
		if err := hashBelowWith(hash, s.root, filepath.Join(s.root, top), visible); err != nil {
			return nil, err
		}
	}
	return visible, nil
}

// hashBelow adds the files below dir to found, by their path below root. What is no regular file gets its type as a digest.
func hashBelow(root, dir string, found tree) error { return hashBelowWith(hashFile, root, dir, found) }

func hashBelowWith(hash func(name string) (string, error), root, dir string, found tree) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if name == dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			found[filepath.ToSlash(relative)] = entry.Type().String()
			return nil
		}
		found[filepath.ToSlash(relative)], err = hash(name)
		return err
	})
}

func hashFile(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// memory remembers the digests of files that have not changed since they were read: the watcher looks at every file all the time.
type memory map[string]remembered

type remembered struct {
	stat   unix.Stat_t
	digest string
}

// settled is how old the last change of a file must be for its digest to be remembered: the clock of a file system may stand still for some
// milliseconds, in which it could change once more.
const settled = 100 * time.Millisecond

func (m memory) hash(name string) (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(name, &stat); err != nil {
		return "", err
	}
	stat.Atim = unix.Timespec{}
	if known, ok := m[name]; ok && known.stat == stat {
		return known.digest, nil
	}
	digest, err := hashFile(name)
	if err == nil && time.Since(time.Unix(stat.Ctim.Unix())) > settled {
		m[name] = remembered{stat, digest}
	}
	return digest, err
}

// requireWarehouse demands that the warehouse holds what is expected, no more and no less, and that the stage is empty.
func (s *stack) requireWarehouse() {
	s.t.Helper()
	visible, err := s.look()
	require.NoError(s.t, err)
	require.Equal(s.t, s.want.all(), visible)
	require.Empty(s.t, s.staged(), "the stage is empty after the run")
}

// staged lists the files in the stage.
func (s *stack) staged() []string {
	var files []string
	err := filepath.WalkDir(filepath.Join(s.root, "stage"), func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // work goes on, things come and go
		}
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(name, s.root))
		}
		return err
	})
	require.NoError(s.t, err)
	return files
}

// watch looks at the warehouse all the time until the test ends: nothing may ever be visible but what is expected, whole.
func (s *stack) watch() {
	stop, problems := make(chan struct{}), make(chan []string)
	go func() {
		ticker := time.NewTicker(glance)
		defer ticker.Stop()
		known := memory{}
		for {
			visible, err := s.lookWith(known.hash)
			found := s.want.judge(visible)
			if err != nil {
				found = append(found, err.Error())
			}
			select {
			case <-stop:
				problems <- found
				return
			case <-ticker.C:
			}
			if len(found) > 0 {
				<-stop
				problems <- found
				return
			}
		}
	}()
	s.t.Cleanup(func() {
		close(stop)
		assert.Empty(s.t, <-problems, "seen by the watcher")
	})
}
