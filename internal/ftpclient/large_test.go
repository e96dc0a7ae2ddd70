package ftpclient_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// TestLargeFileIsNotHeld: the memory that a download takes does not grow with the file. It runs alone, since it looks at the
// memory of the whole process.
func TestLargeFileIsNotHeld(t *testing.T) {
	t.Run("256 MiB", func(t *testing.T) { fetchesInBoundedMemory(t, 256<<20) })
	t.Run("10 GB", func(t *testing.T) {
		if os.Getenv("TALON_LARGE") == "" {
			t.Skip("it takes minutes: set TALON_LARGE=1 to run it")
		}
		fetchesInBoundedMemory(t, 10_000_000_000)
	})
}

func fetchesInBoundedMemory(t *testing.T, size int64) {
	const maxGrowth = 100_000_000
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	v := b.put(path, size)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m, m
	hash, next, got := sha256.New(), int64(0), int64(0)
	require.NoError(t, b.do(ctx, func(c *ftpclient.Conn) error {
		_, err := c.Retrieve(ctx, b.wanted(path), writerFunc(func(p []byte) (int, error) {
			if got += int64(len(p)); got >= next {
				next += size / 64
				runtime.ReadMemStats(&m)
				peak.HeapInuse, peak.Sys = max(peak.HeapInuse, m.HeapInuse), max(peak.Sys, m.Sys)
			}
			return hash.Write(p)
		}))
		return err
	}))
	assert.Equal(t, size, got)
	assert.Equal(t, v.SHA256(), hex.EncodeToString(hash.Sum(nil)))
	assert.Less(t, peak.HeapInuse-before.HeapInuse, uint64(maxGrowth))
	assert.Less(t, peak.Sys-before.Sys, uint64(maxGrowth))
	t.Logf("%d KiB more in use, %d KiB more of the system at most", (peak.HeapInuse-before.HeapInuse)>>10, (peak.Sys-before.Sys)>>10)
}
