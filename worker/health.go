package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

const (
	// probeLimit is what Temporal may take to answer a question of /ready.
	probeLimit = 2 * time.Second
	// settled is how long a poll must be open to count as accepted: one that is refused comes back at once.
	settled = time.Second
	// headerLimit is what a client may take to say what it wants.
	headerLimit = 5 * time.Second
)

var (
	errStarting = errors.New("the worker has not started yet")
	errStopping = errors.New("the worker stops")
	errNoPoll   = errors.New("the worker has not polled yet")
)

// health answers how this process is: GET /health whether its workers run, GET /ready whether they can do work that Temporal gives them. Both
// answer 200, or 503 with the reason; GET /metrics answers with numbers. The zero value is a worker that has not started.
type health struct {
	metrics  http.Handler // of /metrics; nil is none
	address  string       // that it answers on, "" if it does not
	mu       sync.Mutex
	started  bool
	stopping bool
	probe    func(context.Context) error // asks Temporal something that every worker may ask
	able     func(context.Context) error // asks what the worker needs on its own host; nil is nothing
	open     map[*poll]struct{}          // the polls that wait for an answer
	answered time.Time                   // when the last poll was answered
	failed   time.Time                   // when the last poll failed
	failure  error
}

// poll is a question for work that is open.
type poll struct{ since time.Time }

// serve answers on the address until the returned function is called.
func (h *health) serve(address string) (stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--health %s: %w", address, err)
	}
	h.address = listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { answer(w, "alive", h.alive()) })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) { answer(w, "ready", h.ready(r.Context())) })
	if h.metrics != nil {
		mux.Handle("GET /metrics", h.metrics)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerLimit}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with the server, always with an error
	}()
	return func() {
		_ = server.Close()
		<-served
	}, nil
}

func answer(w http.ResponseWriter, good string, trouble error) {
	reply := struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{Status: good}
	w.Header().Set("Content-Type", "application/json")
	if trouble != nil {
		reply.Status, reply.Reason = "not "+good, trouble.Error()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(reply)
}

// start tells that the workers run. probe must fail when Temporal cannot be reached, and able when the host cannot do what the worker needs.
func (h *health) start(probe, able func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.started, h.probe, h.able = true, probe, able
}

// stop tells that the workers take no more work.
func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// alive is nil while the workers run. One that cannot go on ends its process, so nothing answers then.
func (h *health) alive() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopping:
		return errStopping
	case !h.started:
		return errStarting
	}
	return nil
}

// ready is nil while the workers run, Temporal answers, polls are not refused, and the host does its part. A worker that has its hands full does not
// poll.
func (h *health) ready(ctx context.Context) error {
	if err := cmp.Or(h.alive(), h.polling(time.Now())); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	if err := h.probe(ctx); err != nil {
		return fmt.Errorf("temporal does not answer: %w", err)
	}
	if h.able == nil {
		return nil
	}
	return h.able(ctx)
}

// polling is nil if the last poll that was answered, or one that is open long enough, was not refused.
func (h *health) polling(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failure == nil && h.answered.IsZero() && len(h.open) == 0 {
		return errNoPoll
	}
	if h.failure == nil || h.answered.After(h.failed) {
		return nil
	}
	for p := range h.open {
		if p.since.After(h.failed) && now.Sub(p.since) >= settled {
			return nil
		}
	}
	return fmt.Errorf("temporal refuses polls: %w", h.failure)
}

// observe is an interceptor of the calls to Temporal that takes note of polls.
func (h *health) observe(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if !isPoll(request) {
		return invoke(ctx, method, request, reply, conn, options...)
	}
	p := h.begin()
	err := invoke(ctx, method, request, reply, conn, options...)
	if errors.Is(ctx.Err(), context.Canceled) {
		h.end(p, nil) // the worker itself gave it up
	} else {
		h.end(p, err)
	}
	return err
}

func (h *health) begin() *poll {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &poll{since: time.Now()}
	if h.open == nil {
		h.open = map[*poll]struct{}{}
	}
	h.open[p] = struct{}{}
	return p
}

func (h *health) end(p *poll, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, p)
	if err != nil {
		h.failed, h.failure = time.Now(), err
	} else {
		h.answered = time.Now()
	}
}

// isPoll says whether a call asks for work of a queue that others share; a worker also has sticky queues of its own.
func isPoll(request any) bool {
	var queue *taskqueuepb.TaskQueue
	switch request := request.(type) {
	case *workflowservice.PollWorkflowTaskQueueRequest:
		queue = request.GetTaskQueue()
	case *workflowservice.PollActivityTaskQueueRequest:
		queue = request.GetTaskQueue()
	default:
		return false
	}
	return queue.GetKind() != enumspb.TASK_QUEUE_KIND_STICKY
}
