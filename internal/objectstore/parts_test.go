package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

const part = 5 * megabyte // the least that S3 allows

func smallParts(o *objectstore.Options) { *o = o.WithSmallParts(2*part, part) }

func TestLargeObjectsGoInParts(t *testing.T) {
	b := newBed(t, smallParts)
	require.NoError(t, b.put("single", noise(2*part, 40)))
	assert.Len(t, b.proxy.Requests(storetest.Any), 1)

	data := noise(2*part+1, 41)
	var last int64
	object := objectstore.Object{Bucket: stageBucket, Key: "run/large"}
	require.NoError(t, b.store.Put(ctx, object, bytes.NewReader(data), int64(len(data)), func(total int64) {
		assert.Greater(t, total, last)
		last = total
	}))
	assert.Equal(t, int64(len(data)), last)
	assert.True(t, bytes.Equal(data, b.stored("run/large")))
	assert.Len(t, b.proxy.Requests(storetest.Part), 3)
	assert.Empty(t, b.leftovers())
	b.fetch(t, object, data)

	require.NoError(t, b.put("run/large", data), "the same bytes again")
	other := bytes.Clone(data)
	other[len(other)-1] ^= 1
	require.ErrorIs(t, b.put("run/large", other), objectstore.ErrExists)
	assert.True(t, bytes.Equal(data, b.stored("run/large")), "it was not replaced")
	assert.Empty(t, b.leftovers(), "the parts of those who came second")
}

// TestPartsThatFailForAWhile is S01, S02, S03, S05 and S06 for uploads in parts.
func TestPartsThatFailForAWhile(t *testing.T) {
	b := newBed(t, smallParts)
	data := noise(2*part+part/2, 42)
	for _, fault := range []storetest.Fault{
		{Op: storetest.Begin, Times: 2, Status: 503, Code: "SlowDown"},
		{Op: storetest.Begin, Times: 1, DropReply: true},
		{Op: storetest.Begin, Times: 1, Cut: storetest.Byte(20), Framing: storetest.ToEOF},
		{Op: storetest.Part, After: 1, Times: 2, Status: 500, Code: "InternalError"},
		{Op: storetest.Part, After: 1, Times: 1, DropReply: true},
		{Op: storetest.Part, After: 1, Times: 1, CutRequest: storetest.Byte(megabyte)},
		{Op: storetest.Part, After: 2, Times: 1, FlipRequest: storetest.Byte(megabyte)},
		{Op: storetest.Part, After: 2, Times: 1, Status: 404, Code: "NoSuchUpload"},
		{Op: storetest.Complete, Times: 2, Status: 503, Code: "SlowDown"},
		{Op: storetest.Complete, Times: 1, Status: 200, Code: "InternalError"}, // S06
		{Op: storetest.Complete, Times: 1, Cut: storetest.Byte(30), Framing: storetest.ToEOF},
		{Op: storetest.Complete, Times: 1, DropReply: true},
		{Op: storetest.Complete, Times: 1, Status: 404, Code: "NoSuchUpload"},
		{Op: storetest.Head, Times: 1, Status: 503},
	} {
		b.proxy.Inject(fault)
		key := string(fault.Op) + hexSum([]byte(fault.Code))[:8]
		require.NoError(t, b.put(key, data), "%+v", fault)
		assert.True(t, bytes.Equal(data, b.stored(key)))
		if fault.Op != storetest.Begin { // whose lost reply named the upload
			assert.Empty(t, b.leftovers(), "%+v", fault)
		}
		b.proxy.Heal()
	}
}

// TestUploadThatFailsIsTakenBack is S14.
func TestUploadThatFailsIsTakenBack(t *testing.T) {
	b := newBed(t, smallParts, quick)
	data := noise(3*part, 43)
	for _, fault := range []storetest.Fault{
		{Op: storetest.Part, After: 2, Status: 503, Code: "SlowDown"},
		{Op: storetest.Part, After: 2, Status: 403, Code: "AccessDenied"},
		{Op: storetest.Part, After: 2, FlipRequest: storetest.Byte(0)},
		{Op: storetest.Complete, Status: 507, Code: "InsufficientStorage"},
	} {
		b.proxy.Inject(fault)
		b.proxy.Inject(storetest.Fault{Op: storetest.Abort, Times: 1, Status: 500, Code: "InternalError"})
		require.Error(t, b.put("x", data))
		assert.Empty(t, b.leftovers(), "%+v", fault)
		assert.NoFileExists(t, b.path(stageBucket, "x"))
		b.proxy.Heal()
	}
	assert.NotContains(t, b.log.String(), "stay in .sgwtmp/multipart")
}

func TestUploadThatCannotBeTakenBackIsTold(t *testing.T) {
	b := newBed(t, smallParts, quick)
	b.proxy.Inject(storetest.Fault{Op: storetest.Part, After: 1, Status: 403, Code: "AccessDenied"})
	b.proxy.Inject(storetest.Fault{Op: storetest.Abort, Status: 403, Code: "AccessDenied"})
	require.ErrorIs(t, b.put("x", noise(3*part, 44)), objectstore.ErrRefused)
	assert.NotEmpty(t, b.leftovers())
	assert.Contains(t, b.log.String(), "parts of an upload stay in .sgwtmp/multipart of the bucket until they are swept")
}

func TestUploadThatIsCancelledIsTakenBack(t *testing.T) {
	b := newBed(t, smallParts)
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	b.proxy.Inject(storetest.Fault{Op: storetest.Part, After: 1, StallRequest: storetest.Byte(megabyte), At: megabyte / 2, Do: cancel})
	data := noise(3*part, 45)
	err := b.store.Put(cancelled, objectstore.Object{Bucket: stageBucket, Key: "x"}, bytes.NewReader(data), int64(len(data)), nil)
	assert.Equal(t, context.Canceled, err)
	assert.NotEmpty(t, b.proxy.Requests(storetest.Abort))
	assert.Empty(t, b.leftovers())
}

func TestUploadOfAFileThatEndsEarlyIsTakenBack(t *testing.T) {
	b := newBed(t, smallParts)
	err := b.store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: "x"}, bytes.NewReader(make([]byte, 2*part)), 3*part, nil)
	require.Error(t, err)
	for _, sentinel := range sentinels {
		assert.NotErrorIs(t, err, sentinel)
	}
	assert.Empty(t, b.leftovers())
}

// TestUploadThatTheEndpointKeepsLosing: it is begun anew, but not for ever.
func TestUploadThatTheEndpointKeepsLosing(t *testing.T) {
	b := newBed(t, smallParts, quick)
	b.proxy.Inject(storetest.Fault{Op: storetest.Complete, Status: 404, Code: "NoSuchUpload"})
	err := b.put("x", noise(3*part, 46))
	require.ErrorIs(t, err, objectstore.ErrUnavailable)
	assert.ErrorContains(t, err, "the upload in parts got lost there")
	assert.Len(t, b.proxy.Requests(storetest.Begin), 3)
}

// TestTwoUploadsInPartsOfOneKey is S13 for uploads in parts.
func TestTwoUploadsInPartsOfOneKey(t *testing.T) {
	b := newBed(t, smallParts)
	results := make(chan error)
	for seed := range uint64(2) {
		go func() { results <- b.put("x", noise(3*part, 47+seed)) }()
	}
	var stored, refused int
	for range 2 {
		switch err := <-results; {
		case err == nil:
			stored++
		case errors.Is(err, objectstore.ErrExists):
			refused++
		default:
			require.NoError(t, err)
		}
	}
	assert.Equal(t, []int{1, 1}, []int{stored, refused})
	assert.Contains(t, []string{hexSum(noise(3*part, 47)), hexSum(noise(3*part, 48))}, hexSum(b.stored("x")))
	assert.Empty(t, b.leftovers())
}
