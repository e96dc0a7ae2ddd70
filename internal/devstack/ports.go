package devstack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"

	"golang.org/x/sys/unix"
)

// loopback is the only address that anything here listens on.
const loopback = "127.0.0.1"

// Ports that a server may lose for a moment and must get back are taken from below Linux's range for outgoing connections
// (32768 to 60999, ip_local_port_range): a client that keeps dialling a closed port inside that range can end up connected
// to itself and hold the port.
const (
	portRangeStart = 20000
	portRangeEnd   = 32000
	portAttempts   = 200
)

// ErrNoPort tells that no free port was found on the loopback interface.
var ErrNoPort = errors.New("no free port")

// FreePort returns a TCP port that is free on the loopback interface: the first of preferred that is, else one chosen at
// random below the range of outgoing connections. The port is not reserved: whoever uses it must be ready to ask again.
func FreePort(preferred ...int) (int, error) {
	for _, port := range preferred {
		if portIsFree(port) {
			return port, nil
		}
	}
	for range portAttempts {
		port := portRangeStart + rand.IntN(portRangeEnd-portRangeStart)
		if portIsFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("%w between %d and %d on %s", ErrNoPort, portRangeStart, portRangeEnd, loopback)
}

func portIsFree(port int) bool {
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// ClosedPort is a port of the loopback interface that refuses every connection, and that nobody else can open.
type ClosedPort struct {
	socket int
	port   int
}

// HoldClosedPort takes a port and keeps it closed until Release: bound, so that it is nobody else's, but never listening.
func HoldClosedPort() (*ClosedPort, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	held := &ClosedPort{socket: socket}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind a socket: %w", err), held.Release())
	}
	address, err := unix.Getsockname(socket)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("name of the bound socket: %w", err), held.Release())
	}
	held.port = address.(*unix.SockaddrInet4).Port
	return held, nil
}

// Port returns the port number.
func (c *ClosedPort) Port() int { return c.port }

// Release gives the port back.
func (c *ClosedPort) Release() error {
	if err := unix.Close(c.socket); err != nil {
		return fmt.Errorf("release the closed port: %w", err)
	}
	return nil
}
