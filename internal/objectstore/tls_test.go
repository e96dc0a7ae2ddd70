package objectstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
	"talon/internal/logtest"
	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

// secureBed is a bed whose proxy speaks TLS with a private authority's certificate.
func secureBed(t testing.TB) (*bed, *ftptest.Authority, string) {
	t.Helper()
	authority, err := ftptest.NewAuthority()
	require.NoError(t, err)
	valid, err := authority.Valid()
	require.NoError(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, authority.CertPEM, 0o644))
	s := startServer(t)
	proxy, err := storetest.Start(s.url(), &valid.Certificate)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, proxy.Close()) })
	b := &bed{server: s, proxy: proxy, log: &logtest.Buffer{}, keys: &keyring{access: accessKey, secret: secretKey}}
	b.store = b.open(proxy.URL(), func(o *objectstore.Options) { o.CA = ca })
	return b, authority, ca
}

func TestEncrypted(t *testing.T) {
	b, _, _ := secureBed(t)
	data := noise(3*megabyte, 80)
	require.NoError(t, b.store.Check(ctx, stageBucket))
	require.NoError(t, b.put("x", data))
	b.fetch(t, objectstore.Object{Bucket: stageBucket, Key: "x"}, data)
	assert.Equal(t, "UNSIGNED-PAYLOAD", b.proxy.Requests(storetest.Put)[0].Header.Get("X-Amz-Content-Sha256"))
	assert.Equal(t, 1, b.proxy.Connections())
}

// TestCertificatesThatChangeLive is S10.
func TestCertificatesThatChangeLive(t *testing.T) {
	b, authority, _ := secureBed(t)
	b.place("a.zip", []byte("x"))
	object := objectstore.Object{Bucket: zipBucket, Key: "a.zip"}
	_, err := b.store.Stat(ctx, object)
	require.NoError(t, err)
	for name, issue := range map[string]func() (ftptest.Identity, error){
		"expired": authority.Expired, "wrong name": authority.WrongName, "self-signed": ftptest.SelfSigned,
	} {
		t.Run(name, func(t *testing.T) {
			bad, err := issue()
			require.NoError(t, err)
			b.proxy.SetCertificate(&bad.Certificate)
			b.store.Close() // what is open may go on; this is about new connections
			before := len(b.proxy.Requests(storetest.Any))
			for call, err := range all(t, b.store, zipBucket, "a.zip") {
				require.ErrorIs(t, err, objectstore.ErrUntrusted, call)
				assert.ErrorContains(t, err, "x509: ", call)
				assert.ErrorContains(t, err, "check the CA file", call)
			}
			assert.Len(t, b.proxy.Requests(storetest.Any), before, "nothing was sent")

			good, err := authority.Valid()
			require.NoError(t, err)
			b.proxy.SetCertificate(&good.Certificate)
			_, err = b.store.Stat(ctx, object)
			require.NoError(t, err)
		})
	}
}

func TestAuthorityThatChangesLive(t *testing.T) {
	b, _, ca := secureBed(t)
	require.NoError(t, b.store.Check(ctx, zipBucket))
	other, err := ftptest.NewAuthority()
	require.NoError(t, err)
	fresh, err := other.Valid()
	require.NoError(t, err)
	b.proxy.SetCertificate(&fresh.Certificate)
	b.store.Close()
	require.ErrorIs(t, b.store.Check(ctx, zipBucket), objectstore.ErrUntrusted)
	require.NoError(t, os.WriteFile(ca, []byte("half written"), 0o644))
	require.ErrorIs(t, b.store.Check(ctx, zipBucket), objectstore.ErrUntrusted)
	require.NoError(t, os.WriteFile(ca, other.CertPEM, 0o644))
	require.NoError(t, b.store.Check(ctx, zipBucket), "the file was read again")
}

func TestPrivateAuthorityIsNotTheSystems(t *testing.T) {
	b, _, _ := secureBed(t)
	require.ErrorIs(t, b.open(b.proxy.URL()).Check(ctx, zipBucket), objectstore.ErrUntrusted)
}

func TestOneSpeaksTLSAndTheOtherDoesNot(t *testing.T) {
	b, _, ca := secureBed(t)
	store := b.open("https"+strings.TrimPrefix(b.url(), "http"), func(o *objectstore.Options) { o.CA = ca })
	err := store.Check(ctx, zipBucket)
	require.ErrorIs(t, err, objectstore.ErrRejected)
	assert.ErrorContains(t, err, "the endpoint does not speak TLS; is it http:// instead of https://?")
	require.Error(t, b.open("http"+strings.TrimPrefix(b.proxy.URL(), "https"), quick).Check(ctx, zipBucket))
}
