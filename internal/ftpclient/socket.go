package ftpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// maxReply bounds what a server may answer to one command; the library reads a line of any length into memory.
const maxReply = 1 << 20

var errLongReply = errors.New("reply is longer than a megabyte")

// wire makes and owns the sockets of one Conn. The library neither takes a context nor sets deadlines, so both live here.
type wire struct {
	opt Options
	tls *tls.Config // nil without TLS

	ctx       context.Context // of the call that is running: the library's dial function is given none
	dialled   bool            // the control connection has been made; every further one carries data
	capturing *capture        // where the next data connection's bytes go, during a listing

	mu     sync.Mutex
	open   map[*socket]struct{}
	closed bool
}

func newWire(opt Options) *wire {
	w := &wire{opt: opt, open: map[*socket]struct{}{}}
	if opt.TLS != TLSNone {
		// Servers that insist on resuming the control connection's session for data (vsftpd, ProFTPD, FileZilla) find it
		// only with a name and a cache: https://github.com/jlaffaye/ftp/issues/342. One cache per control connection.
		w.tls = &tls.Config{
			ServerName:         opt.Host,
			RootCAs:            opt.RootCAs,
			InsecureSkipVerify: opt.InsecureSkipVerify, //nolint:gosec // off unless the operator asks for it
			ClientSessionCache: tls.NewLRUClientSessionCache(4),
			MinVersion:         tls.VersionTLS12,
		}
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
func (w *wire) dial(network, address string) (net.Conn, error) {
	control := !w.dialled
	dialer := net.Dialer{Timeout: w.opt.ConnectTimeout}
	raw, err := dialer.DialContext(w.ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.dialled = true
	s, err := w.adopt(raw, control)
	if err != nil {
		return nil, err
	}
	var conn net.Conn = s
	if w.tls != nil && (!control || w.opt.TLS == TLSImplicit) {
		conn = tls.Client(s, w.tls)
	}
	if control {
		return conn, nil
	}
	data := &dataConn{Conn: conn, capture: w.capturing}
	w.capturing = nil
	return data, nil
}

func (w *wire) adopt(raw net.Conn, control bool) (*socket, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errors.Join(net.ErrClosed, raw.Close())
	}
	s := &socket{Conn: raw, wire: w, idle: w.opt.IdleTimeout, control: control, allowed: maxReply}
	w.open[s] = struct{}{}
	return s, nil
}

func (w *wire) forget(s *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, s)
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
	allowed int // bytes the server may still send before the next command
	err     error
}

func (s *socket) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if err := s.SetReadDeadline(time.Now().Add(s.idle)); err != nil {
		return 0, s.fail(err)
	}
	n, err := s.Conn.Read(p)
	if s.allowed -= n; err == nil && s.control && s.allowed < 0 {
		err = errLongReply
	}
	return n, s.fail(err)
}

func (s *socket) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.allowed = maxReply
	if err := s.SetWriteDeadline(time.Now().Add(s.idle)); err != nil {
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
