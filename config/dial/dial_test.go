package dial

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const apiKey = "hunter2-key"

// clean takes the settings of whoever runs the tests out of the way.
func clean(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TEMPORAL_") {
			t.Setenv(name, "") // so that it comes back after the test
			require.NoError(t, os.Unsetenv(name))
		}
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

// listen returns a listener on a free port.
func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// refusedAddress returns an address at which nobody listens.
func refusedAddress(t *testing.T) string {
	listener := listen(t)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestRefusedPort(t *testing.T) {
	defer goleak.VerifyNone(t)
	clean(t)
	address := refusedAddress(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_API_KEY", apiKey)
	t.Setenv("TEMPORAL_TLS", "false")

	_, err := Client(t.Context(), Options{Logger: quiet()})
	require.ErrorIs(t, err, ErrUnreachable)
	for _, part := range []string{address, "connection refused", "make run", "TEMPORAL_ADDRESS"} {
		assert.ErrorContains(t, err, part)
	}
	assert.NotContains(t, err.Error(), apiKey)
}

func TestDefaultAddressIsNamed(t *testing.T) {
	clean(t)
	profile, err := settings()
	require.NoError(t, err)
	assert.Equal(t, "localhost:7233", profile.Address)
}

// TestSilentServer meets a server that accepts connections and says nothing.
func TestSilentServer(t *testing.T) {
	defer goleak.VerifyNone(t)
	listener := listen(t)
	profile := envconfig.ClientConfigProfile{Address: listener.Addr().String()}

	_, err := connect(t.Context(), profile, Options{Logger: quiet()}, 50*time.Millisecond)
	require.ErrorIs(t, err, ErrUnreachable)
	assert.ErrorContains(t, err, "deadline exceeded")

	stopped := errors.New("interrupted by the user")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	_, err = connect(ctx, profile, Options{Logger: quiet()}, timeout)
	require.ErrorIs(t, err, stopped)
	assert.NotErrorIs(t, err, ErrUnreachable)
}

// fakeServer is as much of Temporal as a client needs to connect and to start a workflow.
type fakeServer struct {
	workflowservice.UnimplementedWorkflowServiceServer
	started       chan *workflowservice.StartWorkflowExecutionRequest
	authorization chan []string
	refusal       error // of every client
}

func (f *fakeServer) GetSystemInfo(
	ctx context.Context, _ *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	f.authorization <- headers.Get("authorization")
	return &workflowservice.GetSystemInfoResponse{}, f.refusal
}

func (f *fakeServer) StartWorkflowExecution(
	_ context.Context, request *workflowservice.StartWorkflowExecutionRequest,
) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.started <- request
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "r"}, nil
}

func serve(t *testing.T, refusal error) (*fakeServer, string) {
	fake := &fakeServer{
		refusal:       refusal,
		started:       make(chan *workflowservice.StartWorkflowExecutionRequest, 1),
		authorization: make(chan []string, 1),
	}
	server, listener := grpc.NewServer(), listen(t)
	workflowservice.RegisterWorkflowServiceServer(server, fake)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return fake, listener.Addr().String()
}

func TestClientUsesTheSettings(t *testing.T) {
	clean(t)
	fake, address := serve(t, nil)
	file := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(file, []byte("[profile.default]\nnamespace = \"branches\"\naddress = \"overridden:1\"\n"), 0o600))
	t.Setenv(fileVariable, file)
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_API_KEY", apiKey)
	t.Setenv("TEMPORAL_TLS", "false")
	var logged bytes.Buffer

	connected, err := Client(t.Context(), Options{
		Logger:   slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Identity: "tiger@host",
	})
	require.NoError(t, err)
	defer connected.Close()
	assert.Equal(t, []string{"Bearer " + apiKey}, <-fake.authorization)

	_, err = connected.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "id", TaskQueue: "tiger"}, "CollectWorkflow")
	require.NoError(t, err)
	request := <-fake.started
	assert.Equal(t, "tiger@host", request.GetIdentity())
	assert.Equal(t, "branches", request.GetNamespace())
	assert.NotContains(t, logged.String(), apiKey)
}

// TestOnlyTheAddressIsLookedUp: where names are answered at all, that one is; others may be waited for in vain.
func TestOnlyTheAddressIsLookedUp(t *testing.T) {
	clean(t)
	_, address := serve(t, nil)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	t.Setenv("TEMPORAL_ADDRESS", "localhost:"+port) // which every machine knows without asking
	var asked atomic.Int64
	usual := net.DefaultResolver
	defer func() { net.DefaultResolver = usual }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("the network is shut off")
	}}
	connected, err := Client(t.Context(), Options{Logger: quiet()})
	require.NoError(t, err)
	connected.Close()
	assert.Zero(t, asked.Load())
}

func TestRefusedClient(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated} {
		clean(t)
		_, address := serve(t, status.Error(code, "who is hunter2-key?"))
		profile := envconfig.ClientConfigProfile{
			Address: address, APIKey: apiKey, TLS: &envconfig.ClientConfigTLS{Disabled: true},
		}
		_, err := connect(t.Context(), profile, Options{Logger: quiet()}, timeout)
		require.ErrorContains(t, err, "who is ***?")
		assert.ErrorContains(t, err, "check TEMPORAL_API_KEY")
		assert.NotContains(t, err.Error(), "make run")
	}
}

func TestWrongSettings(t *testing.T) {
	for name, test := range map[string]struct {
		file      string
		variables map[string]string
		want      string
	}{
		"unknown key":     {file: "[profile.default]\nadress = \"x\"\napi_key = \"hunter2-key\"", want: "profile.default.adress"},
		"not TOML":        {file: "[profile.default]\napi_key = hunter2-key", want: "temporal.toml:2: this is not TOML"},
		"open quote":      {file: "[profile.default]\napi_key = \"hunter2-key\n", want: "temporal.toml:2: this is not TOML"},
		"wrong type":      {file: "[profile.default]\nnamespace = 5", want: "temporal.toml"},
		"unknown profile": {file: "[profile.other]\n", variables: map[string]string{"TEMPORAL_PROFILE": "mine"}, want: "mine"},
		"missing file":    {variables: map[string]string{fileVariable: "/nowhere/temporal.toml"}, want: "/nowhere/temporal.toml"},
		"missing certificate": {
			variables: map[string]string{"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/nowhere/ca.pem", "TEMPORAL_API_KEY": apiKey},
			want:      "/nowhere/ca.pem",
		},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			if test.file != "" {
				file := filepath.Join(t.TempDir(), "temporal.toml")
				require.NoError(t, os.WriteFile(file, []byte(test.file), 0o600))
				t.Setenv(fileVariable, file)
			}
			for variable, value := range test.variables {
				t.Setenv(variable, value)
			}
			_, err := Client(t.Context(), Options{Logger: quiet()})
			require.ErrorContains(t, err, test.want)
			assert.NotErrorIs(t, err, ErrUnreachable)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestRedact(t *testing.T) {
	cause := errors.New("header \"Bearer hunter2-key\" refused")
	assert.EqualError(t, redact(cause, apiKey), "header \"Bearer ***\" refused")
	assert.NotErrorIs(t, redact(cause, apiKey), cause, "the chain would still hold the key")
	assert.Equal(t, cause, redact(cause, "another"))
	assert.Equal(t, cause, redact(cause, ""))
}
