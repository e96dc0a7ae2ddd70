package objectstore_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

const megabyte = 1 << 20

func TestFetchStatAndCheckNeedOneRequestEach(t *testing.T) {
	b := newBed(t)
	data := noise(megabyte+7, 1)
	object := b.place("branch-001/a.zip", data)
	require.NoError(t, b.store.Check(ctx, zipBucket))
	size, err := b.store.Stat(ctx, object)
	require.NoError(t, err)
	assert.Equal(t, int64(len(data)), size)
	b.fetch(t, object, data)
	requests := b.proxy.Requests(storetest.Any)
	require.Len(t, requests, 3)
	assert.Empty(t, requests[2].Header.Get("Range"))
	assert.Equal(t, 1, b.proxy.Connections())
	assert.Equal(t, 1, b.keys.count())
}

func TestFetchReplacesWhatTheFileHeld(t *testing.T) {
	b := newBed(t)
	object := b.place("a.zip", []byte("short"))
	file := tempFile(t)
	_, err := file.WriteString("something longer than the object")
	require.NoError(t, err)
	sum, err := b.store.Fetch(ctx, object, 5, "", file, nil)
	require.NoError(t, err)
	assert.Equal(t, hexSum([]byte("short")), sum, "the sum is told though none was promised")
	assert.Equal(t, "short", string(contents(t, file)))
}

func TestFetchOfNothing(t *testing.T) {
	b := newBed(t)
	b.fetch(t, b.place("empty", nil), nil)
	_, err := b.store.Fetch(ctx, objectstore.Object{Bucket: zipBucket, Key: "missing"}, 0, "", tempFile(t), nil)
	require.ErrorIs(t, err, objectstore.ErrNotFound, "an empty object must exist, too")
	b.place("full", []byte("x"))
	_, err = b.store.Fetch(ctx, objectstore.Object{Bucket: zipBucket, Key: "full"}, 0, "", tempFile(t), nil)
	require.ErrorIs(t, err, objectstore.ErrDamaged)
}

func TestFetchFromADirectoryThatNobodyMayWrite(t *testing.T) {
	b := newBed(t)
	object := b.place("branch/a.zip", []byte("data"))
	for _, name := range []string{"branch/a.zip", "branch", ""} {
		require.NoError(t, os.Chmod(b.path(zipBucket, name), map[bool]os.FileMode{true: 0o444, false: 0o555}[name == "branch/a.zip"]))
	}
	b.fetch(t, object, []byte("data"))
}

func TestProgressOfFetchOnlyGrows(t *testing.T) {
	b := newBed(t)
	data := noise(3*megabyte, 2)
	object := b.place("a.zip", data)
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 2, Cut: storetest.Byte(megabyte)})
	var last int64
	_, err := b.store.Fetch(ctx, object, int64(len(data)), hexSum(data), tempFile(t), func(total int64) {
		assert.Greater(t, total, last)
		last = total
	})
	require.NoError(t, err)
	assert.Equal(t, int64(len(data)), last)
}

// TestEndpointThatFailsForAWhile is S01 for reading.
func TestEndpointThatFailsForAWhile(t *testing.T) {
	b := newBed(t)
	data := noise(100_000, 3)
	object := b.place("a.zip", data)
	for _, fault := range []storetest.Fault{
		{Status: 500, Code: "InternalError"},
		{Status: 503, Code: "SlowDown"},
		{Status: 503, Plain: true},
		{Status: 502, Plain: true},
		{Status: 429, Code: "TooManyRequests"},
		{Status: 400, Code: "RequestTimeout"},
		{Status: 404, Plain: true}, // an ingress without a back end
		{DropReply: true},
	} {
		fault.Times = 2
		b.proxy.Inject(fault)
		b.fetch(t, object, data)
		b.proxy.Heal()
		b.proxy.Inject(fault)
		_, err := b.store.Stat(ctx, object)
		require.NoError(t, err)
		b.proxy.Heal()
		b.proxy.Inject(fault)
		require.NoError(t, b.store.Check(ctx, zipBucket))
		b.proxy.Heal()
	}
	assert.Contains(t, b.log.String(), "trying again")
}

func TestEndpointThatGoesOnFailing(t *testing.T) {
	b := newBed(t, quick)
	object := b.place("a.zip", []byte("data"))
	b.proxy.Inject(storetest.Fault{Status: 503, Code: "SlowDown"})
	_, err := b.store.Fetch(ctx, object, 4, "", tempFile(t), nil)
	require.ErrorIs(t, err, objectstore.ErrUnavailable)
	assert.ErrorContains(t, err, b.proxy.URL())
	assert.ErrorContains(t, err, `"zip/a.zip"`)
	assert.ErrorContains(t, err, "503 SlowDown")
	assert.Regexp(t, `tried [2-9] times in`, err.Error())
}

// TestAnswerThatIsCut is S02: wherever the answer breaks off, and however its end is told.
func TestAnswerThatIsCut(t *testing.T) {
	b := newBed(t)
	data := noise(300_000, 4)
	object := b.place("a.zip", data)
	size := int64(len(data))
	for _, framing := range []storetest.Framing{storetest.Length, storetest.Chunked, storetest.ToEOF} {
		for _, cut := range []int64{0, 1, size / 2, size - 1, size} {
			t.Run(fmt.Sprintf("framing %d, byte %d", framing, cut), func(t *testing.T) {
				defer b.proxy.Heal()
				b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 1, Cut: storetest.Byte(cut), Framing: framing})
				before := len(b.proxy.Requests(storetest.Get))
				b.fetch(t, object, data)
				requests := b.proxy.Requests(storetest.Get)[before:]
				if cut == size {
					require.Len(t, requests, 1, "all was there")
					return
				}
				require.Len(t, requests, 2)
				if cut > 0 {
					assert.Regexp(t, `^bytes=\d+-$`, requests[1].Header.Get("Range"), "what had arrived is not fetched again")
				}
			})
		}
	}
}

func TestFetchGetsAheadInSmallSteps(t *testing.T) {
	b := newBed(t, func(o *objectstore.Options) { o.Patience = 20 * time.Millisecond })
	data := noise(40*100_000, 5)
	object := b.place("a.zip", data)
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Cut: storetest.Byte(100_000)})
	b.fetch(t, object, data) // patience is for standing still
	assert.GreaterOrEqual(t, len(b.proxy.Requests(storetest.Get)), 40)
}

func TestFetchThatHardlyMovesIsGivenUp(t *testing.T) {
	b := newBed(t, quick)
	data := noise(megabyte, 5)
	object := b.place("a.zip", data)
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Cut: storetest.Byte(10)})
	_, err := b.store.Fetch(ctx, object, int64(len(data)), "", tempFile(t), nil)
	require.ErrorIs(t, err, objectstore.ErrUnavailable)
}

// TestWrongBytes is S03 for reading.
func TestWrongBytes(t *testing.T) {
	b := newBed(t)
	data := noise(300_000, 6)
	object := b.place("a.zip", data)
	for _, offset := range []int64{0, 150_000, 299_999} {
		b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 1, FlipReply: storetest.Byte(offset)})
		b.fetch(t, object, data)
		b.proxy.Heal()
	}
	before := len(b.proxy.Requests(storetest.Get))
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, FlipReply: storetest.Byte(1)})
	_, err := b.store.Fetch(ctx, object, int64(len(data)), hexSum(data), tempFile(t), nil)
	require.ErrorIs(t, err, objectstore.ErrDamaged)
	assert.ErrorContains(t, err, hexSum(data))
	assert.Len(t, b.proxy.Requests(storetest.Get)[before:], 3, "not for ever")
}

func TestWrongSize(t *testing.T) {
	b := newBed(t)
	object := b.place("a.zip", noise(1000, 7))
	for _, size := range []int64{0, 999, 1001} {
		for _, framing := range []storetest.Framing{storetest.Length, storetest.Chunked, storetest.ToEOF} {
			b.proxy.Inject(storetest.Fault{Op: storetest.Get, Framing: framing})
			_, err := b.store.Fetch(ctx, object, size, "", tempFile(t), nil)
			require.ErrorIs(t, err, objectstore.ErrDamaged, "%d bytes promised, framing %d", size, framing)
			b.proxy.Heal()
		}
	}
	_, err := b.store.Fetch(ctx, object, 1001, "", tempFile(t), nil)
	assert.ErrorContains(t, err, "the object has 1000 bytes, promised were 1001")
}

// TestStall is S04 for reading: silence ends a connection, and the transfer goes on over another.
func TestStall(t *testing.T) {
	b := newBed(t, func(o *objectstore.Options) { o.Idle = 300 * time.Millisecond })
	data := noise(300_000, 8)
	object := b.place("a.zip", data)
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 2, StallReply: storetest.Byte(100_000)})
	b.fetch(t, object, data)
	assert.Len(t, b.proxy.Requests(storetest.Get), 3)
	assert.Contains(t, b.log.String(), "stalled: no byte in either direction for 300ms")
}

func TestStallThatLasts(t *testing.T) {
	b := newBed(t, func(o *objectstore.Options) { o.Idle, o.Patience = 200*time.Millisecond, 100*time.Millisecond })
	object := b.place("a.zip", []byte("data"))
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, StallReply: storetest.Byte(2)})
	_, err := b.store.Fetch(ctx, object, 4, "", tempFile(t), nil)
	require.ErrorIs(t, err, objectstore.ErrUnavailable)
	assert.ErrorContains(t, err, "stalled")
	assert.GreaterOrEqual(t, len(b.proxy.Requests(storetest.Get)), 2, "one more try, though a stall takes longer than patience")
}

func TestSlowIsNotStalled(t *testing.T) {
	b := newBed(t, func(o *objectstore.Options) { o.Idle = time.Second })
	data := noise(20*(16<<10), 9)
	object := b.place("a.zip", data)
	b.proxy.Inject(storetest.Fault{Pause: 100 * time.Millisecond}) // 2 s in all
	b.fetch(t, object, data)
	require.NoError(t, b.put("slow", data))
	assert.Len(t, b.proxy.Requests(storetest.Any), 2, "neither was broken off")
}

// TestObjectReplacedDuringTheTransfer: bytes of two versions are never joined, whether the endpoint gives an ETag or not.
func TestObjectReplacedDuringTheTransfer(t *testing.T) {
	for name, options := range map[string][]string{
		"no ETag":            nil,
		"one ETag for all":   {"posix", "--default-etag", "same"},
		"ETags from uploads": {"posix"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBedAt(t, startServer(t, options...))
			old, fresh := noise(200_000, 10), noise(200_000, 11)
			object := b.place("a.zip", old)
			if name == "ETags from uploads" {
				object = objectstore.Object{Bucket: stageBucket, Key: "a.zip"}
				require.NoError(t, b.put("a.zip", old))
			}
			past := time.Now().Add(-time.Hour)
			require.NoError(t, os.Chtimes(b.path(object.Bucket, object.Key), past, past))
			b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 1, Cut: storetest.Byte(100_000), At: 100_000, Do: func() {
				if name == "ETags from uploads" {
					assert.NoError(t, os.Remove(b.path(object.Bucket, object.Key)))
					assert.NoError(t, b.put("a.zip", fresh))
				} else {
					b.place("a.zip", fresh)
				}
			}})
			file := tempFile(t)
			sum, err := b.store.Fetch(ctx, object, int64(len(fresh)), "", file, nil)
			require.NoError(t, err)
			assert.Equal(t, hexSum(fresh), sum)
			assert.True(t, bytes.Equal(fresh, contents(t, file)))
			if name == "ETags from uploads" {
				assert.NotEmpty(t, b.proxy.Requests(storetest.Get)[1].Header.Get("If-Match"))
			}
		})
	}
}

// TestProxiesThatMeddle is S15.
func TestProxiesThatMeddle(t *testing.T) {
	b := newBed(t)
	data := bytes.Repeat([]byte("compressible "), 20_000)
	object := b.place("a.csv", data)
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 1, Gzip: true})
	b.fetch(t, object, data)
	b.proxy.Heal()

	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Gzip: true})
	_, err := b.store.Fetch(ctx, object, int64(len(data)), hexSum(data), tempFile(t), nil)
	require.ErrorIs(t, err, objectstore.ErrDamaged)
	assert.ErrorContains(t, err, "Content-Encoding gzip and no length: does a proxy re-encode it?")
	b.proxy.Heal()

	seen := b.proxy.Requests(storetest.Get)[0]
	assert.Equal(t, "identity", seen.Header.Get("Accept-Encoding"))
	assert.Equal(t, "no-cache", seen.Header.Get("Cache-Control"))
}

func TestProxyThatServesAnOldCopy(t *testing.T) {
	b := newBed(t)
	old, fresh := []byte("yesterday's data"), []byte("data from today!")
	object := b.place("a.csv", old)
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Keep: true, Times: 3})
	b.fetch(t, object, old)
	b.place("a.csv", fresh)
	b.fetch(t, object, fresh) // twice the old copy, and then the proxy looks
	assert.Len(t, b.proxy.Requests(storetest.Get), 4)
}

func TestEndpointThatIgnoresRanges(t *testing.T) {
	b := newBed(t)
	data := noise(200_000, 12)
	object := b.place("a.zip", data)
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Keep: true})
	b.fetch(t, object, data)
	b.proxy.Heal()
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 1, Cut: storetest.Byte(100_000)})
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Keep: true}) // what it keeps is the whole
	b.fetch(t, object, data)
	requests := b.proxy.Requests(storetest.Get)
	require.Len(t, requests, 3)
	assert.NotEmpty(t, requests[2].Header.Get("Range"))
}

func TestFetchEndsWithItsContext(t *testing.T) {
	b := newBed(t)
	data := noise(megabyte, 13)
	object := b.place("a.zip", data)
	for name, fault := range map[string]storetest.Fault{
		"in a transfer": {StallReply: storetest.Byte(100_000)},
		"in a pause":    {Status: 503, Code: "SlowDown"},
	} {
		t.Run(name, func(t *testing.T) {
			defer b.proxy.Heal()
			cancelled, cancel := context.WithCancel(ctx)
			defer cancel()
			var began atomic.Bool
			fault.At, fault.Do = 50_000, func() { began.Store(true) }
			b.proxy.Inject(fault)
			failed := make(chan error, 1)
			file := tempFile(t)
			go func() {
				_, err := b.store.Fetch(cancelled, object, int64(len(data)), "", file, nil)
				failed <- err
			}()
			if fault.Status == 0 {
				require.Eventually(t, began.Load, waitLimit, poll)
			}
			cancel()
			assert.Equal(t, context.Canceled, <-failed, "as it is")
		})
	}
}

func TestFetchIntoAFileThatFails(t *testing.T) {
	b := newBed(t)
	object := b.place("a.zip", []byte("data"))
	for name, open := range map[string]func(t *testing.T) *os.File{
		"closed": func(t *testing.T) *os.File {
			file := tempFile(t)
			require.NoError(t, file.Close())
			return file
		},
		"not writable": func(t *testing.T) *os.File {
			file, err := os.Open(tempFile(t).Name())
			require.NoError(t, err)
			return file
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := open(t)
			defer file.Close() //nolint:errcheck // it fails
			before := len(b.proxy.Requests(storetest.Any))
			_, err := b.store.Fetch(ctx, object, 4, "", file, nil)
			require.Error(t, err)
			for _, sentinel := range sentinels {
				assert.NotErrorIs(t, err, sentinel, "it is this host's fault")
			}
			assert.ErrorContains(t, err, filepath.Base(file.Name()))
			assert.LessOrEqual(t, len(b.proxy.Requests(storetest.Any))-before, 1, "no repetition mends it")
		})
	}
}

var sentinels = []error{
	objectstore.ErrUnavailable, objectstore.ErrUntrusted, objectstore.ErrRefused, objectstore.ErrNotFound, objectstore.ErrFull,
	objectstore.ErrDamaged, objectstore.ErrExists, objectstore.ErrRejected,
}
