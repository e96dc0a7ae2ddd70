// Package gateway runs versitygw, an S3 server over directories, on tiger's host, so that an eagle on another host can fetch archives
// and deliver bundles, and can do nothing else.
//
//	client ── TLS ──> door ── unix socket ──> versitygw ──> <warehouse>/zip             bucket zip: read only
//	                                                    └─> <warehouse>/stage/bundles   bucket stage: objects are made once and read
//
// versitygw proves who asks (AWS Signature Version 4) and keeps the objects; a bucket policy gives eagles what they need. Its S3 interface is
// far wider than that, and it trusts some of what it is told: an upload ID is joined to a path as it came
// (backend/posix/posix.go, AbortMultipartUpload), so that a client that may upload may also delete. So there is a door before it, which lets
// pass only a short list of requests in one spelling each (permit.go), keeps objects from being written twice (ledger.go), and can
// change certificates while it serves.
//
// What versitygw leaves in the stage when it is killed, and who removes it: see leftovers.go.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Names of the two buckets.
const (
	BucketZip   = "zip"   // what tiger has collected; keys are paths below <warehouse>/zip
	BucketStage = "stage" // what eagles deliver; keys are paths below <warehouse>/stage/bundles
)

// DefaultRegion is the region that clients sign for.
const DefaultRegion = "us-east-1"

// HealthPath answers GET without a signature: 200 while requests can be served, else 503.
const HealthPath = "/health"

// ErrPlain tells that a gateway without TLS would listen beyond the loopback interface.
var ErrPlain = errors.New("without a certificate anybody on the way can read and change what is transferred")

// Options describe a gateway.
type Options struct {
	Program   string   // path of versitygw, see FindOrBuild and FindProgram
	Warehouse string   // tiger's warehouse: zip/ must be there, stage/bundles is made
	State     string   // directory of the gateway's own, made with mode 0700: users, policies, attributes of objects. It may be lost
	Listen    string   // host:port; port 0: any free one of 20000 to 31999
	EagleKeys []string // files, each with one eagle's "access:secret"; what changes in them is in force within two seconds
	// Cert and Key are PEM files for TLS, read again when they change. Without them the gateway speaks plain HTTP, which
	// is an error (ErrPlain) on any but a loopback address unless AllowPlain is set, for a network that encrypts by itself.
	Cert, Key  string
	AllowPlain bool
	Region     string       // default: DefaultRegion
	Log        *slog.Logger // nil: nobody hears
	AccessLog  io.Writer    // a line of JSON per request: who, what, how it ended; no signatures. nil: none

	silence time.Duration // how long a client may send or take nothing in the middle of a request; tests shorten it
}

// Gateway is a gateway that runs or has run. Its methods may be called from several goroutines.
type Gateway struct {
	opts    Options
	address atomic.Value // string; chosen by the first start and kept by the others

	mu      sync.Mutex // one starts or stops at a time
	session *session   // nil: stopped
}

// Start starts a gateway and returns when it serves. ctx bounds the start, not the gateway.
func Start(ctx context.Context, opts Options) (*Gateway, error) {
	if opts.Region == "" {
		opts.Region = DefaultRegion
	}
	if opts.silence == 0 {
		opts.silence = silence
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := opts.Check(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{opts: opts}
	g.address.Store(opts.Listen)
	if err := g.Restart(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// Check finds out what is wrong with the options before anything is made or started.
func (o *Options) Check() error {
	host, _, err := net.SplitHostPort(o.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("address to listen on: %w (host:port or :port)", err)
	case o.Program == "":
		return errors.New("no versitygw is named")
	case o.Warehouse == "":
		return errors.New("no warehouse is named")
	case o.State == "":
		return errors.New("no directory for the gateway's state is named")
	case strings.Contains(o.State, ","):
		return fmt.Errorf("state directory %s: versitygw takes a comma for the end of a name: choose a path without one", o.State)
	case len(o.EagleKeys) == 0:
		return errors.New("no eagle's key is named, so nobody could use the gateway")
	case (o.Cert == "") != (o.Key == ""):
		return errors.New("a certificate needs its key, and a key its certificate")
	case o.Cert == "" && !o.AllowPlain && !isLoopback(host):
		return fmt.Errorf("listen on %s: %w: give a certificate, or listen on 127.0.0.1", o.Listen, ErrPlain)
	}
	if info, err := os.Stat(filepath.Join(o.Warehouse, "zip")); err != nil || !info.IsDir() {
		return fmt.Errorf("warehouse: there is no directory zip in %s: is it the root of tiger's warehouse, and has tiger run?", o.Warehouse)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Restart stops the gateway in order if it runs, and starts it on the same address.
func (g *Gateway) Restart(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.end((*session).stop); err != nil {
		return err
	}
	s, err := startSession(ctx, g.opts, g.address.Load().(string))
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.session = s
	g.address.Store(s.listener.Addr().String())
	return nil
}

// Stop ends the gateway in order: requests under way have 20 seconds to end. Stopping what does not run is no error.
func (g *Gateway) Stop() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.end((*session).stop)
}

// Kill ends the gateway as a power cut would: versitygw by SIGKILL, the connections with it.
func (g *Gateway) Kill() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.end((*session).kill)
}

func (g *Gateway) end(how func(*session) error) error {
	if g.session == nil {
		return nil
	}
	err := how(g.session)
	g.session = nil
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// KillServer kills versitygw alone, as a crash of it would be, and returns when it has ended; the gateway starts another.
func (g *Gateway) KillServer() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session == nil {
		return nil
	}
	return g.session.server.kill()
}

// URL is where clients reach the gateway, such as https://127.0.0.1:20123. It stays the same after Restart.
func (g *Gateway) URL() string {
	if g.opts.Cert == "" {
		return "http://" + g.address.Load().(string)
	}
	return "https://" + g.address.Load().(string)
}

// Wait blocks until ctx ends, which is no error, or until the gateway cannot accept connections any more.
func (g *Gateway) Wait(ctx context.Context) error {
	g.mu.Lock()
	s := g.session
	g.mu.Unlock()
	if s == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return fmt.Errorf("gateway: %w", err)
	}
}

// Times that bound the parts of a session.
const (
	startLimit  = 60 * time.Second // until versitygw answers
	stopGrace   = 20 * time.Second // for requests under way
	serverGrace = 15 * time.Second // versitygw gives its own requests 10
	silence     = time.Minute      // of a client in the middle of a request
	watchEvery  = time.Second      // keys and certificates
	sweepEvery  = time.Hour
)
