package objectstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/devstack"
	"talon/internal/gateway"
	"talon/internal/logtest"
	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
	"talon/internal/subprocess"
)

const (
	waitLimit = 60 * time.Second // bounds every wait for a condition
	poll      = 10 * time.Millisecond

	accessKey = "CANARYACCESS"
	secretKey = "canary-secret-0123456789"

	zipBucket   = "zip"
	stageBucket = "stage"
)

var ctx = context.Background()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// versitygw finds the program, or builds it, once.
func versitygw(t testing.TB) string {
	t.Helper()
	program, err := gateway.FindOrBuild(ctx, gateway.FindOptions{ToolsDir: "../../tools", Log: os.Stderr})
	require.NoError(t, err)
	return program
}

// server is a versitygw over two directories, without any of the protection that package gateway gives it.
type server struct {
	t       testing.TB
	root    string
	port    int
	options []string

	access, secret string // the root's
	process        *subprocess.Process
}

func startServer(t testing.TB, options ...string) *server {
	t.Helper()
	s := &server{t: t, root: t.TempDir(), options: options, access: accessKey, secret: secretKey}
	for _, bucket := range []string{zipBucket, stageBucket} {
		require.NoError(t, os.Mkdir(filepath.Join(s.root, bucket), 0o755))
	}
	s.start()
	t.Cleanup(func() {
		assert.NoError(t, s.process.Stop(waitLimit))
		if t.Failed() {
			t.Log(s.process.LogTail())
		}
	})
	return s
}

// start starts versitygw, at the port it had before if it had one.
func (s *server) start() {
	s.t.Helper()
	program := versitygw(s.t)
	var err error
	if s.port == 0 {
		s.port, err = devstack.FreePort()
		require.NoError(s.t, err)
	}
	arguments := append([]string{"--port", fmt.Sprintf("127.0.0.1:%d", s.port), "--keep-alive", "--quiet"}, s.options...)
	if len(s.options) == 0 {
		arguments = append(arguments, "posix")
	}
	s.process, err = subprocess.Start(subprocess.Options{
		Name: "versitygw", Path: program, Args: append(arguments, s.root), LogFile: filepath.Join(s.t.TempDir(), "versitygw.log"),
		Env: append(os.Environ(), "ROOT_ACCESS_KEY="+s.access, "ROOT_SECRET_KEY="+s.secret),
	})
	require.NoError(s.t, err)
	ready, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	require.NoError(s.t, s.process.WaitForPort(ready, s.port))
}

func (s *server) url() string { return fmt.Sprintf("http://127.0.0.1:%d", s.port) }

func (s *server) path(bucket, key string) string {
	return filepath.Join(s.root, bucket, filepath.FromSlash(key))
}

// place puts a file into a bucket's directory, as tiger does.
func (s *server) place(key string, data []byte) objectstore.Object {
	s.t.Helper()
	name := s.path(zipBucket, key)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(s.t, os.WriteFile(name, data, 0o644))
	return objectstore.Object{Bucket: zipBucket, Key: key}
}

// stored reads an object of the stage from its directory.
func (s *server) stored(key string) []byte {
	s.t.Helper()
	data, err := os.ReadFile(s.path(stageBucket, key))
	require.NoError(s.t, err)
	return data
}

// leftovers are the files that an upload which did not end left in the stage.
func (s *server) leftovers() (names []string) {
	s.t.Helper()
	require.NoError(s.t, filepath.WalkDir(s.path(stageBucket, ".sgwtmp"), func(name string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}

// bed is a store that reaches a server through a proxy.
type bed struct {
	*server
	proxy *storetest.Proxy
	store *objectstore.Store
	log   *logtest.Buffer
	keys  *keyring
}

// quick lets faults that last end soon.
func quick(o *objectstore.Options) { o.Patience, o.Idle = 500*time.Millisecond, time.Second }

func newBed(t testing.TB, change ...func(*objectstore.Options)) *bed {
	t.Helper()
	return newBedAt(t, startServer(t), change...)
}

func newBedAt(t testing.TB, s *server, change ...func(*objectstore.Options)) *bed {
	t.Helper()
	proxy, err := storetest.Start(s.url(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, proxy.Close()) })
	b := &bed{server: s, proxy: proxy, log: &logtest.Buffer{}, keys: &keyring{access: accessKey, secret: secretKey}}
	b.store = b.open(proxy.URL(), change...)
	return b
}

func (b *bed) open(endpoint string, change ...func(*objectstore.Options)) *objectstore.Store {
	b.t.Helper()
	opt := objectstore.Options{
		Endpoint: endpoint, Keys: b.keys.get, Patience: waitLimit, Idle: waitLimit,
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	opt = opt.WithShortPauses()
	for _, set := range change {
		set(&opt)
	}
	store, err := objectstore.Open(opt)
	require.NoError(b.t, err)
	b.t.Cleanup(store.Close)
	return store
}

// keyring gives keys that can be exchanged, and counts how often it is asked.
type keyring struct {
	mu             sync.Mutex
	access, secret string
	err            error
	asked          int
}

func (k *keyring) get() (string, string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	return k.access, k.secret, k.err
}

func (k *keyring) set(access, secret string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.access, k.secret = access, secret
}

func (k *keyring) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

// noise is data that does not compress, the same for the same seed.
func noise(size int, seed uint64) []byte {
	data := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = random.Read(data) // never fails
	return data
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func tempFile(t testing.TB) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() }) // some tests close it
	return file
}

func contents(t testing.TB, file *os.File) []byte {
	t.Helper()
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return data
}

// fetch fetches an object and compares it with what it should be.
func (b *bed) fetch(t *testing.T, object objectstore.Object, data []byte) {
	t.Helper()
	file := tempFile(t)
	sum, err := b.store.Fetch(ctx, object, int64(len(data)), hexSum(data), file, nil)
	require.NoError(t, err)
	assert.Equal(t, hexSum(data), sum)
	assert.True(t, bytes.Equal(data, contents(t, file)), "the file holds the object")
}

func (b *bed) put(key string, data []byte) error {
	return b.store.Put(ctx, objectstore.Object{Bucket: stageBucket, Key: key}, bytes.NewReader(data), int64(len(data)), nil)
}

// closedEndpoint is one that nobody listens at.
func closedEndpoint(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // nobody came
	return "http://" + listener.Addr().String()
}
