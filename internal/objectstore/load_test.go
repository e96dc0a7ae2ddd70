package objectstore_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore"
)

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// TestManySmallObjectsAtOnce is S16.
func TestManySmallObjectsAtOnce(t *testing.T) {
	const objects = 1000
	b := newBed(t)
	store := b.open(b.proxy.URL()) // with no connection yet
	goroutines, open := runtime.NumGoroutine(), descriptors(t)
	var all sync.WaitGroup
	for i := range objects {
		all.Go(func() {
			object := objectstore.Object{Bucket: stageBucket, Key: fmt.Sprintf("run/%d", i)}
			data := fmt.Sprintf("object %d", i)
			if !assert.NoError(t, store.Put(ctx, object, strings.NewReader(data), int64(len(data)), nil)) {
				return
			}
			size, err := store.Stat(ctx, object)
			assert.NoError(t, err)
			assert.Equal(t, int64(len(data)), size)
		})
	}
	all.Wait()
	for i := range objects {
		assert.Equal(t, fmt.Sprintf("object %d", i), string(b.stored(fmt.Sprintf("run/%d", i))))
	}
	assert.LessOrEqual(t, b.proxy.Connections(), 64, "connections are shared")
	assert.NotContains(t, b.log.String(), "trying again")

	store.Close()
	require.NoError(t, b.proxy.Close()) // it counts as well
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, waitLimit, poll, "no goroutine is left")
	require.Eventually(t, func() bool { return descriptors(t) <= open }, waitLimit, poll, "nothing is left open")
}

// TestConnectionsAreReused also after answers that are errors.
func TestConnectionsAreReused(t *testing.T) {
	b := newBed(t)
	object := b.place("a.zip", []byte("x"))
	missing := objectstore.Object{Bucket: zipBucket, Key: "missing"}
	for range 20 {
		b.fetch(t, object, []byte("x"))
		_, err := b.store.Stat(ctx, missing)
		require.ErrorIs(t, err, objectstore.ErrNotFound)
		require.NoError(t, b.put("taken", []byte("x")))
		require.NoError(t, b.store.Check(ctx, zipBucket))
	}
	assert.Equal(t, 1, b.proxy.Connections())
}

// TestMemoryIsBounded: what a transfer takes does not grow with the object. The endpoint is another process.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves 3 GiB; TALON_LARGE=1: 18 GiB")
	}
	const most = 24 << 20
	size := int64(1 << 30)
	if os.Getenv("TALON_LARGE") != "" {
		size = 6 << 30 // in parts without being told
	}
	s := startServer(t)
	b := newBedAt(t, s)
	file, err := os.Create(s.path(zipBucket, "sparse.zip"))
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // it is read
	require.NoError(t, file.Truncate(size))

	for name, change := range map[string]func(*objectstore.Options){
		"in one piece": func(*objectstore.Options) {},
		"in parts":     func(o *objectstore.Options) { *o = o.WithSmallParts(512<<20, 200<<20) },
	} {
		store := b.open(s.url(), change)
		grown := heapDuring(func() {
			require.NoError(t, store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: name}, file, size, nil))
		})
		t.Logf("put %s: %d KiB more in use at most", name, grown>>10)
		assert.Less(t, grown, uint64(most), "put "+name)
		require.NoError(t, os.Remove(s.path(stageBucket, name)))
	}
	store := b.open(s.url())
	target := tempFile(t)
	grown := heapDuring(func() {
		_, err := store.Fetch(ctx, objectstore.Object{Bucket: zipBucket, Key: "sparse.zip"}, size, "", target, nil)
		require.NoError(t, err)
	})
	t.Logf("fetch: %d KiB more in use at most", grown>>10)
	assert.Less(t, grown, uint64(most), "fetch")
}

// heapDuring is by how many bytes the heap in use grew at most while something ran.
func heapDuring(run func()) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapInuse
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(poll):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	}()
	run()
	close(stop)
	<-stopped
	return max(peak.Load(), before) - before
}
