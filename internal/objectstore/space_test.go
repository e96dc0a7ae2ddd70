package objectstore_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/mounttest"
	"talon/internal/objectstore"
)

// TestDiskThatIsFull is S08, and the same on this host.
func TestDiskThatIsFull(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	s := &server{t: t, root: t.TempDir(), access: accessKey, secret: secretKey}
	require.NoError(t, unix.Mount("tmpfs", s.root, "tmpfs", 0, "size=32m"))
	defer func() { assert.NoError(t, unix.Unmount(s.root, 0)) }()
	require.NoError(t, os.Mkdir(s.path(stageBucket, ""), 0o755))
	require.NoError(t, os.Mkdir(s.path(zipBucket, ""), 0o755))
	if err := unix.Setxattr(s.root, "user.test", []byte("x"), 0); err != nil {
		t.Skipf("a tmpfs keeps no attributes here: %v", err)
	}
	s.start()
	defer func() { assert.NoError(t, s.process.Kill()) }()
	b := newBedAt(t, s, smallParts)

	require.NoError(t, b.put("fits", noise(2*megabyte, 90)))
	for _, size := range []int{9 * megabyte, 40 * megabyte} {
		require.NoError(t, os.WriteFile(filepath.Join(s.root, "ballast"), make([]byte, 24*megabyte), 0o644))
		err := b.put("large", noise(size, 91))
		require.ErrorIs(t, err, objectstore.ErrFull)
		assert.ErrorContains(t, err, "507 InsufficientStorage")
		assert.ErrorContains(t, err, "free space there")
		assert.NoFileExists(t, b.path(stageBucket, "large"))
		assert.Empty(t, b.leftovers())
		require.NoError(t, os.Remove(filepath.Join(s.root, "ballast")))
	}
	require.NoError(t, b.put("large", noise(9*megabyte, 91)), "there is space again")
	assert.NotContains(t, b.log.String(), "trying again", "a full disk is not waited for")

	object := b.place("a.zip", noise(2*megabyte, 92))
	file, err := os.Create(filepath.Join(s.root, "here"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.root, "ballast"), make([]byte, 18*megabyte), 0o644))
	_, err = b.store.Fetch(ctx, object, 2*megabyte, "", file, nil)
	require.ErrorIs(t, err, syscall.ENOSPC)
	assert.NotErrorIs(t, err, objectstore.ErrFull, "that is the other host's disk")
	require.NoError(t, file.Close())
}
