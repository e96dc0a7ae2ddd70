package sandbox_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/archive/sandbox"
)

var modTime = time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)

func file(name, data string) archivetest.File {
	return archivetest.File{Name: name, Data: []byte(data), ModTime: modTime}
}

func files(list ...archivetest.File) []archivetest.File { return list }

// newPool makes a pool of one child that is closed at the end, when nothing may be left of it.
func newPool(t *testing.T, adjust ...func(*sandbox.Options)) *sandbox.Pool {
	t.Helper()
	options := sandbox.Options{Scratch: t.TempDir(), Children: 1, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range adjust {
		f(&options)
	}
	pool, err := sandbox.NewPool(options)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, pool.Close())
		left, err := os.ReadDir(options.Scratch)
		assert.NoError(t, err)
		assert.Empty(t, left, "the scratch directory is empty again")
		assert.Empty(t, children(t), "no child is left")
	})
	return pool
}

// faulty makes the children of a pool faulty.
func faulty(o *sandbox.Options) { o.Command = []string{"/proc/self/exe", faultyArgument} }

// long returns a zip archive of an empty file and one that takes a while: 256 MiB of zeros.
func long(name string) []byte {
	zerosOnce.Do(func() {
		zeros = archivetest.Zip(files(archivetest.File{Name: "zeros", Data: make([]byte, 256<<20)}))
	})
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	from, err := zip.NewReader(bytes.NewReader(zeros), int64(len(zeros)))
	must(err)
	_, err = w.Create(name)
	must(err)
	must(w.Copy(from.File[0]))
	must(w.Close())
	return buf.Bytes()
}

var (
	zerosOnce sync.Once
	zeros     []byte
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func request(t *testing.T, name string, data []byte) archive.Request {
	t.Helper()
	at := filepath.Join(t.TempDir(), "archive")
	require.NoError(t, os.WriteFile(at, data, 0o600))
	require.NoError(t, os.Chtimes(at, modTime, modTime))
	return archive.Request{Archive: at, Name: name, Dest: t.TempDir()}
}

// extract extracts and checks that the report and the destination say the same.
func extract(t *testing.T, pool *sandbox.Pool, req archive.Request) archive.Report {
	t.Helper()
	report, err := pool.Extract(t.Context(), req)
	require.NoError(t, err)
	there := onDisk(t, req.Dest)
	reported := []string{}
	for _, f := range report.Files {
		reported = append(reported, f.Path)
		assert.Equal(t, f.Size, int64(len(there[f.Path])), f.Path)
	}
	assert.Len(t, there, len(reported), "everything on the disk is reported: %v %v", reported, there)
	return report
}

func onDisk(t *testing.T, dir string) map[string]string {
	t.Helper()
	contents := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		contents[rel] = string(data)
		return err
	}))
	return contents
}

// children returns the process IDs of this process's children.
func children(t *testing.T) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	var pids []int
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it is gone
		}
		_, rest, _ := bytes.Cut(stat, []byte(") ")) // state, parent
		fields := strings.Fields(string(rest))
		if fields[1] == strconv.Itoa(os.Getpid()) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			require.NoError(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// onlyChild returns the one child there is.
func onlyChild(t *testing.T) int {
	t.Helper()
	pids := children(t)
	require.Len(t, pids, 1)
	return pids[0]
}

// watch calls a function for each layer that is opened.
type watch struct {
	archive.Watcher
	opened func(layer string)
	mu     sync.Mutex
	layers []string
}

func (w *watch) Opened(layer string) {
	w.mu.Lock()
	w.layers = append(w.layers, layer)
	w.mu.Unlock()
	if w.opened != nil {
		w.opened(layer)
	}
}

func (w *watch) Closed(string)         {}
func (w *watch) Progress(int64, int64) {}

func (w *watch) sorted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.layers))
}
