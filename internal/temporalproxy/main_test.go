package temporalproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"talon/config/dial"
	"talon/internal/devstack"
	"talon/internal/logtest"
	"talon/internal/pki"
)

// patience bounds every wait for a condition in these tests.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(shared.stop(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, "temporalproxy:", err)
		code = 1
	}
	os.Exit(code)
}

// shared is the Temporal server of the tests that leave it running. It starts when the first of them asks for it.
var shared sharedServer

type sharedServer struct {
	once   sync.Once
	dir    string
	server *devstack.Temporal
	err    error
}

func (s *sharedServer) start(ctx context.Context) {
	if s.dir, s.err = os.MkdirTemp("", "talon-temporalproxy-"); s.err == nil {
		s.server, s.err = startTemporal(ctx, s.dir, "")
	}
}

func (s *sharedServer) stop() (err error) {
	if s.server != nil {
		err = s.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// upstream returns the address of the shared server.
func upstream(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.start(context.WithoutCancel(t.Context())) })
	require.NoError(t, shared.err)
	return shared.server.Address()
}

// startTemporal runs a server that logs into dir, with its state in a file or, without one, in memory, which is faster.
func startTemporal(ctx context.Context, dir, database string) (*devstack.Temporal, error) {
	cli, err := devstack.FindOrBuildCLI(ctx, devstack.CLIOptions{ToolsDir: filepath.Join("..", "..", "tools"), Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	return devstack.StartTemporal(ctx, devstack.TemporalOptions{
		CLI: cli, Headless: true, Log: filepath.Join(dir, "temporal.log"), DBFile: database,
		// Otherwise Temporal looks for new tasks 20 times a second at most, which is all that a sequence of activities would measure.
		DynamicConfig: map[string]string{"history.transferProcessorMaxPollRPS": "10000"},
	})
}

// front is a running Proxy with the authority of its callers.
type front struct {
	*Proxy
	ca      *pki.CA
	files   pki.Files
	address string
	options Options
	log     *logtest.Buffer
	served  chan error
}

// startFront runs a front until the test ends.
func startFront(t testing.TB, upstream string) *front {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.NewCA(filepath.Join(dir, "ca"))
	require.NoError(t, err)
	files, err := ca.IssueTo(filepath.Join(dir, "gateway"), gateway())
	require.NoError(t, err)
	f := &front{ca: ca, files: files, address: "127.0.0.1:0", log: &logtest.Buffer{}}
	f.options = Options{
		Upstream: upstream, Cert: files.Cert, Key: files.Key, ClientCA: files.CA, Log: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	f.start(t)
	t.Cleanup(func() { f.stop(t) })
	return f
}

// gateway is the request for the front's own certificate.
func gateway() pki.Request {
	return pki.Request{Name: "gateway", Server: true, Client: true, Hosts: []string{"127.0.0.1", "localhost"}}
}

// start runs the front at its address, the one from before if there was one.
func (f *front) start(t testing.TB) {
	t.Helper()
	var err error
	f.Proxy, err = New(f.options)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", f.address)
	require.NoError(t, err)
	f.address, f.served = listener.Addr().String(), make(chan error, 1)
	go func() { f.served <- f.Serve(listener) }()
}

func (f *front) stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	f.Stop(ctx)
	require.NoError(t, <-f.served)
	f.served <- nil // so that it may be stopped again
}

// pair issues a certificate for a client.
func (f *front) pair(t testing.TB, role Role) tls.Certificate {
	t.Helper()
	pair, err := f.ca.Issue(pki.Request{Name: string(role) + "-1", Role: string(role), Client: true})
	require.NoError(t, err)
	return pair.TLS()
}

// conn connects with certificates, or without.
func (f *front) conn(t testing.TB, pairs ...tls.Certificate) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(f.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: pairs, RootCAs: f.ca.Pool(),
	})))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return conn
}

// client connects as Talon's programs do: by the environment, through config/dial.
func (f *front) client(t testing.TB, role Role) client.Client {
	t.Helper()
	connected, err := f.dial(t, pki.Request{Name: string(role) + "-1", Role: string(role), Client: true})
	require.NoError(t, err)
	t.Cleanup(connected.Close)
	return connected
}

func (f *front) dial(t testing.TB, request pki.Request) (client.Client, error) {
	t.Helper()
	files, err := f.ca.IssueTo(t.TempDir(), request)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"TEMPORAL_CONFIG_FILE": os.DevNull, "TEMPORAL_ADDRESS": f.address, "TEMPORAL_TLS_SERVER_NAME": "localhost",
		"TEMPORAL_TLS_CLIENT_CERT_PATH": files.Cert, "TEMPORAL_TLS_CLIENT_KEY_PATH": files.Key, "TEMPORAL_TLS_SERVER_CA_CERT_PATH": files.CA,
	} {
		t.Setenv(name, value)
	}
	return dial.Client(t.Context(), dial.Options{Logger: slog.New(slog.DiscardHandler), Identity: request.Name})
}

func eventually(t testing.TB, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 10*time.Millisecond, what)
}

func quiet() log.Logger { return log.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

// listen returns a listener on a free port.
func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return listener
}
