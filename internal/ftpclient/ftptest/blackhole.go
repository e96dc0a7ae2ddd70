package ftptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Blackhole is a port of 127.0.0.1 that neither accepts nor refuses connections, like one behind a firewall that drops
// packets.
type Blackhole struct {
	ln    *net.TCPListener
	conns []net.Conn // those that fill its queue
}

// NewBlackhole opens one. It relies on Linux, which drops connection requests while the queue of a listening socket is full
// (listen(2), tcp_abort_on_overflow in tcp(7)).
func NewBlackhole() (*Blackhole, error) {
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	b := &Blackhole{ln: ln}
	if err := b.fill(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Blackhole) fill() error {
	raw, err := b.ln.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = syscall.Listen(int(fd), 0) }); err != nil || listenErr != nil {
		return errors.Join(err, listenErr)
	}
	for range 8 {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", b.ln.Addr().String())
		cancel()
		if err != nil {
			return nil // full
		}
		b.conns = append(b.conns, conn)
	}
	return fmt.Errorf("port %d accepts any number of connections", b.Port())
}

// Port is the port's number.
func (b *Blackhole) Port() int { return b.ln.Addr().(*net.TCPAddr).Port }

// Close frees the port.
func (b *Blackhole) Close() error {
	errs := []error{b.ln.Close()}
	for _, conn := range b.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
