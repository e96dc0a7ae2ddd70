package gateway

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/mounttest"
)

// inMountNamespace is mounttest.Inside for a test that needs versitygw, which is built where it is seen: outside.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	_, err := program()
	require.NoError(t, err)
	return mounttest.Inside(t)
}

func TestZipMayBeMountedReadOnly(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	s, opts := newSite(t)
	for _, name := range names {
		s.write("zip/"+name, "in "+name)
	}
	zip := s.path("zip")
	mounttest.Mount(t, zip, zip, "", unix.MS_BIND, "")
	require.NoError(t, unix.Mount("", zip, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	before := snapshot(t, zip)
	s.start(opts)
	useZip(t, s)
	require.NoError(t, s.put("d1/a.tar.zst", "x"))
	require.NoError(t, s.Stop())
	assert.Equal(t, before, snapshot(t, zip))
}

// tightSite is a site whose directory of bundles, or of state, is a small file system.
func tightSite(t *testing.T, small func(*site) string, size string) *site {
	t.Helper()
	s, opts := newSite(t)
	dir := small(s)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	mounttest.Mount(t, "tmpfs", dir, "tmpfs", 0, size)
	s.start(opts)
	t.Cleanup(func() { assert.NoError(t, s.Kill()) }) // before the file system goes
	return s
}

func TestAFullStage(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	s := tightSite(t, func(s *site) string { return s.path("stage") }, "size=16m")
	large := bytesOf(24 << 20)
	assert.Equal(t, "InsufficientStorage", code(s.put("d1/a.tar.zst", large)))
	assert.Empty(t, s.staged(), "nothing is left")
	oneAfterTheOther := struct{ io.Reader }{strings.NewReader(large)} // a part that arrives after the abort would be kept, and swept
	_, err := s.eagle().Client.PutObject(t.Context(), BucketStage, "d1/a.tar.zst", oneAfterTheOther, int64(len(large)),
		minio.PutObjectOptions{PartSize: 5 << 20})
	assert.Equal(t, "InsufficientStorage", code(err), "in parts; the client aborts it")
	assert.Empty(t, s.staged())

	upload, parts, _ := s.parts("d1/b.tar.zst", 2, 5<<20)
	assert.Equal(t, "InsufficientStorage", code(s.complete(t.Context(), "d1/b.tar.zst", upload, parts)),
		"there must be room for the parts and the whole")
	assert.NoFileExists(t, s.bundle("d1/b.tar.zst"))
	require.NoError(t, s.eagle().AbortMultipartUpload(t.Context(), BucketStage, "d1/b.tar.zst", upload))

	require.NoError(t, s.put("d1/c.tar.zst", large[:8<<20]), "when there is room again, all is well")
	require.NoError(t, os.RemoveAll(s.bundle("d1")))
	upload, parts, content := s.parts("d1/b.tar.zst", 1, 5<<20)
	require.NoError(t, s.complete(t.Context(), "d1/b.tar.zst", upload, parts))
	onDisk, err := os.ReadFile(s.bundle("d1/b.tar.zst"))
	require.NoError(t, err)
	assert.True(t, content == string(onDisk))
}

// No inode is left for the object's name. versitygw calls that ExistingObjectIsDirectory (backend/posix/posix.go, after mkdirAll and link).
func TestAStageWithoutInodes(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	s := tightSite(t, func(s *site) string { return s.path("stage") }, "size=16m,nr_inodes=16")
	made := 0
	var err error
	for ; err == nil && made < 32; made++ {
		err = s.put("d"+string(rune('a'+made))+"/a.tar.zst", "x")
	}
	require.Error(t, err)
	t.Logf("after %d objects: %s", made, code(err))
	for _, left := range s.staged() {
		info, err := os.Stat(s.bundle(left))
		require.NoError(t, err)
		assert.True(t, info.IsDir() || info.Size() == 1, left)
	}
	require.NoError(t, os.RemoveAll(s.bundle("da")))
	require.NoError(t, os.RemoveAll(s.bundle("db")))
	require.NoError(t, s.put("again/a.tar.zst", "x"))
}

func TestAFullState(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	s := tightSite(t, func(s *site) string { return s.state }, "size=512k")
	ballast := filepath.Join(s.state, "ballast")
	_ = os.WriteFile(ballast, make([]byte, 1<<20), 0o600) // as much as there is room for
	err := s.put("d1/a.tar.zst", "x")
	require.Error(t, err)
	t.Log(code(err))
	assert.NoFileExists(t, s.bundle("d1/a.tar.zst"))
	_, err = s.get(BucketZip, "branch-001/a.zip")
	require.NoError(t, err)
	fresh := newKey()
	s.writeKey("eagle", fresh)
	eventually(t, func() bool { return strings.Contains(s.log.String(), "could not be changed") }, "a complaint")
	s.eventuallyWorks(s.key, true)

	require.NoError(t, os.Remove(ballast))
	s.eventuallyWorks(fresh, true)
	require.NoError(t, s.putAs(fresh, "d1/a.tar.zst"))
}
