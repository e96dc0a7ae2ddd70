package objectstore_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
	"talon/internal/gateway"
	"talon/internal/logtest"
	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

// site is the real thing: tiger's gateway over a warehouse, and an eagle's store, with a proxy that makes faults between them.
type site struct {
	*bed
	gateway *gateway.Gateway
	keyFile string
}

func newSite(t *testing.T) *site {
	t.Helper()
	warehouse := t.TempDir()
	for _, dir := range []string{"zip", "stage/bundles"} {
		require.NoError(t, os.MkdirAll(filepath.Join(warehouse, dir), 0o755))
	}
	s := &site{keyFile: filepath.Join(t.TempDir(), "eagle")}
	s.bed = &bed{server: &server{t: t, root: warehouse}, log: &logtest.Buffer{}, keys: &keyring{}}
	s.setKey("EAGLEKEY0123456789", "eagle-secret-0123456789-0123456789-abcdef")
	var err error
	s.gateway, err = gateway.Start(ctx, gateway.Options{
		Program: versitygw(t), Warehouse: warehouse, State: filepath.Join(t.TempDir(), "state"), Listen: "127.0.0.1:0",
		EagleKeys: []string{s.keyFile}, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.gateway.Stop()) })
	authority, err := ftptest.NewAuthority()
	require.NoError(t, err)
	valid, err := authority.Valid()
	require.NoError(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, authority.CertPEM, 0o644))
	s.proxy, err = storetest.Start(s.gateway.URL(), &valid.Certificate)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.proxy.Close()) })
	s.store = s.open(s.proxy.URL(), smallParts, func(o *objectstore.Options) { o.CA = ca })
	return s
}

// setKey gives an eagle's key to both sides.
func (s *site) setKey(access, secret string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.keyFile, []byte(access+":"+secret+"\n"), 0o600))
	s.keys.set(access, secret)
}

func (s *site) bundle(key string) []byte {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.root, "stage/bundles", key))
	require.NoError(s.t, err)
	return data
}

// TestThroughTheGateway: the gateway lets pass what a Store asks, and a Store understands how it refuses.
func TestThroughTheGateway(t *testing.T) {
	s := newSite(t)
	for _, bucket := range []string{gateway.BucketZip, gateway.BucketStage} {
		require.NoError(t, s.store.Check(ctx, bucket))
	}
	data := noise(3*part+1, 110)
	for _, name := range []string{"branch-001/a.zip", "branch-002/日报 100%+?#&.zip", "x/empty"} {
		s.fetch(t, s.place(name, data), data)
	}
	for call, err := range all(t, s.store, gateway.BucketZip, "missing.zip") {
		switch call {
		case "check":
			require.NoError(t, err)
		case "put":
			require.ErrorIs(t, err, objectstore.ErrRefused)
		default:
			require.ErrorIs(t, err, objectstore.ErrNotFound)
		}
	}
	for _, size := range []int{0, 100, 2 * part, len(data)} {
		key := fmt.Sprintf("decompress/%d.tar.zst", size)
		require.NoError(t, s.put(key, data[:size]))
		assert.True(t, bytes.Equal(data[:size], s.bundle(key)))
		require.NoError(t, s.put(key, data[:size]), "the same bytes again")
		require.ErrorIs(t, s.put(key, data[1:2*part]), objectstore.ErrExists)
		assert.True(t, bytes.Equal(data[:size], s.bundle(key)), "it was not replaced")
	}
}

func TestFaultsBeforeTheGateway(t *testing.T) {
	s := newSite(t)
	data := noise(3*part, 111)
	for i, fault := range []storetest.Fault{
		{Op: storetest.Put, Times: 1, DropReply: true},
		{Op: storetest.Put, Times: 1, FlipRequest: storetest.Byte(1000)},
		{Op: storetest.Put, Times: 1, CutRequest: storetest.Byte(megabyte)},
		{Op: storetest.Part, Times: 1, DropReply: true},
		{Op: storetest.Complete, Times: 1, DropReply: true},
		{Op: storetest.Put, Times: 1, At: megabyte, Do: func() { assert.NoError(t, s.gateway.KillServer()) }},
		{Op: storetest.Part, Times: 1, At: megabyte, Do: func() { assert.NoError(t, s.gateway.KillServer()) }},
		{Op: storetest.Complete, Times: 1, Do: func() { assert.NoError(t, s.gateway.KillServer()) }},
		{Op: storetest.Part, Times: 1, At: megabyte, Do: func() {
			assert.NoError(t, s.gateway.Kill())
			assert.NoError(t, s.gateway.Restart(ctx))
		}},
	} {
		s.proxy.Inject(fault)
		for _, size := range []int{2 * part, len(data)} {
			key := fmt.Sprintf("d/%d-%d", i, size)
			require.NoError(t, s.put(key, data[:size]), "%+v", fault)
			assert.True(t, bytes.Equal(data[:size], s.bundle(key)))
		}
		s.proxy.Heal()
	}
}

func TestKeyOfTheGatewayRotates(t *testing.T) {
	s := newSite(t)
	s.fetch(t, s.place("a.zip", []byte("x")), []byte("x"))
	s.setKey("EAGLEKEY9876543210", "eagle-secret-9876543210-9876543210-fedcba")
	require.Eventually(t, func() bool { return s.store.Check(ctx, gateway.BucketZip) == nil }, waitLimit, poll)
	s.fetch(t, s.place("b.zip", []byte("x")), []byte("x"))
}
