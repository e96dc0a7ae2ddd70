package sandbox_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/archive/sandbox"
)

// A directory can be deeper than there are descriptors, or paths are long, and may forbid to be looked into.
func TestRemoveTree(t *testing.T) {
	const depth, descriptors = 3000, 50
	dir := filepath.Join(t.TempDir(), "dir")
	require.NoError(t, os.Mkdir(dir, 0o700))
	at, err := os.OpenRoot(dir)
	require.NoError(t, err)
	for i := range depth {
		require.NoError(t, at.Mkdir("d", 0o700))
		next, err := at.OpenRoot("d")
		require.NoError(t, err)
		if i%500 == 0 {
			require.NoError(t, at.WriteFile("file", nil, 0o600))
			require.NoError(t, at.WriteFile("lifted-2", nil, 0o600)) // a name that the remover might want itself
			require.NoError(t, at.Chmod("d", 0))
		}
		require.NoError(t, at.Close())
		at = next
	}
	require.NoError(t, at.Close())
	fewDescriptors(t, descriptors)
	require.NoError(t, sandbox.RemoveTree(dir))
	assert.NoDirExists(t, dir)
	require.NoError(t, sandbox.RemoveTree(dir), "there is nothing left to do")
}

func fewDescriptors(t *testing.T, most uint64) {
	t.Helper()
	var had syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &had))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: most, Max: had.Max}))
	t.Cleanup(func() { assert.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &had)) })
}

// Where the destination cannot be replaced, because the scratch directory lies in it, names are moved one by one.
func TestScratchInTheDestination(t *testing.T) {
	req := request(t, "a.zip", mixed())
	var scratch string
	pool := newPool(t, func(o *sandbox.Options) {
		var err error
		scratch, err = os.MkdirTemp(req.Dest, ".scratch-")
		require.NoError(t, err)
		o.Scratch = scratch
	})
	report, err := pool.Extract(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, report.Received, len(onDisk(t, req.Dest)))
	assert.Equal(t, "alpha", onDisk(t, req.Dest)["a.txt"])
}

// A destination that belongs to somebody else stays his.
func TestADestinationOfAnotherOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	pool := newPool(t)
	req := request(t, "a.zip", mixed())
	require.NoError(t, os.Chown(req.Dest, 12345, 12345))
	extract(t, pool, req)
	info, err := os.Stat(req.Dest)
	require.NoError(t, err)
	assert.Equal(t, uint32(12345), info.Sys().(*syscall.Stat_t).Uid)
}

// What cannot be delivered whole is not delivered at all.
func TestDeliverAllOrNothing(t *testing.T) {
	tree, dest := t.TempDir(), t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.WriteFile(filepath.Join(tree, name), []byte("new"), 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dest, "c", "in the way"), 0o700))
	require.ErrorIs(t, sandbox.Deliver(tree, dest), archive.ErrDestination)
	assert.Len(t, onDisk(t, tree), 3)
	assert.Empty(t, onDisk(t, dest))
}

func TestRowsOfFiles(t *testing.T) {
	for _, f := range []archive.File{
		{},
		{Path: "a/ä.txt", Size: 1 << 40, SHA256: "00ff", Layer: "x.zip/y.gz", RawName: []byte("\xff"), ModTime: modTime},
		{Path: "b", Size: -1, ModTime: time.Date(1601, 1, 1, 0, 0, 0, 999, time.UTC)},
	} {
		row := sandbox.AppendFile(nil, f)
		got, err := sandbox.ParseFiles(append(row, row...))
		require.NoError(t, err)
		assert.Equal(t, []archive.File{f, f}, got)
		for cut := range row {
			if cut > 0 {
				_, err = sandbox.ParseFiles(row[:cut])
				require.Error(t, err, cut)
			}
		}
	}
}

func FuzzRowsOfFiles(f *testing.F) {
	f.Add(sandbox.AppendFile(nil, archive.File{Path: "a", Size: 1, ModTime: modTime}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, body []byte) {
		files, err := sandbox.ParseFiles(body)
		if err != nil {
			return
		}
		var again []byte
		for _, file := range files {
			again = sandbox.AppendFile(again, file)
		}
		got, err := sandbox.ParseFiles(again)
		require.NoError(t, err)
		require.Equal(t, files, got)
	})
}

// A report with many layers, refusals and files arrives whole.
func TestALongReport(t *testing.T) {
	pool := newPool(t)
	var list []archivetest.File
	small := archivetest.Gzip([]byte("x"))
	for i := range 2000 {
		name := filepath.Join("a-directory-with-a-rather-long-name", "file-"+time.Duration(i).String())
		list = append(list, file(name, "content"), file("../"+name, "refused"))
		if i%10 == 0 {
			list = append(list, archivetest.File{Name: name + ".gz", Data: small, ModTime: modTime})
		}
	}
	req := request(t, "a.zip", archivetest.Zip(list))
	report := extract(t, pool, req)
	inside := req
	inside.Dest = t.TempDir()
	want, err := archive.Extract(t.Context(), inside)
	require.NoError(t, err)
	assert.Equal(t, want, report)
	assert.Len(t, report.Refused, 2000)
}
