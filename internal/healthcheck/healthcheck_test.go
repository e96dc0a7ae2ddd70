package healthcheck_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"talon/internal/healthcheck"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// check asks with a deadline that only a server which never answers reaches.
func check(t *testing.T, url string, options healthcheck.Options) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return healthcheck.Check(ctx, url, options)
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/health", http.StatusFound)
		case "/ready":
			http.Error(w, `{"reason":"starting"}`, http.StatusServiceUnavailable)
		case "/silent":
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // is none of our business
	require.NoError(t, check(t, server.URL+"/health", healthcheck.Options{}))
	err := check(t, server.URL+"/ready", healthcheck.Options{})
	require.ErrorIs(t, err, healthcheck.ErrUnhealthy)
	assert.ErrorContains(t, err, `503 Service Unavailable: {"reason":"starting"}`)
	require.ErrorIs(t, check(t, server.URL+"/moved", healthcheck.Options{}), healthcheck.ErrUnhealthy)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, healthcheck.Check(ctx, server.URL+"/silent", healthcheck.Options{}), context.DeadlineExceeded)
}

// identity is a self-signed certificate for this host, which serves as its own authority.
type identity struct {
	pair      tls.Certificate
	pool      *x509.CertPool
	cert, key string // files
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	i := identity{pool: x509.NewCertPool(), cert: filepath.Join(dir, "x.crt"), key: filepath.Join(dir, "x.key")}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	require.NoError(t, os.WriteFile(i.cert, certPEM, 0o600))
	require.NoError(t, os.WriteFile(i.key, keyPEM, 0o600))
	require.True(t, i.pool.AppendCertsFromPEM(certPEM))
	i.pair, err = tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	return i
}

// server asks its clients for a certificate of the same authority.
func (i identity) server() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{i.pair}, ClientCAs: i.pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

func TestHTTPS(t *testing.T) {
	me := newIdentity(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	server.TLS = me.server()
	server.StartTLS()
	defer server.Close()
	require.NoError(t, check(t, server.URL, healthcheck.Options{CA: me.cert, Cert: me.cert, Key: me.key}))
	require.ErrorContains(t, check(t, server.URL, healthcheck.Options{Cert: me.cert, Key: me.key}), "unknown authority")
	require.ErrorContains(t, check(t, server.URL, healthcheck.Options{CA: me.cert}), "certificate required")
	require.ErrorContains(t, check(t, server.URL, healthcheck.Options{CA: me.key}), "no certificate in it")
	require.ErrorIs(t, check(t, server.URL, healthcheck.Options{CA: "/nowhere/ca.pem"}), os.ErrNotExist)
	require.ErrorIs(t, check(t, server.URL, healthcheck.Options{CA: me.cert, Cert: "/nowhere/x.crt"}), os.ErrNotExist)
}

// serveGRPC starts a server that knows one service, and returns what it says of it, and its address.
func serveGRPC(t *testing.T, options ...grpc.ServerOption) (*health.Server, string) {
	t.Helper()
	server, states := grpc.NewServer(options...), health.NewServer()
	states.SetServingStatus("talon.Service", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, states)
	listener := listen(t)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return states, listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestGRPC(t *testing.T) {
	states, address := serveGRPC(t)
	require.NoError(t, check(t, "grpc://"+address, healthcheck.Options{}))
	require.NoError(t, check(t, "grpc://"+address+"/talon.Service", healthcheck.Options{}))
	states.SetServingStatus("talon.Service", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	err := check(t, "grpc://"+address+"/talon.Service", healthcheck.Options{})
	require.ErrorIs(t, err, healthcheck.ErrUnhealthy)
	assert.ErrorContains(t, err, `"talon.Service" is NOT_SERVING`)
	assert.Equal(t, codes.NotFound, status.Code(check(t, "grpc://"+address+"/talon.Other", healthcheck.Options{})))
}

func TestGRPCS(t *testing.T) {
	me := newIdentity(t)
	_, address := serveGRPC(t, grpc.Creds(credentials.NewTLS(me.server())))
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	require.NoError(t, check(t, "grpcs://localhost:"+port+"/talon.Service", healthcheck.Options{CA: me.cert, Cert: me.cert, Key: me.key}))
	require.ErrorContains(t, check(t, "grpcs://"+address, healthcheck.Options{Cert: me.cert, Key: me.key}), "unknown authority")
	require.Error(t, check(t, "grpcs://"+address, healthcheck.Options{CA: me.cert}))
	require.Error(t, check(t, "grpc://"+address, healthcheck.Options{}), "it speaks TLS only")
}

// speak answers one connection with a text, and returns what the client sent until it hung up.
func speak(t *testing.T, text string) (address string, heard <-chan string) {
	t.Helper()
	listener := listen(t)
	sent := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, text)
		if text == "" || strings.HasSuffix(text, "\n") {
			words, _ := io.ReadAll(conn)
			sent <- string(words)
		}
	}()
	return listener.Addr().String(), sent
}

func TestFTP(t *testing.T) {
	for _, greeting := range []string{"220 ready\r\n", "220-welcome\r\n220 ready\r\n"} {
		address, heard := speak(t, greeting)
		require.NoError(t, check(t, "ftp://"+address, healthcheck.Options{}), greeting)
		assert.Equal(t, "QUIT\r\n", <-heard)
	}
	for greeting, words := range map[string]string{
		"421 too many users\r\n": "421 too many users", "SSH-2.0-x\r\n": "SSH-2.0-x", "2200\r\n": "2200",
	} {
		address, _ := speak(t, greeting)
		err := check(t, "ftp://"+address, healthcheck.Options{})
		require.ErrorIs(t, err, healthcheck.ErrUnhealthy, greeting)
		assert.ErrorContains(t, err, words)
	}
	address, _ := speak(t, "22")
	require.ErrorContains(t, check(t, "ftp://"+address, healthcheck.Options{}), "no greeting")
	silent := listen(t) // accepts by itself, and says nothing
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, healthcheck.Check(ctx, "ftp://"+silent.Addr().String(), healthcheck.Options{}), os.ErrDeadlineExceeded)
}

func TestTCP(t *testing.T) {
	listener := listen(t)
	address := listener.Addr().String()
	require.NoError(t, check(t, "tcp://"+address, healthcheck.Options{}))
	require.NoError(t, listener.Close())
	for _, scheme := range []string{"tcp", "ftp", "http"} {
		require.ErrorContains(t, check(t, scheme+"://"+address, healthcheck.Options{}), "connection refused")
	}
}

func TestURL(t *testing.T) {
	for url, words := range map[string]string{
		"127.0.0.1:80": "SCHEME://HOST:PORT", "": "SCHEME://HOST:PORT", "http://127.0.0.1/x": "SCHEME://HOST:PORT",
		"://": "SCHEME://HOST:PORT", "udp://127.0.0.1:53": "the schemes are",
	} {
		err := check(t, url, healthcheck.Options{})
		require.ErrorIs(t, err, healthcheck.ErrURL, url)
		assert.ErrorContains(t, err, words, url)
	}
}
