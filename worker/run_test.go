package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

// fakeServer is a Temporal that never has anything to do.
type fakeServer struct {
	workflowservice.UnimplementedWorkflowServiceServer
	gone   bool           // it has no namespace
	asked  chan struct{}  // one for each poll
	mutex  sync.Mutex     // guards polled
	polled map[string]int // by kind of task and queue
}

func (f *fakeServer) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (f *fakeServer) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	if f.gone {
		return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound("default")).Err()
	}
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (f *fakeServer) PollWorkflowTaskQueue(
	ctx context.Context, in *workflowservice.PollWorkflowTaskQueueRequest,
) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
	return &workflowservice.PollWorkflowTaskQueueResponse{}, f.poll(ctx, "workflows", in.GetTaskQueue())
}

func (f *fakeServer) PollActivityTaskQueue(
	ctx context.Context, in *workflowservice.PollActivityTaskQueueRequest,
) (*workflowservice.PollActivityTaskQueueResponse, error) {
	return &workflowservice.PollActivityTaskQueueResponse{}, f.poll(ctx, "activities", in.GetTaskQueue())
}

func (f *fakeServer) poll(ctx context.Context, kind string, queue *taskqueuepb.TaskQueue) error {
	if queue.GetKind() == enumspb.TASK_QUEUE_KIND_NORMAL {
		f.mutex.Lock()
		f.polled[kind+" of "+queue.GetName()]++
		f.mutex.Unlock()
		select {
		case f.asked <- struct{}{}:
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// queues are what has been polled up to now.
func (f *fakeServer) queues() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.Sorted(maps.Keys(f.polled))
}

// serve starts a Temporal and points the program to it.
func serve(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{asked: make(chan struct{}), polled: map[string]int{}}
	serveAs(t, f)
	return f
}

// serveAs returns a function that ends the server.
func serveAs(t *testing.T, f workflowservice.WorkflowServiceServer) (end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, f)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	end = func() { server.Stop(); <-done }
	t.Cleanup(end)
	t.Setenv("TEMPORAL_ADDRESS", listener.Addr().String())
	t.Setenv("TEMPORAL_CONFIG_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return end
}

// runUntil runs a worker until exactly those queues are polled, stops it, and returns its log. It must end well.
func runUntil(t *testing.T, config, role string, queues []string) (log string) {
	t.Helper()
	f := serve(t)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var stderr bytes.Buffer
	code := make(chan int)
	go func() {
		code <- execute(ctx, []string{"--config", config, "--role", role, "--log", "json"}, &bytes.Buffer{}, &stderr)
	}()
	for !slices.Equal(queues, f.queues()) {
		select {
		case <-f.asked:
		case <-ctx.Done():
			require.Equal(t, queues, f.queues())
		}
	}
	stop()
	assert.Zero(t, <-code)
	assert.Equal(t, queues, f.queues())
	assert.Contains(t, stderr.String(), `"msg":"worker started","role":"`+role+`"`)
	assert.Contains(t, stderr.String(), `"msg":"worker stops"`)
	return stderr.String()
}

// TestRolesPollTheirQueues: who polls what is the whole difference between the roles. A worker that is told to stop ends well.
func TestRolesPollTheirQueues(t *testing.T) {
	t.Setenv("TALON_TEST_PASSWORD", "hunter2")
	for role, want := range map[string][]string{
		"tiger": {"activities of tiger", "workflows of tiger"},
		"eagle": {"activities of eagle"},
		"all":   {"activities of eagle", "activities of tiger", "workflows of tiger"},
	} {
		t.Run(role, func(t *testing.T) {
			config := writeFile(t, "talon.yaml", []byte(settings))
			assert.NotContains(t, runUntil(t, config, role, want), "hunter2")
			assert.DirExists(t, filepath.Join(filepath.Dir(config), "data", "zip"), "the warehouse lies beside the configuration")
		})
	}
}

// TestEagleWithoutTigersDisk needs no server, no password and no warehouse, and starts before the gateway does.
func TestEagleWithoutTigersDisk(t *testing.T) {
	t.Setenv("TALON_TEST_KEY", "eagle-1:hunter2")
	config := writeFile(t, "talon.yaml", []byte(`eagle: {data: "s3://stage?endpoint=http://127.0.0.1:1", key: {env: TALON_TEST_KEY}, scratch: work}`))
	log := runUntil(t, config, "eagle", []string{"activities of eagle"})
	assert.Contains(t, log, "cannot be reached yet")
	assert.NotContains(t, log, "hunter2")
	assert.Equal(t, []string{"talon.yaml", "work"}, names(t, filepath.Dir(config)))
	assert.Empty(t, names(t, filepath.Join(filepath.Dir(config), "work", "eagle")), "nothing stays behind")
}

// TestBothRolesHaveTheDisk: whatever the configuration says of eagles elsewhere.
func TestBothRolesHaveTheDisk(t *testing.T) {
	t.Setenv("TALON_TEST_PASSWORD", "hunter2")
	config := writeFile(t, "talon.yaml", []byte(settings+"\neagle: {data: \"s3://stage?endpoint=https://gateway\", key: {env: TALON_TEST_NOT_SET}}\n"))
	runUntil(t, config, "all", []string{"activities of eagle", "activities of tiger", "workflows of tiger"})
}

func TestWhatARoleLacks(t *testing.T) {
	serve(t)
	remote := `eagle: {data: "s3://stage?endpoint=https://gateway", key: {env: TALON_TEST_NOT_SET}}`
	config := writeFile(t, "talon.yaml", []byte(remote))
	start(t.Context(), "--config", config, "--role", "tiger").unusable(t, config, "no servers", "list them below")
	start(t.Context(), "--config", config, "--role", "eagle").unusable(t, config+":1:", "TALON_TEST_NOT_SET is not set")
	t.Setenv("TALON_TEST_NOT_SET", "eagle:x")
	config = writeFile(t, "talon.yaml", []byte(remote[:len(remote)-1]+", ca: missing.pem}"))
	start(t.Context(), "--config", config, "--role", "eagle").unusable(t, "missing.pem")
	config = writeFile(t, "talon.yaml", []byte(remote[:len(remote)-1]+", scratch: /proc/scratch}"))
	start(t.Context(), "--config", config, "--role", "eagle").unusable(t, "eagle.scratch", "/proc/scratch")
}

// TestNoNamespace: a worker without a place to poll ends, and says which one is missing.
func TestNoNamespace(t *testing.T) {
	f := serve(t)
	f.gone = true
	config := writeFile(t, "talon.yaml", []byte(settings))
	start(t.Context(), "--config", config, "--role", "eagle").unusable(t, "start the worker: ", "Namespace default is not found")
}

// TestFatal: a worker that can no longer poll ends, because it must not look alive. Both roles may say so, more than once.
func TestFatal(t *testing.T) {
	h := &host{fatal: make(chan error, 2)}
	lost := errors.New("the namespace is gone")
	for range 5 {
		h.fail(lost)
	}
	err := <-h.fatal
	require.ErrorIs(t, err, lost)
	assert.ErrorContains(t, err, "the worker cannot go on")
}
