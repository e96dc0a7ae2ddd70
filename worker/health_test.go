package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talon/internal/devstack"
)

// moodyServer is a Temporal that changes its mind about a worker.
type moodyServer struct {
	workflowservice.UnimplementedWorkflowServiceServer
	mu            sync.Mutex
	polls, system error         // the answers to polls and to GetSystemInfo; nil: polls stay open, the system is fine
	changed       chan struct{} // closed and replaced with the mood
}

func (m *moodyServer) change(polls, system error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.polls, m.system = polls, system
	close(m.changed)
	m.changed = make(chan struct{})
}

// mood is the answers of the moment, and what is closed when they change.
func (m *moodyServer) mood() (changed <-chan struct{}, polls, system error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed, m.polls, m.system
}

func (m *moodyServer) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	_, _, err := m.mood()
	return &workflowservice.GetSystemInfoResponse{}, err
}

func (m *moodyServer) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (m *moodyServer) PollActivityTaskQueue(
	ctx context.Context, _ *workflowservice.PollActivityTaskQueueRequest,
) (*workflowservice.PollActivityTaskQueueResponse, error) {
	for {
		changed, err, _ := m.mood()
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// ask returns the status and the body; 0 if nobody answers.
func ask(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	response, err := client.Get("http://" + address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

// until asks until the answer is as wanted.
func until(t *testing.T, address, path string, status int, body string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		got, text := ask(t, address, path)
		assert.Equal(c, status, got)
		assert.JSONEq(c, body, text)
	}, time.Minute, 20*time.Millisecond)
}

// TestHealthFollowsTemporal: a worker that is refused, or that Temporal does not answer, is alive but not ready, until that is over.
func TestHealthFollowsTemporal(t *testing.T) {
	m := &moodyServer{changed: make(chan struct{})}
	serveAs(t, m)
	port, err := devstack.FreePort()
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan int)
	var stderr bytes.Buffer
	go func() {
		config := writeFile(t, "talon.yaml", []byte(settings))
		code <- execute(ctx, []string{"--config", config, "--role", "eagle", "--health", address}, io.Discard, &stderr)
	}()
	until(t, address, "/ready", http.StatusOK, `{"status":"ready"}`)
	until(t, address, "/health", http.StatusOK, `{"status":"alive"}`)

	m.change(status.Error(codes.PermissionDenied, "this certificate may not poll"), nil)
	until(t, address, "/ready", http.StatusServiceUnavailable,
		`{"status":"not ready","reason":"temporal refuses polls: rpc error: code = PermissionDenied desc = this certificate may not poll"}`)
	until(t, address, "/health", http.StatusOK, `{"status":"alive"}`)

	m.change(nil, nil)
	until(t, address, "/ready", http.StatusOK, `{"status":"ready"}`)

	m.change(nil, status.Error(codes.PermissionDenied, "who are you"))
	until(t, address, "/ready", http.StatusServiceUnavailable, `{"status":"not ready","reason":"temporal does not answer: who are you"}`)
	stop()
	assert.Zero(t, <-code, stderr.String())
	status, _ := ask(t, address, "/health")
	assert.Zero(t, status, "the endpoint ends with the worker")
}

// TestHealthOfAWorker: how it is told from the first to the last moment, by what happened to its polls.
func TestHealthOfAWorker(t *testing.T) {
	now := time.Now()
	refused := errors.New("refused")
	fine := func(context.Context) error { return nil }
	for name, test := range map[string]struct {
		h     *health
		alive error
		ready string
	}{
		"new":          {h: &health{}, alive: errStarting, ready: errStarting.Error()},
		"started":      {h: &health{started: true, probe: fine}, ready: errNoPoll.Error()},
		"polls":        {h: &health{started: true, probe: fine, open: polls(now)}},
		"is answered":  {h: &health{started: true, probe: fine, answered: now}},
		"refused":      {h: &health{started: true, probe: fine, failed: now, failure: refused}, ready: "temporal refuses polls: refused"},
		"refused late": {h: &health{started: true, probe: fine, answered: now.Add(-1), failed: now, failure: refused}, ready: "temporal refuses polls: refused"},
		"answered at last": {
			h: &health{started: true, probe: fine, answered: now, failed: now.Add(-1), failure: refused},
		},
		"tries again": {
			h:     &health{started: true, probe: fine, open: polls(now.Add(time.Minute)), failed: now, failure: refused},
			ready: "temporal refuses polls: refused",
		},
		"others are open": { // since before the failure, which says nothing of them
			h:     &health{started: true, probe: fine, open: polls(now.Add(-time.Minute)), failed: now, failure: refused},
			ready: "temporal refuses polls: refused",
		},
		"accepted again": {
			h: &health{started: true, probe: fine, open: polls(now.Add(-time.Minute)), failed: now.Add(-time.Hour), failure: refused},
		},
		"stops": {h: &health{started: true, stopping: true, probe: fine, answered: now}, alive: errStopping, ready: errStopping.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.alive, test.h.alive())
			err := test.h.ready(t.Context())
			if test.ready == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.ready)
			}
		})
	}
}

func polls(since time.Time) map[*poll]struct{} { return map[*poll]struct{}{{since: since}: {}} }

// TestHealthAsks: methods and paths that do not exist are refused, and an address that is taken is named.
func TestHealthAsks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	taken := listener.Addr().String()
	config := writeFile(t, "talon.yaml", []byte(settings))
	start(t.Context(), "--config", config, "--role", "eagle", "--health", taken).unusable(t, "--health "+taken, "address already in use")

	port, err := devstack.FreePort()
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	var h health
	stop, err := h.serve(address)
	require.NoError(t, err)
	defer stop()
	until(t, address, "/health", http.StatusServiceUnavailable, `{"status":"not alive","reason":"the worker has not started yet"}`)
	status, _ := ask(t, address, "/metric")
	assert.Equal(t, http.StatusNotFound, status)
	response, err := http.Post("http://"+address+"/health", "text/plain", nil)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}
