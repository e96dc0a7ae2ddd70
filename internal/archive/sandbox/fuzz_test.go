package sandbox_test

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
	"talon/internal/archive/sandbox"
)

// Whatever the bytes are, and whatever the child comes to: nothing outside of the destination is touched, what is reported
// is there and nothing else, within the limits, and the pool goes on.
func FuzzChild(f *testing.F) {
	some := files(file("a.txt", "alpha"), file("d/b.txt", "beta"), archivetest.File{Name: "in.gz", Data: archivetest.Gzip([]byte("in"))})
	for ext, pack := range map[string]func([]archivetest.File) []byte{
		".zip": archivetest.Zip, ".7z": archivetest.SevenZip, ".rar": archivetest.Rar, ".tar": archivetest.Tar,
		".tar.gz": archivetest.TarGz, ".tar.zst": archivetest.TarZst,
	} {
		f.Add("a"+ext, pack(some))
	}
	f.Add("a.7z", archivetest.SevenZipEncrypted(some, "key"))
	f.Add("a.rar", archivetest.RarEncrypted(some, "key"))
	f.Add("a.zip", archivetest.ZipEncrypted(some, archivetest.ZipEncryption{Password: "key"}))
	f.Add("a.zip", archivetest.ZipEncrypted(some, archivetest.ZipEncryption{Password: "key", AES: 128}))
	for _, hostile := range archivetest.Hostile() {
		if len(hostile.Data) < 16<<10 {
			f.Add(hostile.Name, hostile.Data)
		}
	}
	limits := archive.Limits{TreeBytes: 1 << 20, TreeEntries: 100, ArchiveEntries: 50, MemoryBytes: 256 << 20, IdleTime: time.Minute}
	pool, err := sandbox.NewPool(sandbox.Options{
		Scratch: f.TempDir(), Children: 1, Limits: limits, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(f, err)
	f.Cleanup(func() { assert.NoError(f, pool.Close()) })
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		contents, report := guarded(t, pool, "a/"+name, data, func(r *archive.Request) {
			r.Limits, r.Passwords, r.Encodings = limits, []string{"wrong", "key"}, []string{"auto"}
		})
		assert.Contains(t, report.Layers, report.Archive)
		assert.Len(t, contents, report.Received)
	})
}
