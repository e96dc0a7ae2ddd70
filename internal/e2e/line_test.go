package e2e

import (
	"net"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// line is a stretch of network: it carries TCP connections to an address, bytes as they are, until a test holds it or breaks it.
type line struct {
	listener net.Listener
	target   string
	busy     sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while bytes may pass
	conns map[net.Conn]bool
	ended bool
}

// addLine lays a line to an address, beginning at a free port of host. It ends with the test.
func (s *stack) addLine(host, target string) *line {
	s.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	require.NoError(s.t, err)
	l := &line{listener: listener, target: target, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(l.open)
	l.busy.Go(l.serve)
	s.t.Cleanup(func() {
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
		assert.NoError(s.t, listener.Close())
		l.release()
		l.cut()
		l.busy.Wait()
	})
	return l
}

// address is where the line begins.
func (l *line) address() string { return l.listener.Addr().String() }

func (l *line) port() string {
	_, port, _ := net.SplitHostPort(l.address())
	return port
}

// hold stops every byte in both directions, also of connections to come, as a network does that drops what it gets.
func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default:
	}
}

// release lets what was held go on.
func (l *line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

// cut breaks all connections.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close()
	}
}

func (l *line) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.busy.Go(func() { l.carry(near) })
	}
}

// carry carries one connection to its end.
func (l *line) carry(near net.Conn) {
	defer near.Close()
	l.wait()
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer far.Close()
	if !l.keep(near, far) {
		return
	}
	defer l.forget(near, far)
	var back sync.WaitGroup
	back.Go(func() { l.copy(near, far) })
	l.copy(far, near)
	back.Wait()
}

// copy passes bytes on until one side ends, and then ends both.
func (l *line) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.wait()
		if _, writeErr := to.Write(buffer[:n]); writeErr != nil || err != nil {
			return
		}
	}
}

func (l *line) wait() {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	<-open
}

func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		l.conns[conn] = true
	}
	return !l.ended
}

func (l *line) forget(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		delete(l.conns, conn)
	}
}
