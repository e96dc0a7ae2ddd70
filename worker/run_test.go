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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, f)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	t.Setenv("TEMPORAL_ADDRESS", listener.Addr().String())
	t.Setenv("TEMPORAL_CONFIG_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return f
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
			f := serve(t)
			config := writeFile(t, "talon.yaml", []byte(settings))
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			var stderr bytes.Buffer
			code := make(chan int)
			go func() {
				code <- execute(ctx, []string{"--config", config, "--role", role, "--log", "json"}, &bytes.Buffer{}, &stderr)
			}()
			for !slices.Equal(want, f.queues()) {
				select {
				case <-f.asked:
				case <-ctx.Done():
					require.Equal(t, want, f.queues())
				}
			}
			stop()
			assert.Zero(t, <-code)
			assert.Equal(t, want, f.queues())
			assert.Contains(t, stderr.String(), `"msg":"worker started","role":"`+role+`"`)
			assert.Contains(t, stderr.String(), `"msg":"worker stops"`)
			assert.DirExists(t, filepath.Join(filepath.Dir(config), "data", "zip"), "the warehouse lies beside the configuration")
			assert.NotContains(t, stderr.String(), "hunter2")
		})
	}
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
