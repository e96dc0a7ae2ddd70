package ftpservers_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
	"talon/internal/ftpservers"
)

// startOnly names an environment variable: this program is to start a server of that kind, print its port, and wait for its end.
const startOnly = "TALON_TEST_START_ONLY"

func TestMain(m *testing.M) {
	if kind := os.Getenv(startOnly); kind != "" {
		os.Exit(startAndWait(ftpservers.Kind(kind)))
	}
	goleak.VerifyTestMain(m)
}

func startAndWait(kind ftpservers.Kind) int {
	install, err := ftpservers.Find()
	if err != nil {
		return 1
	}
	server, err := install.Start(context.Background(), ftpservers.Options{Kind: kind})
	if err != nil {
		return 1
	}
	fmt.Println(server.Port())
	time.Sleep(time.Hour) // it will be killed
	return 0
}

var modes = []ftpclient.TLSMode{ftpclient.TLSNone, ftpclient.TLSExplicit, ftpclient.TLSImplicit}

// target is a running server and what a client needs to log in there.
type target struct {
	*ftpservers.Server
	kind ftpservers.Kind
	opts ftpclient.Options
}

// onEach runs a test against every server in every TLS mode. Where there are no servers it is skipped, with the reason.
func onEach(t *testing.T, settings ftpservers.Options, test func(*testing.T, target)) {
	t.Helper()
	install, err := ftpservers.Find()
	if err != nil {
		t.Skip(err)
	}
	for _, kind := range ftpservers.Kinds {
		for _, mode := range modes {
			t.Run(string(kind)+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				settings := settings
				settings.Kind, settings.TLS = kind, mode
				if reason := settings.Unsupported(); reason != "" {
					t.Skip(reason)
				}
				test(t, start(t, install, settings))
			})
		}
	}
}

func start(t *testing.T, install *ftpservers.Installation, settings ftpservers.Options) target {
	t.Helper()
	authority, err := ftptest.NewAuthority()
	require.NoError(t, err)
	settings.Authority = authority
	server, err := install.Start(t.Context(), settings)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(server.Log())
		}
		assert.NoError(t, server.Stop())
	})
	return target{Server: server, kind: settings.Kind, opts: ftpclient.Options{
		Name: string(settings.Kind), Host: "127.0.0.1", Port: server.Port(), User: server.User(), Password: server.Password(),
		TLS: settings.TLS, RootCAs: authority.Pool(), ConnectTimeout: 20 * time.Second, IdleTimeout: 20 * time.Second,
	}}
}

// put serves a file by its path on the server, of the time given.
func (s target) put(t *testing.T, rawPath string, content []byte, at time.Time) {
	t.Helper()
	file := filepath.Join(s.Home(), rawPath)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, content, 0o644))
	require.NoError(t, os.Chtimes(file, at, at))
	require.NoError(t, s.Adopt())
}

func (s target) mkdir(t *testing.T, rawPath string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(s.Home(), rawPath), 0o755))
	require.NoError(t, s.Adopt())
}

func (s target) dial(t *testing.T) *ftpclient.Conn {
	t.Helper()
	return dial(t, s.opts)
}

// dial logs in; the connection is closed with the test.
func dial(t *testing.T, opts ftpclient.Options) *ftpclient.Conn {
	t.Helper()
	conn, err := ftpclient.Dial(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // what it has to say at the end is not what the tests are about
	return conn
}

// fetch retrieves a file of the size given.
func fetch(t *testing.T, conn *ftpclient.Conn, rawPath string, size int) []byte {
	t.Helper()
	var body bytes.Buffer
	got, err := conn.Retrieve(t.Context(), ftpclient.Want{RawPath: rawPath, Size: int64(size)}, &body)
	require.NoError(t, err, rawPath)
	require.Equal(t, ftpclient.Received{Bytes: int64(size)}, got, rawPath)
	return body.Bytes()
}

// refused retrieves a file that cannot be had, on a connection of its own: its first error is a connection's last.
func (s target) refused(t *testing.T, rawPath string, size int64) error {
	t.Helper()
	_, err := s.dial(t).Retrieve(t.Context(), ftpclient.Want{RawPath: rawPath, Size: size}, io.Discard)
	return err
}

// turnstile forwards connections to a server and counts them: each is a login.
type turnstile struct {
	listener net.Listener
	count    atomic.Int64
	running  sync.WaitGroup
}

// countLogins puts a turnstile before the server.
func countLogins(t *testing.T, s *target) *turnstile {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gate := &turnstile{listener: listener}
	gate.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			gate.count.Add(1)
			gate.running.Go(func() { forward(client, s.Port()) })
		}
	})
	t.Cleanup(func() {
		assert.NoError(t, listener.Close())
		gate.running.Wait()
	})
	s.opts.Port = listener.Addr().(*net.TCPAddr).Port
	return gate
}

func forward(client net.Conn, port int) {
	defer client.Close()
	server, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		_, _ = io.Copy(server, client) // ends when one side has left
	})
	_, _ = io.Copy(client, server)
	client.Close()
	both.Wait()
}

// list lists a directory with everything below it, by the path relative to it. Every line must have been understood.
func list(t *testing.T, conn *ftpclient.Conn, dir string) (map[string]ftpclient.Entry, error) {
	t.Helper()
	found := map[string]ftpclient.Entry{}
	sum, err := conn.List(t.Context(), ftpclient.ListQuery{Dir: dir, Recursive: true}, func(entry ftpclient.Entry) error {
		found[strings.TrimPrefix(entry.RawPath, strings.TrimSuffix(dir, "/")+"/")] = entry
		return nil
	})
	assert.Empty(t, sum.Unparsed)
	assert.Zero(t, sum.Duplicates)
	assert.Len(t, found, sum.Entries)
	assert.Equal(t, sum.Lines, sum.Entries+sum.Noise)
	return found, err
}
