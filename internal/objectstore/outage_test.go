package objectstore_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	keys := func() (string, string, error) { return "a", "s", nil }
	noPEM := tempFile(t)
	for name, test := range map[string]struct {
		opt  objectstore.Options
		says string
	}{
		"no endpoint":    {objectstore.Options{Keys: keys}, "no endpoint: name one such as https://gateway:7070"},
		"no scheme":      {objectstore.Options{Endpoint: "gateway:7070", Keys: keys}, "does not begin with https:// or http://"},
		"another scheme": {objectstore.Options{Endpoint: "s3://stage", Keys: keys}, "does not begin with https:// or http://"},
		"no host":        {objectstore.Options{Endpoint: "https://:7070", Keys: keys}, "names no host"},
		"a bad host":     {objectstore.Options{Endpoint: "https://-gateway", Keys: keys}, "does not follow ip address or domain name standards"},
		"a bad port":     {objectstore.Options{Endpoint: "https://gateway:port", Keys: keys}, "the endpoint is no URL"},
		"a path":         {objectstore.Options{Endpoint: "https://gateway/stage", Keys: keys}, "more than scheme, host and port"},
		"a query":        {objectstore.Options{Endpoint: "https://gateway?x=1", Keys: keys}, "more than scheme, host and port"},
		"a password":     {objectstore.Options{Endpoint: "https://me:canary@gateway", Keys: keys}, "keys are given separately"},
		"a bad password": {objectstore.Options{Endpoint: "https://me:can%ary@gate way", Keys: keys}, "the endpoint is no URL"},
		"no keys":        {objectstore.Options{Endpoint: "https://gateway"}, "no keys"},
		"CA in clear":    {objectstore.Options{Endpoint: "http://gateway", Keys: keys, CA: noPEM.Name()}, "is not encrypted: use https://"},
		"CA missing":     {objectstore.Options{Endpoint: "https://gateway", Keys: keys, CA: "/missing.pem"}, "/missing.pem"},
		"CA is none":     {objectstore.Options{Endpoint: "https://gateway", Keys: keys, CA: noPEM.Name()}, "holds no certificate in PEM form"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := objectstore.Open(test.opt)
			require.ErrorContains(t, err, test.says)
			assert.NotContains(t, err.Error(), "canary")
		})
	}
	for _, endpoint := range []string{"https://gateway", "http://gateway:7070/", "https://[::1]:7070", "HTTPS://gateway_1.lan:7070"} {
		store, err := objectstore.Open(objectstore.Options{Endpoint: endpoint, Keys: keys})
		require.NoError(t, err, endpoint)
		store.Close()
	}
}

func TestEndpointThatIsNotThere(t *testing.T) {
	b := newBed(t)
	for name, endpoint := range map[string]string{
		"nobody listens": closedEndpoint(t),
		"unknown host":   "http://gateway.invalid", // RFC 6761
	} {
		t.Run(name, func(t *testing.T) {
			store := b.open(endpoint, quick)
			object := objectstore.Object{Bucket: stageBucket, Key: "x"}
			_, stat := store.Stat(ctx, object)
			_, fetch := store.Fetch(ctx, object, 1, "", tempFile(t), nil)
			for _, err := range []error{store.Check(ctx, stageBucket), stat, fetch, store.Put(ctx, object, strings.NewReader("x"), 1, nil)} {
				require.ErrorIs(t, err, objectstore.ErrUnavailable)
				assert.ErrorContains(t, err, endpoint)
				assert.ErrorContains(t, err, "can it be reached from here?")
			}
		})
	}
}

// TestEndpointThatNeverAnswers: it takes connections, and that is all.
func TestEndpointThatNeverAnswers(t *testing.T) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(socket) //nolint:errcheck // nobody came
	require.NoError(t, unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(socket, 100))
	address, err := unix.Getsockname(socket)
	require.NoError(t, err)
	b := newBed(t)
	store := b.open(fmt.Sprintf("http://127.0.0.1:%d", address.(*unix.SockaddrInet4).Port), func(o *objectstore.Options) {
		o.Idle, o.Patience = 200*time.Millisecond, 300*time.Millisecond
	})
	require.ErrorIs(t, store.Check(ctx, zipBucket), objectstore.ErrUnavailable)
}

func TestEndpointIsNoS3(t *testing.T) {
	b := newBed(t, quick)
	object := b.place("a.zip", []byte("data"))
	for _, fault := range []storetest.Fault{
		{Status: 404, Plain: true},
		{Status: 200, Plain: true},
	} {
		b.proxy.Inject(fault)
		require.ErrorIs(t, b.store.Check(ctx, zipBucket), objectstore.ErrUnavailable, "%+v", fault)
		_, err := b.store.Fetch(ctx, object, 4, "", tempFile(t), nil)
		require.ErrorIs(t, err, objectstore.ErrUnavailable)
		require.ErrorIs(t, b.put("x", []byte("data")), objectstore.ErrUnavailable)
		b.proxy.Heal()
	}
	b.place("talon-check", []byte("x"))
	b.proxy.Inject(storetest.Fault{Keep: true})
	b.fetch(t, objectstore.Object{Bucket: zipBucket, Key: "talon-check"}, []byte("x"))
	require.ErrorIs(t, b.store.Check(ctx, zipBucket), objectstore.ErrUnavailable, "it knows no ranges")
	b.proxy.Heal()
	require.NoError(t, b.store.Check(ctx, zipBucket))
	b.proxy.Inject(storetest.Fault{Status: 301, Plain: true})
	require.ErrorIs(t, b.store.Check(ctx, zipBucket), objectstore.ErrRejected)
}

// TestKilledAndRestarted is S07: versitygw is killed in the middle of each kind of request, and comes back a moment later.
func TestKilledAndRestarted(t *testing.T) {
	b := newBed(t, smallParts)
	restart := func() {
		assert.NoError(t, b.process.Kill())
		b.start()
	}
	data := noise(3*part, 60)
	object := b.place("a.zip", data)
	for _, at := range []int64{0, 1, part, 3*part - 1} {
		b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 1, At: at, Do: restart})
		b.fetch(t, object, data)
		b.proxy.Heal()
	}
	small := data[:2*part]
	for i, at := range []int64{0, 1, part, 2*part - 1} {
		b.proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, At: at, Do: restart})
		key := fmt.Sprintf("put-%d", i)
		require.NoError(t, b.put(key, small))
		assert.True(t, bytes.Equal(small, b.stored(key)))
		b.proxy.Heal()
	}
	for _, op := range []storetest.Op{storetest.Begin, storetest.Part, storetest.Complete, storetest.Head} {
		b.proxy.Inject(storetest.Fault{Op: op, Times: 1, Do: restart})
		key := "parts-" + string(op)
		require.NoError(t, b.put(key, data))
		assert.True(t, bytes.Equal(data, b.stored(key)))
		b.proxy.Heal()
	}
}

// TestKilledWhileItPutsPartsTogether: versitygw keeps its unfinished work under a name that makes it answer 200 for ever, without
// an object (see upload.complete). Such a directory is made by hand here.
func TestKilledWhileItPutsPartsTogether(t *testing.T) {
	b := newBed(t, smallParts, quick)
	data := noise(3*part, 61)
	var first string
	b.proxy.Inject(storetest.Fault{Op: storetest.Complete, Times: 1, Do: func() {
		first = claim(t, b, data)
	}})
	require.NoError(t, b.put("x", data))
	assert.True(t, bytes.Equal(data, b.stored("x")))
	assert.Len(t, b.proxy.Requests(storetest.Begin), 2, "the upload was begun anew")
	for _, name := range b.leftovers() {
		assert.Contains(t, name, first, "what nobody but tiger can sweep")
	}
	assert.NotContains(t, b.log.String(), "take back", "there is nothing that this key could")
}

// TestPartsThatTakeLongToPutTogether: another request is at work on it, so the object appears later than patience lasts.
func TestPartsThatTakeLongToPutTogether(t *testing.T) {
	b := newBed(t, smallParts, func(o *objectstore.Options) { o.Patience = time.Nanosecond })
	data := noise(13*part, 62) // may take two seconds
	b.proxy.Inject(storetest.Fault{Op: storetest.Head, Times: 4, Status: 404, Code: "NoSuchKey"})
	b.proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 4, Status: 404, Code: "NoSuchKey"})
	require.NoError(t, b.put("x", data))
	assert.Len(t, b.proxy.Requests(storetest.Begin), 1)
}

// claim renames the only upload as versitygw does while it puts it together, and returns its directory.
func claim(t *testing.T, b *bed, data []byte) string {
	t.Helper()
	names := b.leftovers()
	if !assert.NotEmpty(t, names) {
		return ""
	}
	var sums []byte // the ETag of the whole is the MD5 of those of its parts
	parts := 0
	for chunk := range slices.Chunk(data, part) {
		sum := md5.Sum(chunk)
		sums = append(sums, sum[:]...)
		parts++
	}
	dir := filepath.Dir(names[0])
	claimed := fmt.Sprintf("%s.%x-%d.inprogress", dir, md5.Sum(sums), parts)
	assert.NoError(t, os.Rename(dir, claimed))
	return claimed
}
