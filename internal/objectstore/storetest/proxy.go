// Package storetest puts faults between an S3 client and a real S3 endpoint: refusals, cuts, stalls, lost replies, bytes that
// change, proxies that compress or keep what they pass on, certificates that expire while connections are open.
package storetest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Op is what a request asks of S3.
type Op string

// Operations that a Proxy tells apart. Any is all of them.
const (
	Any      Op = ""
	Get      Op = "GET"
	Head     Op = "HEAD"
	Put      Op = "PUT"
	Begin    Op = "CreateMultipartUpload"
	Part     Op = "UploadPart"
	Complete Op = "CompleteMultipartUpload"
	Abort    Op = "AbortMultipartUpload"
	Other    Op = "other"
)

// OpOf tells what a request asks.
func OpOf(req *http.Request) Op {
	query := req.URL.Query()
	switch {
	case req.Method == http.MethodPost && query.Has("uploads"):
		return Begin
	case req.Method == http.MethodPost && query.Has("uploadId"):
		return Complete
	case req.Method == http.MethodDelete && query.Has("uploadId"):
		return Abort
	case req.Method == http.MethodPut && query.Has("partNumber"):
		return Part
	case len(query) == 0 && slices.Contains([]Op{Get, Head, Put}, Op(req.Method)):
		return Op(req.Method)
	}
	return Other
}

// Seen is a request that came to a Proxy.
type Seen struct {
	Op     Op
	Path   string // decoded: /bucket/key
	Header http.Header
	Fault  bool // a fault was applied to it
	Status int  // what the client was answered, 0 if nothing
}

// Proxy stands before an S3 endpoint and passes on what comes, except for the faults it is told to make. It is safe for
// concurrent use.
type Proxy struct {
	target   *url.URL
	server   *http.Server
	listener net.Listener
	wire     *http.Transport
	end      context.CancelFunc
	busy     sync.WaitGroup // the server and its requests

	certificate atomic.Pointer[tls.Certificate]
	connections atomic.Int64

	mu     sync.Mutex
	faults []*Fault
	seen   []*Seen
	kept   map[string]*kept // by path, see Fault.Keep
}

// Start starts a proxy on a free port of the loopback interface. With a certificate it speaks TLS, whatever the target speaks.
func Start(target string, certificate *tls.Certificate) (*Proxy, error) {
	address, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{
		target: address, kept: map[string]*kept{},
		wire: &http.Transport{
			DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 64, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		},
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	life, end := context.WithCancel(context.Background())
	p.end = end
	p.server = &http.Server{
		Handler: p, ErrorLog: silent(),
		BaseContext: func(net.Listener) context.Context { return life },
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				p.connections.Add(1)
			}
		},
	}
	listener := p.listener
	if certificate != nil {
		p.SetCertificate(certificate)
		listener = tls.NewListener(listener, &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.certificate.Load(), nil },
		})
	}
	p.busy.Go(func() {
		_ = p.server.Serve(listener) // always http.ErrServerClosed
	})
	return p, nil
}

// URL is where clients reach the endpoint through the proxy.
func (p *Proxy) URL() string {
	scheme := "http"
	if p.certificate.Load() != nil {
		scheme = "https"
	}
	return scheme + "://" + p.listener.Addr().String()
}

// SetCertificate makes new TLS connections see another certificate.
func (p *Proxy) SetCertificate(certificate *tls.Certificate) { p.certificate.Store(certificate) }

// Connections is how many connections clients have made so far.
func (p *Proxy) Connections() int { return int(p.connections.Load()) }

// Inject adds a fault. Of several that fit a request, the one that was added first is applied.
func (p *Proxy) Inject(fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault.once = &sync.Once{}
	p.faults = append(p.faults, &fault)
}

// Heal removes all faults.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Requests are the requests so far that ask op.
func (p *Proxy) Requests(op Op) []Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []Seen
	for _, seen := range p.seen {
		if op == Any || seen.Op == op {
			found = append(found, *seen)
		}
	}
	return found
}

// Close breaks all connections off and ends the proxy.
func (p *Proxy) Close() error {
	p.end()
	err := p.server.Close()
	p.busy.Wait()
	p.wire.CloseIdleConnections()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// note enters a request into the ledger and picks its fault.
func (p *Proxy) note(req *http.Request) (*Seen, *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := &Seen{Op: OpOf(req), Path: req.URL.Path, Header: req.Header.Clone()}
	p.seen = append(p.seen, seen)
	for _, fault := range p.faults {
		if fault.takes(seen) {
			seen.Fault = true
			return seen, fault
		}
	}
	return seen, harmless()
}

func (p *Proxy) answered(seen *Seen, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen.Status = status
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.busy.Add(1)
	defer p.busy.Done()
	seen, fault := p.note(req)
	if fault.Status != 0 {
		p.answered(seen, fault.Status)
		fault.refuse(w, req)
		return
	}
	if fault.Keep {
		p.serveKept(w, req)
		return
	}
	resp, err := p.forward(req, fault)
	if errors.Is(err, errCut) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		if req.Context().Err() == nil {
			p.answered(seen, http.StatusBadGateway)
			http.Error(w, "the endpoint does not answer", http.StatusBadGateway)
		}
		return
	}
	defer resp.Body.Close() //nolint:errcheck // read or not
	if fault.DropReply {
		panic(http.ErrAbortHandler)
	}
	select {
	case <-time.After(fault.Delay):
	case <-req.Context().Done():
	}
	p.answered(seen, resp.StatusCode)
	fault.deliver(w, req, resp)
}

// patient is a connection to the endpoint whose Write does not fail before the endpoint's answer is read: else a refusal that comes
// before the end of a large body is lost (https://github.com/golang/go/issues/11745), and the proxy makes a fault of its own.
type patient struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &patient{Conn: conn, closed: make(chan struct{})}, nil
}

// Write implements net.Conn.
func (p *patient) Write(data []byte) (int, error) {
	n, err := p.Conn.Write(data)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		<-p.closed // by the reader, when it has the answer or sees that there is none
	}
	return n, err
}

// Close implements net.Conn.
func (p *patient) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close()
}

// forward passes a request on as it came: a signature covers its host and its path, byte by byte.
func (p *Proxy) forward(req *http.Request, fault *Fault) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	out := req.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host = p.target.Scheme, p.target.Host, req.Host
	out.RequestURI = ""
	out.Header.Del("Connection")
	out.Body = fault.request(req, cancel)
	if req.ContentLength == 0 {
		out.Body = nil
	}
	resp, err := p.wire.RoundTrip(out)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelling{ReadCloser: resp.Body, cancel: cancel}
	return resp, nil
}
