package ftpclient_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

const (
	testUser     = "collector"
	testPassword = "s3cret-word"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // most of the time these tests wait
	goleak.VerifyTestMain(m)
}

// realServer is ftpserverlib over a memory file system.
type realServer struct {
	fs       afero.Fs
	settings ftpserver.Settings
	tls      *tls.Config
	sessions atomic.Int64 // logins so far
	clients  atomic.Int64 // connected now
}

func (s *realServer) GetSettings() (*ftpserver.Settings, error) { return &s.settings, nil }

func (s *realServer) ClientConnected(ftpserver.ClientContext) (string, error) {
	s.clients.Add(1)
	return "hello", nil
}

func (s *realServer) ClientDisconnected(ftpserver.ClientContext) { s.clients.Add(-1) }

func (s *realServer) AuthUser(_ ftpserver.ClientContext, user, password string) (ftpserver.ClientDriver, error) {
	if user != testUser || password != testPassword {
		return nil, errors.New("wrong user or password")
	}
	s.sessions.Add(1)
	return s.fs, nil
}

func (s *realServer) GetTLSConfig() (*tls.Config, error) {
	if s.tls == nil {
		return nil, errors.New("no TLS")
	}
	return s.tls, nil
}

// startReal runs a server until the test ends; configure may change it before.
func startReal(t *testing.T, configure func(*realServer)) (*realServer, ftpclient.Options) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &realServer{fs: afero.NewMemMapFs(), settings: ftpserver.Settings{Listener: ln}}
	if configure != nil {
		configure(s)
	}
	if s.settings.TLSRequired == ftpserver.ImplicitEncryption {
		s.settings.Listener = tls.NewListener(ln, s.tls) // the library does so only with listeners of its own
	}
	server := ftpserver.NewFtpServer(s)
	require.NoError(t, server.Listen())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve()
	}()
	t.Cleanup(func() {
		require.NoError(t, server.Stop())
		<-served
		eventually(t, func() bool { return s.clients.Load() == 0 }, "every client has gone")
	})
	return s, optionsFor(ln.Addr().(*net.TCPAddr).Port)
}

// script is a server that does what a test tells it to, command by command, and hardly knows another.
type script struct{ *ftptest.Server }

// openData accepts the data connection.
func openData(s *session) *ftptest.Data {
	data, err := s.OpenData()
	if err != nil {
		panic(err)
	}
	return data
}

// startScript runs one until the test ends. A nil reaction is one that never answers.
func startScript(t testing.TB, reactions map[string]ftptest.Reaction) script {
	t.Helper()
	s, err := ftptest.Start(ftptest.Options{Without: []string{
		"FEAT", "PASV", "MLSD", "LIST", "RETR", "SIZE", "MDTM", "DELE", "RNFR", "RNTO", "MKD",
	}})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	s.On("CWD", ftptest.Say("250 ok"))
	for command, r := range reactions {
		s.On(command, r)
	}
	return script{s}
}

func (sc script) options() ftpclient.Options { return optionsFor(sc.Port()) }

func (sc script) live() int {
	now, _ := sc.Sessions()
	return now
}

func optionsFor(port int) ftpclient.Options {
	return ftpclient.Options{
		Name: "branch-001", Host: "127.0.0.1", Port: port, User: testUser, Password: testPassword,
		ConnectTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second,
	}
}

func (s *realServer) write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, afero.WriteFile(s.fs, path, []byte(content), 0o644))
}

func dial(t testing.TB, opt ftpclient.Options) *ftpclient.Conn {
	t.Helper()
	c, err := ftpclient.Dial(context.Background(), opt)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// retrieve fetches a file of which only the size is known.
func retrieve(c *ftpclient.Conn, rawPath string, size int64, w io.Writer) (int64, error) {
	got, err := c.Retrieve(context.Background(), ftpclient.Want{RawPath: rawPath, Size: size}, w)
	return got.Bytes, err
}

func eventually(t testing.TB, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, time.Millisecond, what)
}

// certificate makes a self-signed certificate for 127.0.0.1 and the pool that trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}
