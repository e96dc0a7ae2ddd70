package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/archive/sandbox"
)

// mixed is an archive with something of everything: files, an empty directory, archives inside, names that are refused.
func mixed() []byte {
	inner := archivetest.TarGz(files(file("i/1.txt", "one"), file("i/2.txt", strings.Repeat("two", 100_000))))
	return archivetest.Zip(files(
		file("a.txt", "alpha"), file("empty/", ""), file("none.txt", ""), archivetest.File{Name: "d/in.tar.gz", Data: inner, ModTime: modTime},
		file("../evil", "x"), file("bad.zip", "PK\x03\x04 this is none"), file("\xc4\xe3.txt", "gbk"), file("../\xff", "y")))
}

func TestTheSameAsInProcess(t *testing.T) {
	pool := newPool(t)
	for name, data := range map[string][]byte{
		"a.zip": mixed(), "b.7z": archivetest.SevenZip(files(file("x", "x"))), "c.gz": archivetest.Gzip([]byte("text")),
		"empty.zip": archivetest.Zip(nil), "none.zip": []byte("no archive"),
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, name, data)
			req.Encodings = []string{"gbk"}
			report := extract(t, pool, req)
			inside := req
			inside.Dest = t.TempDir()
			want, err := archive.Extract(t.Context(), inside)
			require.NoError(t, err)
			assert.Equal(t, want, report)
			assert.Equal(t, onDisk(t, inside.Dest), onDisk(t, req.Dest))
		})
	}
}

// The destination keeps its mode, and files get theirs whatever the umask is.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	pool := newPool(t)
	req := request(t, "a.zip", mixed())
	require.NoError(t, os.Chmod(req.Dest, 0o711))
	extract(t, pool, req)
	for path, mode := range map[string]os.FileMode{"": os.ModeDir | 0o711, "empty": os.ModeDir | 0o750, "a.txt": 0o640} {
		info, err := os.Stat(filepath.Join(req.Dest, path))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode(), path)
	}
}

func TestAChildIsUsedAgainUntilItHasDoneItsShare(t *testing.T) {
	pool := newPool(t, func(o *sandbox.Options) { o.MaxJobs = 3 })
	var pids []int
	for range 7 {
		watch := &watch{opened: func(string) { pids = append(pids, onlyChild(t)) }}
		req := request(t, "a.gz", archivetest.Gzip([]byte("text")))
		req.Watch = watch
		extract(t, pool, req)
	}
	require.Len(t, pids, 7)
	assert.Equal(t, []int{pids[0], pids[0], pids[0], pids[3], pids[3], pids[3], pids[6]}, pids)
	assert.NotEqual(t, pids[0], pids[3])
	assert.NotEqual(t, pids[3], pids[6])
}

// A child whose address space has grown makes room for another: the next archive is to have what its limit says.
func TestAChildThatHasGrownIsReplaced(t *testing.T) {
	skipUnderRace(t, true)
	pool := newPool(t, faulty)
	before := onlyChild(t)
	limits := archive.Limits{MemoryBytes: 2 << 30, Ratio: 1 << 20}
	req := request(t, "a.zip", long("grow.do"))
	req.Limits = limits
	assert.Zero(t, extract(t, pool, req).Result)
	assert.Empty(t, children(t), "neither the one that was made for other limits nor the one that has grown")
	req = request(t, "a.zip", long("calm"))
	req.Limits = limits
	extract(t, pool, req)
	assert.NotEqual(t, before, onlyChild(t))
}

func TestRequestsWithOtherLimitsGetOtherChildren(t *testing.T) {
	pool := newPool(t)
	first := onlyChild(t)
	req := request(t, "a.gz", archivetest.Gzip([]byte("text")))
	req.Limits.TreeBytes = 1 << 20
	extract(t, pool, req)
	assert.Equal(t, first, onlyChild(t), "limits that the engine keeps")
	req = request(t, "a.gz", archivetest.Gzip([]byte("text")))
	req.Limits.FileBytes = 1 << 20
	extract(t, pool, req)
	assert.NotEqual(t, first, onlyChild(t), "limits that the kernel keeps")
}

// Many archives at a time: as many children as allowed, each archive in its own destination.
func TestManyAtATime(t *testing.T) {
	pool := newPool(t, func(o *sandbox.Options) { o.Children = 3 })
	var wg sync.WaitGroup
	for i := range 20 {
		req := request(t, "a.zip", archivetest.Zip(files(file("n.txt", fmt.Sprint(i)))))
		wg.Go(func() {
			report, err := pool.Extract(t.Context(), req)
			assert.NoError(t, err)
			assert.Equal(t, 1, report.Received)
			data, err := os.ReadFile(filepath.Join(req.Dest, "n.txt"))
			assert.NoError(t, err)
			assert.Equal(t, fmt.Sprint(i), string(data))
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, len(children(t)), 3)
}

func TestWhatTheCallerHears(t *testing.T) {
	pool := newPool(t)
	req := request(t, "a.zip", mixed())
	heard := &watch{}
	req.Watch = heard
	req.Avoid = map[string]archive.Layer{"a.zip/bad.zip": {Result: 1, Reason: archive.ReasonTimeout}}
	report := extract(t, pool, req)
	assert.Equal(t, []string{"a.zip", "a.zip/d/in.tar.gz"}, heard.sorted())
	assert.Equal(t, archive.ReasonTimeout, report.Layers["a.zip/bad.zip"].Reason)
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	pool := newPool(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	for name, c := range map[string]struct {
		adjust func(*archive.Request)
		want   []error
	}{
		"no archive":         {func(r *archive.Request) { r.Archive += "?" }, []error{archive.ErrSource, os.ErrNotExist}},
		"a FIFO":             {func(r *archive.Request) { r.Archive = fifo }, []error{archive.ErrSource}},
		"a directory":        {func(r *archive.Request) { r.Archive = r.Dest }, []error{archive.ErrSource}},
		"a volume missing":   {func(r *archive.Request) { r.Volumes = []string{r.Archive, fifo + "?"} }, []error{archive.ErrSource, os.ErrNotExist}},
		"too many volumes":   {func(r *archive.Request) { r.Volumes = make([]string, 251) }, []error{archive.ErrSource}},
		"no destination":     {func(r *archive.Request) { r.Dest += "?" }, []error{archive.ErrDestination, os.ErrNotExist}},
		"a full destination": {func(r *archive.Request) { r.Dest = filepath.Dir(r.Archive) }, []error{archive.ErrDestination, os.ErrExist}},
		"an odd encoding":    {func(r *archive.Request) { r.Encodings = []string{"klingon"} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, "a.gz", archivetest.Gzip([]byte("text")))
			c.adjust(&req)
			report, err := pool.Extract(t.Context(), req)
			require.Error(t, err)
			for _, want := range c.want {
				require.ErrorIs(t, err, want)
			}
			assert.Equal(t, 1, report.Result)
			assert.Equal(t, "a.gz", report.Archive)
		})
	}
	assert.Len(t, children(t), 1, "the child is well")
}

func TestNothingToDo(t *testing.T) {
	pool := newPool(t)
	_, err := pool.Extract(t.Context(), archive.Request{})
	require.Error(t, err)
}

func TestAPoolThatCannotStart(t *testing.T) {
	scratch := t.TempDir()
	for name, command := range map[string][]string{
		"no such program": {"/no/such/program"}, "no child": {"/bin/true"}, "another message": {"/bin/cat", "/proc/self/status"},
	} {
		_, err := sandbox.NewPool(sandbox.Options{Scratch: scratch, Command: command})
		require.Error(t, err, name)
	}
	_, err := sandbox.NewPool(sandbox.Options{Scratch: "/proc/none"})
	require.ErrorIs(t, err, os.ErrNotExist)
	left, err := os.ReadDir(scratch)
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.Empty(t, children(t))
}

func TestCancelled(t *testing.T) {
	pool := newPool(t)
	req := request(t, "a.zip", long("calm"))
	req.Limits.Ratio = 1 << 20
	ctx, cancel := context.WithCancel(t.Context())
	req.Watch = &watch{opened: func(string) { cancel() }}
	report, err := pool.Extract(ctx, req)
	require.Equal(t, context.Canceled, err)
	assert.Equal(t, 1, report.Result)
	assert.Empty(t, onDisk(t, req.Dest))
	assert.Empty(t, children(t), "it did not go on")
	_, err = pool.Extract(ctx, req)
	require.ErrorIs(t, err, context.Canceled)
	req.Watch, req.Archive = nil, request(t, "", archivetest.Gzip([]byte("text"))).Archive
	extract(t, pool, req)
}

// Somebody may clean the scratch directory while nothing is at work.
func TestACleanedScratchDirectory(t *testing.T) {
	var scratch string
	pool := newPool(t, func(o *sandbox.Options) { scratch = o.Scratch })
	require.NoError(t, os.RemoveAll(scratch))
	assert.Zero(t, extract(t, pool, request(t, "a.gz", archivetest.Gzip(nil))).Result)
}

// Those who wait for their turn can be cancelled, too, and Close ends everything.
func TestClosedWhileAtWork(t *testing.T) {
	pool := newPool(t)
	busy, waiting := request(t, "a.zip", long("calm")), request(t, "b.gz", archivetest.Gzip(nil))
	busy.Limits.Ratio = 1 << 20
	atWork := make(chan struct{})
	busy.Watch = &watch{opened: func(string) { close(atWork) }}
	results := make(chan error, 2)
	run := func(req archive.Request) {
		_, err := pool.Extract(context.Background(), req)
		results <- err
	}
	go run(busy)
	<-atWork
	go run(waiting)
	require.NoError(t, pool.Close())
	for range 2 {
		require.ErrorIs(t, <-results, sandbox.ErrClosed)
	}
	assert.Empty(t, onDisk(t, busy.Dest))
}
