package ftpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxReply bounds what a server may answer to one command; the library reads a line of any length into memory.
const maxReply = 1 << 20

var (
	errLongReply = errors.New("reply is longer than a megabyte")
	errTooLate   = fmt.Errorf("the bandwidth limit does not let it end in time: %w", context.DeadlineExceeded)
	errDataPort  = errors.New("the server names a port for data that is not for FTP (min_data_port)")
)

// dataDialError says that the server named a port for data on which nobody answers.
type dataDialError struct{ error }

func (e *dataDialError) Unwrap() error { return e.error }

// wire makes and owns the sockets of one Conn. The library neither takes a context nor sets deadlines, so both live here.
type wire struct {
	opt     Options
	memory  *memory
	limits  []*rate.Limiter // bandwidth that is shared with other connections
	tls     *tls.Config     // of the control connection; nil without TLS
	dataTLS *tls.Config
	peer    tls.ConnectionState // of the control connection

	ctx       context.Context // of the call that is running: the library's dial function is given none
	control   *socket         // nil until it has been made; every further connection carries data
	data      *socket         // the latest
	capturing *capture        // where the next data connection's bytes go, during a listing

	mu     sync.Mutex
	open   map[*socket]struct{}
	closed bool
}

func newWire(opt Options, memory *memory, limits []*rate.Limiter) *wire {
	w := &wire{opt: opt, memory: memory, limits: limits, open: map[*socket]struct{}{}}
	if opt.TLS == TLSNone {
		return w
	}
	// Servers that insist on resuming the control connection's session for data (vsftpd, ProFTPD, FileZilla) find it
	// only with a name and a cache: https://github.com/jlaffaye/ftp/issues/342. One cache per control connection.
	w.tls = &tls.Config{
		ServerName:         opt.TLSName,
		RootCAs:            opt.RootCAs,
		InsecureSkipVerify: opt.InsecureSkipVerify, //nolint:gosec // off unless the operator asks for it
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
		MinVersion:         opt.MinTLS,
		MaxVersion:         opt.MaxTLS,
	}
	if opt.Certificate != nil {
		w.tls.Certificates = []tls.Certificate{*opt.Certificate}
	}
	w.tls.VerifyConnection = func(state tls.ConnectionState) error {
		w.peer = state
		return nil
	}
	w.dataTLS = w.tls.Clone()
	w.dataTLS.VerifyConnection = func(state tls.ConnectionState) error {
		answer := No
		if state.DidResume {
			answer = Yes
		}
		memory.learn(func(b *Behaviour) { b.TLSResume = answer })
		return nil
	}
	return w
}

// watch makes ctx the context of the running call: when it ends, every socket is closed, and with them every wait. The
// returned function ends the watch and says whether the sockets were left alone.
func (w *wire) watch(ctx context.Context) (stop func() bool) {
	w.ctx = ctx
	return context.AfterFunc(ctx, w.close)
}

// dial is the library's dial function. With explicit TLS the library upgrades the control connection itself, but leaves
// data connections in clear when it does not dial them (https://github.com/jlaffaye/ftp/pull/424).
func (w *wire) dial(_, address string) (net.Conn, error) {
	if w.control != nil {
		return w.dialData(address)
	}
	raw, err := w.opt.Proxy.dialContext(w.ctx, w.opt.ConnectTimeout, address)
	if err != nil {
		return nil, err
	}
	s, err := w.adopt(raw)
	if err != nil {
		return nil, err
	}
	s.control, s.allowed = true, maxReply
	w.control = s
	if w.opt.TLS == TLSImplicit {
		return tls.Client(s, w.tls), nil
	}
	return s, nil
}

func (w *wire) dialData(address string) (net.Conn, error) {
	address, err := w.dataAddress(address)
	if err != nil {
		return nil, err
	}
	raw, err := w.opt.Proxy.dialContext(w.ctx, w.opt.ConnectTimeout, address)
	if err != nil {
		return nil, &dataDialError{err}
	}
	if w.data, err = w.adopt(raw); err != nil {
		return nil, err
	}
	var conn net.Conn = w.data
	if w.tls != nil {
		conn = tls.Client(w.data, w.dataTLS)
	}
	data := &dataConn{Conn: conn, capture: w.capturing}
	w.capturing = nil
	return data, nil
}

// dataAddress pins a data connection to the control connection's host: the address that a PASV reply names may be anybody's
// (https://curl.se/docs/CVE-2020-8284.html), or a private one behind a translating firewall. The library passes on another
// host only if it may be trusted, and behind a proxy it knows the proxy's address only.
func (w *wire) dataAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if number, err := strconv.Atoi(port); err != nil || number < w.opt.MinDataPort || number > 65535 {
		return "", fmt.Errorf("port %s: %w", port, errDataPort)
	}
	peer, _, err := net.SplitHostPort(w.control.RemoteAddr().String())
	if err != nil {
		return "", err
	}
	if w.opt.Proxy.Scheme != "" && (host == peer || !w.opt.TrustDataHost) {
		host = w.opt.Host
	}
	return net.JoinHostPort(host, port), nil
}

func (w *wire) adopt(raw net.Conn) (*socket, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errors.Join(net.ErrClosed, raw.Close())
	}
	s := &socket{Conn: raw, wire: w, idle: w.opt.IdleTimeout}
	s.replyBy = time.Now().Add(2 * s.idle)
	w.open[s] = struct{}{}
	return s, nil
}

// throttle waits until n more bytes may be received.
func (w *wire) throttle(n int) error {
	for _, limit := range w.limits {
		if limit.WaitN(w.ctx, n) != nil {
			return cmp.Or(w.ctx.Err(), errTooLate) // the limiter knows before the deadline
		}
	}
	return nil
}

// cutOff tells whether the latest data connection ended without TLS's close_notify, so that its end proves nothing
// (RFC 8446 section 6.1). crypto/tls calls that an ordinary end where it falls between two records.
func (w *wire) cutOff() bool {
	return w.tls != nil && w.data != nil && errors.Is(w.data.err, io.EOF)
}

// forget drops a socket that is closed. After a data connection the server owes a reply, which it may take its time for.
func (w *wire) forget(s *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, s)
	if !s.control && w.control != nil {
		w.control.replyBy = time.Now().Add(2 * w.control.idle)
	}
}

// close closes every socket, from any goroutine; a later dial fails.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for s := range w.open {
		_ = s.Conn.Close() // nothing is left to be saved from it
	}
	clear(w.open)
}

// hurry shortens every further wait, for the farewell.
func (w *wire) hurry(idle time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.open {
		s.idle = min(s.idle, idle)
	}
}

// socket gives each read and write a deadline of its own, so that none the library sets outlives its purpose. Its first
// error is its last: a reply that came too late must not be taken for the answer to the next command.
type socket struct {
	net.Conn
	wire    *wire
	idle    time.Duration
	control bool
	// replyBy is when the reply that is awaited must be complete, however steadily it drips. During a transfer nothing is
	// read from the control connection, so that it cannot expire then (https://github.com/rclone/rclone/issues/5328).
	replyBy time.Time
	allowed int // bytes the server may still send before the next command
	err     error
}

// Read implements io.Reader.
func (s *socket) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	deadline := time.Now().Add(s.idle)
	if s.control && s.replyBy.Before(deadline) {
		deadline = s.replyBy
	}
	if err := s.SetReadDeadline(deadline); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.Conn.Read(p)
	if s.allowed -= n; err == nil && s.control && s.allowed < 0 {
		err = errLongReply
	}
	return n, s.fail(err)
}

// Write implements io.Writer.
func (s *socket) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	now := time.Now()
	s.allowed, s.replyBy = maxReply, now.Add(2*s.idle)
	if err := s.SetWriteDeadline(now.Add(s.idle)); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.Conn.Write(p)
	return n, s.fail(err)
}

func (s *socket) fail(err error) error {
	if err != nil {
		s.err = err
		_ = s.Close() // the error that closes it is the one to report
	}
	return err
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.wire.forget(s)
	return s.Conn.Close()
}
