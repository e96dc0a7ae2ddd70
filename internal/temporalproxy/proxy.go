// Package temporalproxy is the front of a Temporal server that knows no callers: the embedded one has neither TLS nor an authorizer, and whoever
// reaches its port may do everything. The front asks every caller for a certificate of a private authority (package pki), takes the caller's role from
// it, and lets pass what that role needs:
//
//   - tiger and starter: WorkflowService but for changes of namespaces, and the search attributes of OperatorService, in one namespace;
//   - eagle: what a worker needs to serve activities of the task queue eagle, and nothing else;
//   - any other, such as the gateway's own certificate: the health check.
//
// The role is the certificate's Organizational Unit (OU), of which there has to be exactly one.
//
// # Task tokens
//
// A worker reports on an activity with the task token that came with the task. Temporal calls it opaque, but it is plain: a workflow ID with an
// activity ID, both of which can be guessed, will do. An eagle could make one up and finish an activity of tiger's. So the front seals the tokens it
// hands to an eagle, with an HMAC over the token and the eagle's Common Name, and takes from an eagle only what carries its seal. The key is derived
// from the private key of the front's own certificate. That needs no state: an eagle in the middle of an activity is not troubled by a restart of the
// front. What it costs: tokens end with that key (a renewed certificate keeps it, see pki.Request.NewKey; the attempts at work then are tried again),
// and a sealed token has no date of its own: it serves until Temporal refuses it, which it does as soon as the attempt is over.
package temporalproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // the SDK compresses what it sends
	"google.golang.org/grpc/keepalive"
)

const (
	// DefaultNamespace is the namespace of the embedded server.
	DefaultNamespace = "default"

	// maxRequest is more than Temporal takes (4 MiB, the default of gRPC), so that its own answer to what is too large reaches the SDK, which knows it.
	maxRequest = 8 << 20
	// maxResponse is what the SDK takes (internal/grpc_dialer.go, defaultMaxPayloadSize).
	maxResponse = 128 << 20

	maxHeaders = 64 << 10

	handshakeLimit = 10 * time.Second
	maxStreams     = 1024 // calls of one connection at a time; a worker keeps a few dozen

	// reconnectDelay bounds the wait between two attempts to reach Temporal; gRPC would wait up to two minutes.
	reconnectDelay = 2 * time.Second
)

// Limits of connections are Temporal's own (v1.29.1, common/dynamicconfig/constants.go, frontend.keepAlive…): the SDK is used to them. A connection that
// ends after five minutes also lets a new authority take effect; the grace is longer than a long poll.
var (
	keepaliveOfClients = keepalive.ServerParameters{
		MaxConnectionAge: 5 * time.Minute, MaxConnectionAgeGrace: 70 * time.Second, Time: time.Minute, Timeout: 10 * time.Second,
	}
	keepaliveEnforcement = keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}
	keepaliveOfUpstream  = keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 15 * time.Second, PermitWithoutStream: true}
)

// Options describe a front. All files are PEM; they are read again when they change.
type Options struct {
	Upstream  string // host and port of the Temporal server, which is spoken to without TLS
	Cert, Key string // files of the front's own certificate, for servers, and its private key
	ClientCA  string // file of the authority, or authorities, that callers are from
	Namespace string // the only one that callers may name; "" is DefaultNamespace
	Log       *slog.Logger
}

// Proxy is a running front.
type Proxy struct {
	server    *grpc.Server
	upstream  *grpc.ClientConn
	identity  *identity
	namespace string
	rules     map[Role]rules
	refusals  *refusals
	draining  context.Context // ends when the front begins to stop
	drain     context.CancelCauseFunc
}

// errStopping ends calls that may wait long when the front stops. The SDK tries them again.
var errStopping = errors.New("temporalproxy stops")

// New prepares a front. It fails if a file cannot be used; whether Temporal answers shows later, call by call.
func New(options Options) (*Proxy, error) {
	if options.Log == nil {
		options.Log = slog.Default()
	}
	if options.Namespace == "" {
		options.Namespace = DefaultNamespace
	}
	refusals := newRefusals(options.Log)
	identity, err := loadIdentity(options, refusals)
	if err != nil {
		return nil, err
	}
	upstream, err := grpc.NewClient(options.Upstream,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepaliveOfUpstream),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectDelay},
			MinConnectTimeout: handshakeLimit,
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxResponse), grpc.MaxCallSendMsgSize(maxRequest)),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w: give host and port, such as 127.0.0.1:7234", options.Upstream, err)
	}
	p := &Proxy{upstream: upstream, identity: identity, namespace: options.Namespace, refusals: refusals}
	p.draining, p.drain = context.WithCancelCause(context.Background())
	p.rules = makeRules(options.Namespace, identity)
	p.server = grpc.NewServer(
		grpc.Creds(identity.credentials()),
		grpc.UnknownServiceHandler(p.handle), grpc.ForceServerCodecV2(rawCodec{}),
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxSendMsgSize(maxResponse), grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveParams(keepaliveOfClients), grpc.KeepaliveEnforcementPolicy(keepaliveEnforcement),
	)
	return p, nil
}

// Serve accepts connections, which it closes, until Stop, and then returns nil; or until the listener fails.
func (p *Proxy) Serve(listener net.Listener) error {
	if err := p.server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

// Stop ends the front in order: it takes no new connection, sends pollers away, and lets other calls finish until ctx ends.
func (p *Proxy) Stop(ctx context.Context) {
	p.drain(errStopping)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.server.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.server.Stop()
		<-done
	}
	_ = p.upstream.Close()
}
