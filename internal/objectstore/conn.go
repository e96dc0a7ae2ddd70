package objectstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	ticks      = 4               // looks at a quiet connection before it has stalled
	resetGrace = 5 * time.Second // for an answer that came before a reset to be read; it is there already
)

// stallError tells that a connection moved no byte for too long.
type stallError struct{ quiet time.Duration }

func (e *stallError) Error() string {
	return fmt.Sprintf("stalled: no byte in either direction for %s", e.quiet)
}

// watchedConn is a TCP connection that ends when no byte moves in either direction for its limit. A transfer may take hours:
// only silence counts. What moved is what the kernel says the other side acknowledged and sent, for a Write returns as soon as
// the bytes are in the socket's buffer, which takes many seconds to drain on a slow line.
type watchedConn struct {
	net.Conn
	limit     atomic.Int64 // nanoseconds
	stalled   atomic.Bool
	done      chan struct{} // closed by Close
	closeOnce sync.Once
}

func dialer(idle time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: min(idle, dialTimeout)}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &watchedConn{Conn: conn, done: make(chan struct{})}
		c.allow(idle)
		return c, nil
	}
}

// allow sets how long the connection may be silent. nil is a connection that nobody watches.
func (c *watchedConn) allow(limit time.Duration) {
	if c != nil {
		c.limit.Store(int64(limit))
	}
}

// watched finds the watchedConn below TLS, nil if there is none.
func watched(conn net.Conn) *watchedConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	c, _ := conn.(*watchedConn)
	return c
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (n int, err error) {
	err = c.watch(c.SetReadDeadline, func() error {
		n, err = c.Conn.Read(p)
		return err
	})
	return n, err
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (n int, err error) {
	err = c.watch(c.SetWriteDeadline, func() error {
		written, err := c.Conn.Write(p[n:])
		n += written
		return err
	})
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		c.letAnswerIn()
	}
	return n, err
}

// letAnswerIn holds a failed Write back until the connection is closed. An endpoint that refuses an upload answers at once and
// hangs up on the rest of the body. net/http reports whatever it notices first, so the refusal would often be lost behind
// "connection reset" (https://github.com/golang/go/issues/11745). The reader closes the connection once it has the answer,
// or sees that there is none.
func (c *watchedConn) letAnswerIn() {
	timer := time.NewTimer(resetGrace)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	}
}

// watch repeats an operation that timed out for as long as the other direction moves.
func (c *watchedConn) watch(setDeadline func(time.Time) error, operate func() error) error {
	moved, quiet := uint64(0), 0
	for {
		limit := time.Duration(c.limit.Load())
		if err := setDeadline(time.Now().Add(limit / ticks)); err != nil {
			return err
		}
		err := operate()
		if errors.Is(err, net.ErrClosed) && c.stalled.Load() { // the other direction noticed first
			return &stallError{quiet: limit}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		quiet++
		if now := c.moved(); now != moved {
			moved, quiet = now, 0
		}
		if quiet >= ticks {
			c.stalled.Store(true)
			return &stallError{quiet: limit}
		}
	}
}

// moved counts the bytes that the other side has acknowledged and sent.
func (c *watchedConn) moved() (bytes uint64) {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // a closed socket has moved nothing: 0
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			bytes = info.Bytes_acked + info.Bytes_received
		}
	})
	return bytes
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	c.closeOnce.Do(func() { close(c.done) })
	return c.Conn.Close()
}
