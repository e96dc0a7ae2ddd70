package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

func TestPut(t *testing.T) {
	b := newBed(t)
	for _, size := range []int{0, 1, 4096, 3*megabyte + 5} {
		data := noise(size, 20)
		key := fmt.Sprintf("run/%d.tar.zst", size)
		var last int64
		require.NoError(t, b.store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: key}, bytes.NewReader(data), int64(size),
			func(total int64) {
				assert.Greater(t, total, last)
				last = total
			}))
		assert.True(t, bytes.Equal(data, b.stored(key)))
		assert.Equal(t, int64(size), last)
	}
	assert.Len(t, b.proxy.Requests(storetest.Any), 4, "one request each")
	sent := b.proxy.Requests(storetest.Put)[3].Header
	assert.Equal(t, "UNSIGNED-PAYLOAD", sent.Get("X-Amz-Content-Sha256"), "nothing is hashed for the signature")
	assert.NotEmpty(t, sent.Get("X-Amz-Checksum-Crc32c"))
	assert.Equal(t, "*", sent.Get("If-None-Match"))
	assert.Equal(t, fmt.Sprint(3*megabyte+5), sent.Get("Content-Length"))
	assert.Empty(t, b.leftovers())
}

// TestPutThatFailsForAWhile is S01 and S05 for writing.
func TestPutThatFailsForAWhile(t *testing.T) {
	b := newBed(t)
	for i, fault := range []storetest.Fault{
		{Status: 500, Code: "InternalError"},
		{Status: 503, Code: "SlowDown"},
		{Status: 409, Code: "ConditionalRequestConflict"},
		{Status: 400, Code: "IncompleteBody"},
		{Status: 200, Plain: true}, // by somebody who is no S3 endpoint
		{DropReply: true},
		{Cut: storetest.Byte(0)},
	} {
		for _, size := range []int{0, 100, 2 * megabyte} {
			data, key := noise(size, uint64(i)), fmt.Sprintf("%d/%d", i, size)
			fault.Op, fault.Times = storetest.Put, 2
			b.proxy.Inject(fault)
			require.NoError(t, b.put(key, data), "%+v", fault)
			assert.True(t, bytes.Equal(data, b.stored(key)))
			b.proxy.Heal()
		}
	}
	assert.Empty(t, b.leftovers())
}

// TestLostReply is S05: the object is there, so the second attempt finds the key taken, by itself.
func TestLostReply(t *testing.T) {
	b := newBed(t)
	for size, want := range map[int][]storetest.Op{
		100_000:      {storetest.Put, storetest.Put, storetest.Head},
		2 * megabyte: {storetest.Put, storetest.Head}, // large ones are not sent twice
	} {
		before := len(b.proxy.Requests(storetest.Any))
		b.proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, DropReply: true})
		require.NoError(t, b.put(fmt.Sprint(size), noise(size, 21)))
		var asked []storetest.Op
		for _, seen := range b.proxy.Requests(storetest.Any)[before:] {
			asked = append(asked, seen.Op)
		}
		assert.Equal(t, want, asked)
		b.proxy.Heal()
	}
}

// TestLostReplyOfAnEndpointWithoutChecksums: the size must do, but only for what was sent before.
func TestLostReplyOfAnEndpointWithoutChecksums(t *testing.T) {
	b := newBed(t)
	data := noise(100_000, 32)
	b.proxy.Inject(storetest.Fault{Op: storetest.Head, Without: "X-Amz-Checksum-Crc32c"})
	b.proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, DropReply: true})
	require.NoError(t, b.put("a", data))
	require.ErrorIs(t, b.put("a", data), objectstore.ErrExists)
	b.proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, Status: 503, Code: "SlowDown"})
	require.ErrorIs(t, b.put("a", data[1:]), objectstore.ErrExists)
}

// TestKeyThatIsTaken is S13, one after the other.
func TestKeyThatIsTaken(t *testing.T) {
	b := newBed(t)
	data := noise(100_000, 22)
	require.NoError(t, b.put("a", data))
	require.NoError(t, b.put("a", data), "the same bytes again")
	err := b.put("a", data[1:])
	require.ErrorIs(t, err, objectstore.ErrExists)
	assert.ErrorContains(t, err, "there is an object of 100000 bytes, to be stored were 99999")
	other := slices.Clone(data)
	other[500] ^= 1
	err = b.put("a", other)
	require.ErrorIs(t, err, objectstore.ErrExists)
	assert.ErrorContains(t, err, "CRC-32C")
	assert.True(t, bytes.Equal(data, b.stored("a")), "it was not replaced")

	require.NoError(t, b.put("dir/file", data))
	require.ErrorIs(t, b.put("dir", data), objectstore.ErrExists, "the name of a directory")
	require.ErrorIs(t, b.put("a/b", data), objectstore.ErrExists, "below a file")
}

// TestPutsOfOneKeyAtOnce is S13, at the same time: the key holds one of them whole, and who lost knows it.
func TestPutsOfOneKeyAtOnce(t *testing.T) {
	b := newBed(t)
	for round := range 10 {
		one, other := noise(200_000, 23), noise(200_000, 24)
		key := fmt.Sprint(round)
		var stored, refused atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			data := one
			if i%2 == 1 {
				data = other
			}
			all.Go(func() {
				switch err := b.put(key, data); {
				case err == nil:
					stored.Add(1)
				case errors.Is(err, objectstore.ErrExists):
					refused.Add(1)
				default:
					assert.NoError(t, err)
				}
			})
		}
		all.Wait()
		assert.Equal(t, int64(4), stored.Load(), "those who sent what is there")
		assert.Equal(t, int64(4), refused.Load())
		assert.Contains(t, []string{hexSum(one), hexSum(other)}, hexSum(b.stored(key)))
	}
}

// TestWrongBytesOnTheWayThere is S03 for writing: the endpoint compares what arrives with the checksum.
func TestWrongBytesOnTheWayThere(t *testing.T) {
	b := newBed(t)
	data := noise(300_000, 25)
	for i, offset := range []int64{0, 150_000, 299_999} {
		b.proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, FlipRequest: storetest.Byte(offset)})
		require.NoError(t, b.put(fmt.Sprint(i), data))
		assert.True(t, bytes.Equal(data, b.stored(fmt.Sprint(i))))
		b.proxy.Heal()
	}
	before := len(b.proxy.Requests(storetest.Put))
	b.proxy.Inject(storetest.Fault{Op: storetest.Put, FlipRequest: storetest.Byte(7)})
	err := b.put("always", data)
	require.ErrorIs(t, err, objectstore.ErrDamaged)
	assert.ErrorContains(t, err, "BadDigest")
	assert.Len(t, b.proxy.Requests(storetest.Put)[before:], 3, "not for ever")
	assert.NoFileExists(t, b.path(stageBucket, "always"))
	assert.Empty(t, b.leftovers())
}

// TestUploadThatStalls is S04 for writing.
func TestUploadThatStalls(t *testing.T) {
	b := newBed(t, func(o *objectstore.Options) { o.Idle = 300 * time.Millisecond })
	data := noise(16*megabyte, 26) // more than fits into buffers
	b.proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 4, StallRequest: storetest.Byte(100_000)})
	require.NoError(t, b.put("a", data))
	assert.True(t, bytes.Equal(data, b.stored("a")))
	assert.Equal(t, 4, strings.Count(b.log.String(), "stalled: no byte in either direction"), "%s", b.log)
}

// TestEndpointThatStoresSlowly: when it has all the bytes it may be silent for longer than a line may.
func TestEndpointThatStoresSlowly(t *testing.T) {
	b := newBed(t, func(o *objectstore.Options) { o.Idle = 200 * time.Millisecond })
	b.proxy.Inject(storetest.Fault{Op: storetest.Put, Delay: time.Second})
	require.NoError(t, b.put("a", noise(5*megabyte, 33)))
	assert.Len(t, b.proxy.Requests(storetest.Any), 1)
}

func TestUploadThatBreaksOffEachTime(t *testing.T) {
	b := newBed(t, quick)
	data := noise(4*megabyte, 27)
	b.proxy.Inject(storetest.Fault{Op: storetest.Put, CutRequest: storetest.Byte(2 * megabyte)})
	err := b.put("a", data)
	require.ErrorIs(t, err, objectstore.ErrUnavailable)
	assert.GreaterOrEqual(t, len(b.proxy.Requests(storetest.Put)), 5, "it begins well each time, but there is an end to it")
	assert.NoFileExists(t, b.path(stageBucket, "a"))
}

// TestRefusalOfALargeUpload: the endpoint answers at once and hangs up on the body, which must not look like a broken line.
func TestRefusalOfALargeUpload(t *testing.T) {
	b := newBed(t)
	straight := b.open(b.url())
	data := noise(32*megabyte, 28)
	require.NoError(t, b.put("taken", data[:10]))
	object := objectstore.Object{Bucket: stageBucket, Key: "taken"}
	for range 20 {
		err := straight.Put(ctx, object, bytes.NewReader(data), int64(len(data)), nil)
		require.ErrorIs(t, err, objectstore.ErrExists)
	}
	b.keys.set(accessKey, "wrong")
	wrong := b.open(b.url())
	object.Key = "new"
	for range 20 {
		var late atomic.Bool
		err := wrong.Put(ctx, object, bytes.NewReader(data), int64(len(data)), func(int64) {
			assert.False(t, late.Load(), "no progress after the end")
		})
		late.Store(true)
		require.ErrorIs(t, err, objectstore.ErrRefused)
	}
	assert.NotContains(t, b.log.String(), "trying again")
}

func TestPutOfAFileThatFails(t *testing.T) {
	b := newBed(t)
	for name, test := range map[string]struct {
		r    io.ReaderAt
		size int64
		want error
	}{
		"shorter than said": {bytes.NewReader(make([]byte, 1000)), 1001, io.ErrUnexpectedEOF},
		"cannot be read":    {failingReader{after: 0}, 1000, os.ErrInvalid},
		"breaks off":        {failingReader{after: megabyte}, 2 * megabyte, os.ErrInvalid},
		"breaks the second time it is read": {&secondTime{
			first: bytes.NewReader(make([]byte, 2*megabyte)), second: failingReader{after: megabyte}, size: 2 * megabyte,
		}, 2 * megabyte, os.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			err := b.store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: "x"}, test.r, test.size, nil)
			require.ErrorIs(t, err, test.want)
			for _, sentinel := range sentinels {
				assert.NotErrorIs(t, err, sentinel, "it is this host's fault")
			}
			assert.NoFileExists(t, b.path(stageBucket, "x"))
		})
	}
	assert.LessOrEqual(t, len(b.proxy.Requests(storetest.Put)), 1)
	assert.Error(t, b.store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: "x"}, bytes.NewReader(nil), -1, nil))
}

// TestFileThatChanges: what is stored is never a mixture.
func TestFileThatChanges(t *testing.T) {
	b := newBed(t)
	changing := &secondTime{first: bytes.NewReader(noise(megabyte, 29)), second: bytes.NewReader(noise(megabyte, 30)), size: megabyte}
	err := b.store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: "x"}, changing, megabyte, nil)
	require.ErrorIs(t, err, objectstore.ErrDamaged)
	assert.NoFileExists(t, b.path(stageBucket, "x"))
}

func TestPutEndsWithItsContext(t *testing.T) {
	b := newBed(t)
	data := noise(16*megabyte, 31)
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	b.proxy.Inject(storetest.Fault{Op: storetest.Put, StallRequest: storetest.Byte(megabyte), At: megabyte / 2, Do: cancel})
	var late atomic.Bool
	err := b.store.Put(cancelled, objectstore.Object{Bucket: stageBucket, Key: "x"}, bytes.NewReader(data), int64(len(data)),
		func(int64) { assert.False(t, late.Load(), "no progress after the end") })
	late.Store(true)
	assert.Equal(t, context.Canceled, err, "as it is")
	assert.NoFileExists(t, b.path(stageBucket, "x"))
}

type failingReader struct{ after int64 }

func (f failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= f.after {
		return len(p), nil
	}
	return 0, os.ErrInvalid
}

// secondTime is a file that is another one when it is read a second time.
type secondTime struct {
	first, second io.ReaderAt
	size          int64
	read          atomic.Bool
}

func (s *secondTime) ReadAt(p []byte, off int64) (int, error) {
	if s.read.Load() {
		return s.second.ReadAt(p, off)
	}
	if off+int64(len(p)) >= s.size {
		defer s.read.Store(true)
	}
	return s.first.ReadAt(p, off)
}
