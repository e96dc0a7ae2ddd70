package objectstore_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/ftpclient/ftptest"
	"talon/internal/logtest"
	"talon/internal/objectstore"
)

// benchBed is a bed without a proxy, in clear or encrypted, with an object of that size in both buckets.
func benchBed(b *testing.B, secure bool, size int64) (*bed, *objectstore.Store) {
	b.Helper()
	var options []string
	var change []func(*objectstore.Options)
	if secure {
		authority, err := ftptest.NewAuthority()
		require.NoError(b, err)
		valid, err := authority.Valid()
		require.NoError(b, err)
		dir := b.TempDir()
		for name, pem := range map[string][]byte{"ca": authority.CertPEM, "cert": valid.CertPEM, "key": valid.KeyPEM} {
			require.NoError(b, os.WriteFile(filepath.Join(dir, name), pem, 0o600))
		}
		options = []string{"--cert", filepath.Join(dir, "cert"), "--key", filepath.Join(dir, "key"), "posix"}
		change = append(change, func(o *objectstore.Options) { o.CA = filepath.Join(dir, "ca") })
	}
	bed := &bed{server: startServer(b, options...), log: &logtest.Buffer{}, keys: &keyring{access: accessKey, secret: secretKey}}
	endpoint := bed.url()
	if secure {
		endpoint = "https" + endpoint[len("http"):]
	}
	bed.place("object", noise(int(size), 1))
	return bed, bed.open(endpoint, change...)
}

func schemes(b *testing.B, run func(b *testing.B, secure bool)) {
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "http", true: "https"}[secure], func(b *testing.B) { run(b, secure) })
	}
}

const small = 4 << 10

func BenchmarkFetchSmall(b *testing.B) {
	schemes(b, func(b *testing.B, secure bool) {
		_, store := benchBed(b, secure, small)
		file := tempFile(b)
		b.ReportAllocs()
		for b.Loop() {
			_, err := store.Fetch(ctx, objectstore.Object{Bucket: zipBucket, Key: "object"}, small, "", file, nil)
			require.NoError(b, err)
		}
	})
}

func BenchmarkPutSmall(b *testing.B) {
	schemes(b, func(b *testing.B, secure bool) {
		_, store := benchBed(b, secure, small)
		data := noise(small, 1)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			object := objectstore.Object{Bucket: stageBucket, Key: fmt.Sprintf("run/%d", i)}
			require.NoError(b, store.Put(ctx, object, bytes.NewReader(data), small, nil))
		}
	})
}

const large = 1 << 30

// cpu reports what this process, the client, took of the processor for a GiB: on a machine that others use that says more
// than the time that passed.
func cpu(b *testing.B) func() {
	b.Helper()
	used := func() float64 {
		var usage unix.Rusage
		require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
		return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
	}
	before := used()
	return func() { b.ReportMetric((used()-before)/float64(b.N), "cpu-ms/GiB") }
}

func BenchmarkFetchLarge(b *testing.B) {
	schemes(b, func(b *testing.B, secure bool) {
		_, store := benchBed(b, secure, large)
		file := tempFile(b)
		b.SetBytes(large)
		defer cpu(b)()
		for b.Loop() {
			_, err := store.Fetch(ctx, objectstore.Object{Bucket: zipBucket, Key: "object"}, large, "", file, nil)
			require.NoError(b, err)
		}
	})
}

func BenchmarkPutLarge(b *testing.B) {
	schemes(b, func(b *testing.B, secure bool) {
		bed, store := benchBed(b, secure, large)
		file, err := os.Open(bed.path(zipBucket, "object"))
		require.NoError(b, err)
		defer file.Close() //nolint:errcheck // it is read
		b.SetBytes(large)
		defer cpu(b)()
		for b.Loop() {
			require.NoError(b, store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: "object"}, file, large, nil))
			require.NoError(b, os.Remove(bed.path(stageBucket, "object")))
		}
	})
}

// BenchmarkCopyLarge is what the others are compared with: the same file, read and written by this process.
func BenchmarkCopyLarge(b *testing.B) {
	source := tempFile(b)
	_, err := source.Write(noise(large, 1))
	require.NoError(b, err)
	target := tempFile(b)
	b.SetBytes(large)
	defer cpu(b)()
	for b.Loop() {
		require.NoError(b, target.Truncate(0))
		_, err := io.CopyBuffer(struct{ io.Writer }{io.NewOffsetWriter(target, 0)},
			struct{ io.Reader }{io.NewSectionReader(source, 0, large)}, make([]byte, 256<<10))
		require.NoError(b, err)
	}
}
