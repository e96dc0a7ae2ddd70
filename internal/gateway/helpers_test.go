package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/logtest"
)

// patience bounds every wait for a condition in these tests.
const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 20*time.Millisecond, what)
}

// program is a versitygw, built by the first test that needs it.
var program = sync.OnceValues(func() (string, error) {
	return FindOrBuild(context.Background(), FindOptions{ToolsDir: filepath.Join("..", "..", "tools"), Log: os.Stderr})
})

// site is a warehouse with a gateway over it.
type site struct {
	*Gateway
	t           *testing.T
	root, state string
	keyFile     string
	key         key
	log, access *logtest.Buffer
	authority   *x509.CertPool // of certificates that writeCertificate wrote
	trailing    bool           // clients add checksums behind what they send
}

// newSite makes a warehouse with a few things in it that nobody may see, and the options of a gateway over it.
func newSite(t *testing.T) (*site, Options) {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	s := &site{t: t, root: t.TempDir(), state: filepath.Join(t.TempDir(), "state"), log: &logtest.Buffer{}, access: &logtest.Buffer{}}
	for name, text := range map[string]string{
		"zip/branch-001/a.zip": "archive", "unzip/branch-001/a/secret.txt": "secret", "state/catalog.db": "secret",
		"stage/run/1": "secret", "secret.txt": "secret",
	} {
		s.write(name, text)
	}
	s.key = newKey()
	s.keyFile = s.writeKey("eagle", s.key)
	return s, Options{
		Program: path, Warehouse: s.root, State: s.state, Listen: "127.0.0.1:0", EagleKeys: []string{s.keyFile},
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), AccessLog: s.access,
	}
}

func (s *site) start(opts Options) *site {
	s.t.Helper()
	g, err := Start(s.t.Context(), opts)
	require.NoError(s.t, err, "%s", s.log)
	s.Gateway = g
	s.t.Cleanup(func() {
		assert.NoError(s.t, g.Kill())
		if s.t.Failed() {
			s.t.Logf("the gateway's log:\n%s", s.log)
		}
	})
	return s
}

// startTLS gives the gateway a certificate.
func (s *site) startTLS(opts Options) *site {
	s.t.Helper()
	opts.Cert, opts.Key = s.writeCertificate(1)
	return s.start(opts)
}

// writeCertificate writes a certificate that signs itself, and its key.
func (s *site) writeCertificate(serial int64) (certFile, keyFile string) {
	s.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(s.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(s.t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(s.t, err)
	certFile, keyFile = filepath.Join(filepath.Dir(s.state), "tls.crt"), filepath.Join(filepath.Dir(s.state), "tls.key")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(s.t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
	require.NoError(s.t, os.WriteFile(certFile, certificate, 0o600))
	if s.authority == nil {
		s.authority = x509.NewCertPool()
	}
	require.True(s.t, s.authority.AppendCertsFromPEM(certificate))
	return certFile, keyFile
}

func startSite(t *testing.T) *site {
	t.Helper()
	s, opts := newSite(t)
	return s.start(opts)
}

// write makes a file below the warehouse.
func (s *site) write(name, text string) {
	s.t.Helper()
	path := s.path(name)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o644))
}

func (s *site) path(name string) string { return filepath.Join(s.root, filepath.FromSlash(name)) }

func (s *site) bundle(key string) string { return s.path("stage/bundles/" + key) }

func newKey() key {
	random := make([]byte, 24)
	_, _ = rand.Read(random)
	return key{access: "eagle-" + hex.EncodeToString(random[:4]), secret: hex.EncodeToString(random)}
}

func (s *site) writeKey(name string, k key) string {
	s.t.Helper()
	path := filepath.Join(filepath.Dir(s.state), name+".key")
	require.NoError(s.t, os.WriteFile(path, []byte(k.access+":"+k.secret+"\n"), 0o600))
	return path
}

// client is an S3 client with a key. It does not try again: that would hide what is looked for.
func (s *site) client(k key) *minio.Core {
	s.t.Helper()
	address, err := url.Parse(s.URL())
	require.NoError(s.t, err)
	transport := &http.Transport{DisableCompression: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	if s.authority != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: s.authority}
	}
	core, err := minio.NewCore(address.Host, &minio.Options{
		Creds: credentials.NewStaticV4(k.access, k.secret, ""), Secure: address.Scheme == "https", Region: DefaultRegion,
		Transport: transport, MaxRetries: 1, BucketLookup: minio.BucketLookupPath, TrailingHeaders: s.trailing,
	})
	require.NoError(s.t, err)
	return core
}

func (s *site) eagle() *minio.Core { s.t.Helper(); return s.client(s.key) }

// get reads an object as eagles do.
func (s *site) get(bucket, key string) (string, error) {
	s.t.Helper()
	object, err := s.eagle().Client.GetObject(s.t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	return string(content), err
}

func (s *site) put(key, content string) error {
	s.t.Helper()
	_, err := s.eagle().Client.PutObject(s.t.Context(), BucketStage, key, strings.NewReader(content), int64(len(content)),
		minio.PutObjectOptions{DisableMultipart: true})
	return err
}

// code is the S3 error code of an error.
func code(err error) string { return minio.ToErrorResponse(err).Code }
