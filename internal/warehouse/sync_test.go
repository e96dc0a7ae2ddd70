package warehouse

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSyncReachesTheFileSystem(t *testing.T) {
	w := openHouse(t)
	stage(t, w, "x", "x")
	require.NoError(t, w.Sync(t.Context()))
	require.NoError(t, w.Sync(t.Context()))
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, time.Millisecond)
}

func TestConcurrentSyncsShareTheNextOne(t *testing.T) {
	const callers = 50
	w := openHouse(t)
	started, release := make(chan struct{}, callers), make(chan struct{})
	var syncs atomic.Int64
	w.sync.syncfs = func(int) error {
		syncs.Add(1)
		started <- struct{}{}
		<-release
		return nil
	}
	var group sync.WaitGroup
	var returned atomic.Int64
	call := func() {
		assert.NoError(t, w.Sync(t.Context()))
		returned.Add(1)
	}
	group.Go(call)
	<-started // the first sync is under way
	for range callers {
		group.Go(call)
	}
	eventually(t, func() bool {
		w.sync.mu.Lock()
		defer w.sync.mu.Unlock()
		return w.sync.next != nil
	})
	release <- struct{}{}
	<-started
	eventually(t, func() bool { return returned.Load() > 0 })
	assert.EqualValues(t, 1, returned.Load(), "who came during the first sync waits for the second")
	close(release)
	group.Wait()
	assert.Less(t, syncs.Load(), int64(callers/2))
}

// A caller may only return after a sync that started after its call: each sync notes what had been written when it began.
func TestASyncCoversWhatWasWrittenBeforeTheCall(t *testing.T) {
	w := openHouse(t)
	var written, covered atomic.Int64
	w.sync.syncfs = func(int) error {
		now := written.Load()
		time.Sleep(100 * time.Microsecond)
		covered.Store(now)
		return nil
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				mine := written.Add(1)
				assert.NoError(t, w.Sync(t.Context()))
				assert.GreaterOrEqual(t, covered.Load(), mine)
			}
		})
	}
	group.Wait()
}

func TestASyncThatFailsIsNotRetriedAndDistrustsWhatWasStaged(t *testing.T) {
	w := openHouse(t)
	tree := openTree(t, w, w.ZipDir())
	stage(t, w, "before", "x")
	stage(t, w, "dir/before", "x")
	var syncs int
	w.sync.syncfs = func(int) error {
		syncs++
		return syscall.EIO
	}
	err := w.Sync(t.Context())
	require.ErrorIs(t, err, ErrSync)
	require.ErrorIs(t, err, syscall.EIO)
	assert.Equal(t, 1, syncs)

	w.sync.syncfs = func(int) error { return nil }
	require.NoError(t, w.Sync(t.Context()))
	_, err = tree.NewPublication().File("before", "before", identity("x"), nil)
	require.ErrorIs(t, err, ErrSync, "the later sync says nothing about older data")
	_, err = tree.NewPublication().Dir("dir", "dir", []ManifestFile{manifestFile("before", "x")}, nil)
	require.ErrorIs(t, err, ErrSync)
	assert.NoFileExists(t, filepath.Join(w.ZipDir(), "before"))
	assert.NoDirExists(t, filepath.Join(w.ZipDir(), "dir"))

	w.sync.failedAt = time.Now().Add(-time.Minute) // as if what follows were staged a minute later
	_, err = tree.NewPublication().File("before", "before", identity("x"), nil)
	require.NoError(t, err)
	_, err = tree.NewPublication().File("gone", "gone", identity("x"), nil)
	require.ErrorIs(t, err, ErrLost)
}

func TestSyncEndsWithItsContext(t *testing.T) {
	w := openHouse(t)
	release := make(chan struct{})
	w.sync.syncfs = func(int) error {
		<-release
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Sync(ctx), context.Canceled)
	close(release)
	require.NoError(t, w.Sync(t.Context()))
}
