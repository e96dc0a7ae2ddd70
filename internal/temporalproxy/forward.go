package temporalproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// handle serves every call there is. What Temporal offers to callers has one request and one response.
func (p *Proxy) handle(_ any, stream grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return status.Error(codes.Internal, "BUG: a call without a method")
	}
	caller, err := callerOf(stream.Context())
	if err == nil {
		err = p.serve(stream, method, caller)
	}
	if refused(err) {
		p.refusals.call(stream.Context(), method, caller, err)
	}
	return err
}

func (p *Proxy) serve(stream grpc.ServerStream, method string, caller caller) error {
	rule, ok := p.rules[caller.role][method]
	if !ok {
		return caller.mayNot("call %.200s", displayName(method))
	}
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		if errors.Is(err, io.EOF) {
			return status.Error(codes.InvalidArgument, "the call has no request")
		}
		return err
	}
	if rule.request != nil {
		var err error
		if request, err = rule.request(caller, request); err != nil {
			return err
		}
	}
	var header, trailer metadata.MD
	response, err := p.forward(stream.Context(), method, request, grpc.Header(&header), grpc.Trailer(&trailer))
	if err == nil && rule.response != nil {
		response, err = rule.response(caller, response)
	}
	if sent := stream.SetHeader(passed(header)); sent != nil {
		return sent
	}
	stream.SetTrailer(passed(trailer))
	if err != nil {
		return err
	}
	return stream.SendMsg(&response)
}

// forward makes the call upstream. The caller's deadline, its giving up and its headers go with it.
func (p *Proxy) forward(ctx context.Context, method string, request []byte, options ...grpc.CallOption) (response []byte, err error) {
	if headers, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, passed(headers))
	}
	if waits(method) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.draining, cancel)()
	}
	err = p.upstream.Invoke(ctx, method, &request, &response, options...)
	switch {
	case err == nil:
		return response, nil
	case waits(method) && p.draining.Err() != nil && status.Code(err) == codes.Canceled:
		return nil, status.Error(codes.Unavailable, context.Cause(p.draining).Error())
	case status.Code(err) == codes.Unavailable && p.upstream.GetState() != connectivity.Ready:
		return nil, status.Error(codes.Unavailable, "Temporal does not answer temporalproxy: "+status.Convert(err).Message())
	}
	return nil, err
}

// waits tells of calls that wait for something to happen, up to a minute, and lose nothing if they are sent away.
func waits(method string) bool {
	name := path.Base(method)
	return strings.HasPrefix(name, "Poll") || name == "GetWorkflowExecutionHistory"
}

// passed returns the headers that go on to the other side: those of the SDK, such as client-name and temporal-namespace. The grpc-… are between two
// neighbours; of its other own, such as content-type, gRPC takes care itself.
func passed(headers metadata.MD) metadata.MD {
	headers = maps.Clone(headers)
	maps.DeleteFunc(headers, func(name string, _ []string) bool { return strings.HasPrefix(name, "grpc-") })
	return headers
}

// displayName is what a person calls a method: the service is told only where it is not the usual one.
func displayName(method string) string {
	if name, ok := strings.CutPrefix(method, workflowService); ok {
		return name
	}
	return strings.TrimPrefix(method, "/")
}

// refused tells of errors by which the front itself sent a caller away.
func refused(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

// refusal is an answer of the front, told apart from one that came from Temporal.
type refusal struct {
	code   codes.Code
	reason string
}

func (r *refusal) Error() string { return r.reason }

// GRPCStatus is what the caller gets.
func (r *refusal) GRPCStatus() *status.Status { return status.New(r.code, r.reason) }

// mayNot refuses something to the caller, in a sentence that names its role.
func (c caller) mayNot(what string, arguments ...any) error {
	who := "role " + string(c.role)
	if c.role == other {
		who = fmt.Sprintf("the certificate of %q has no role (its Organizational Unit is %s, not one of tiger, starter, eagle): it", c.name, c.unit)
	}
	return &refusal{codes.PermissionDenied, who + " may not " + fmt.Sprintf(what, arguments...)}
}
