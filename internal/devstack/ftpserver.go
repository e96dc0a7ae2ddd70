package devstack

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"
)

// Errors of the demo FTP server.
var (
	// ErrNothingToServe tells that FTPOptions have neither FS nor Dir, or both.
	ErrNothingToServe = errors.New("either FS or Dir must be set")
	errLoginRefused   = errors.New("login incorrect")
	errNoTLS          = errors.New("this server has no certificate")
)

// ftpStopLimit is what clients' handlers may take to end after their connections were closed.
const ftpStopLimit = 10 * time.Second

// FTPOptions describe one FTP server.
type FTPOptions struct {
	Users map[string]string // user: password
	FS    afero.Fs          // what is served, from "/"
	Dir   string            // or a directory
	Addr  string            // "" : a free port of the loopback interface
	// PassivePorts is the range, both ends included, for data connections; the zero value leaves the choice to the kernel.
	PassivePorts [2]int
	// IdleTimeout closes a control connection that has sent no command for so long, even if a transfer is running on it
	// (the library's way). 0: never.
	IdleTimeout time.Duration
	// OnRetrieve, if set, is called when the first byte of a file is about to be sent. It may block, which holds the transfer
	// (and must end before Stop can), return an error, which breaks it off with a 5xx reply, or return another reader, which
	// is sent instead: a shorter, slower or failing one.
	OnRetrieve func(path string, data io.Reader) (io.Reader, error)
}

// FTPStats are the counters of an FTP server.
type FTPStats struct {
	Logins, RefusedLogins int // PASS commands
	Retrieves             int // RETR commands whose file could be opened
	Connections           int // control connections that are open now
	PeakConnections       int // the most that were open at the same time
}

// FTPServer is a real FTP server (PASV, EPSV, MLSD, REST, deletes and renames; no active mode, no TLS).
type FTPServer struct {
	opts     FTPOptions
	fs       afero.Fs
	listener net.Listener
	served   chan struct{} // closed when no connection is accepted any more

	mu          sync.Mutex
	stats       FTPStats
	connections map[*ftpConnection]struct{}
	changed     chan struct{} // closed and replaced when connections shrinks
}

// StartFTP starts an FTP server; it listens when StartFTP returns.
func StartFTP(opts FTPOptions) (*FTPServer, error) {
	if (opts.FS == nil) == (opts.Dir == "") {
		return nil, ErrNothingToServe
	}
	if opts.Addr == "" {
		opts.Addr = net.JoinHostPort(loopback, "0")
	}
	listener, err := net.Listen("tcp", opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("FTP server: %w", err)
	}
	s := &FTPServer{
		opts: opts, fs: opts.FS, listener: listener, served: make(chan struct{}),
		connections: map[*ftpConnection]struct{}{}, changed: make(chan struct{}),
	}
	if opts.Dir != "" {
		s.fs = afero.NewBasePathFs(afero.NewOsFs(), opts.Dir)
	}
	server := ftpserver.NewFtpServer(&ftpDriver{server: s})
	if err := server.Listen(); err != nil {
		return nil, errors.Join(fmt.Errorf("FTP server: %w", err), listener.Close())
	}
	go func() {
		defer close(s.served)
		_ = server.Serve() // ends with an error about the closed listener, always
	}()
	return s, nil
}

// Addr returns host and port.
func (s *FTPServer) Addr() string { return s.listener.Addr().String() }

// Port returns the port alone.
func (s *FTPServer) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Stats returns the counters as they are now.
func (s *FTPServer) Stats() FTPStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Connections = len(s.connections)
	return stats
}

// DropConnections breaks every control connection, as a fault between server and client would.
func (s *FTPServer) DropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		_ = c.Conn.Close() // the library closes it a second time, through ftpConnection.Close
	}
}

// Stop closes the port, breaks all connections and returns when they are gone.
func (s *FTPServer) Stop() error {
	if err := s.listener.Close(); err != nil {
		return fmt.Errorf("stop the FTP server: %w", err)
	}
	<-s.served
	s.DropConnections()
	deadline := time.NewTimer(ftpStopLimit)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		left, changed := len(s.connections), s.changed
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("stop the FTP server: %d connections did not end within %s", left, ftpStopLimit)
		}
	}
}

func (s *FTPServer) count(change func(*FTPStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// ftpListener hands out connections that their server knows of.
type ftpListener struct {
	net.Listener
	server *FTPServer
}

// Accept implements net.Listener.
func (l ftpListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s, c := l.server, &ftpConnection{Conn: conn, server: l.server}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections[c] = struct{}{}
	s.stats.PeakConnections = max(s.stats.PeakConnections, len(s.connections))
	return c, nil
}

// ftpConnection is a control connection. The library closes it as the last thing it does for a client.
type ftpConnection struct {
	net.Conn
	server *FTPServer
}

// Close implements net.Conn.
func (c *ftpConnection) Close() error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.connections[c]; open {
		delete(s.connections, c)
		close(s.changed)
		s.changed = make(chan struct{})
	}
	return c.Conn.Close()
}

// ftpDriver answers the library's questions about the whole server; see its MainDriver.
type ftpDriver struct{ server *FTPServer }

// GetSettings implements ftpserver.MainDriver.
func (d *ftpDriver) GetSettings() (*ftpserver.Settings, error) {
	opts := d.server.opts
	settings := &ftpserver.Settings{
		Listener:          ftpListener{Listener: d.server.listener, server: d.server},
		IdleTimeout:       -1, // negative is never, 0 would be the library's 15 minutes
		DisableActiveMode: true,
	}
	if opts.IdleTimeout > 0 {
		settings.IdleTimeout = max(1, int(opts.IdleTimeout/time.Second))
	}
	if opts.PassivePorts != [2]int{} {
		settings.PassiveTransferPortRange = ftpserver.PortRange{Start: opts.PassivePorts[0], End: opts.PassivePorts[1]}
	}
	return settings, nil
}

// ClientConnected implements ftpserver.MainDriver.
func (d *ftpDriver) ClientConnected(ftpserver.ClientContext) (string, error) {
	return "branch FTP server ready", nil
}

// ClientDisconnected implements ftpserver.MainDriver; ftpConnection.Close does the accounting.
func (d *ftpDriver) ClientDisconnected(ftpserver.ClientContext) {}

// AuthUser implements ftpserver.MainDriver.
func (d *ftpDriver) AuthUser(_ ftpserver.ClientContext, user, password string) (ftpserver.ClientDriver, error) {
	expected, known := d.server.opts.Users[user]
	if !known || subtle.ConstantTimeCompare([]byte(expected), []byte(password)) == 0 {
		d.server.count(func(stats *FTPStats) { stats.RefusedLogins++ })
		return nil, errLoginRefused
	}
	d.server.count(func(stats *FTPStats) { stats.Logins++ })
	return &ftpFiles{Fs: d.server.fs, server: d.server}, nil
}

// GetTLSConfig implements ftpserver.MainDriver.
func (d *ftpDriver) GetTLSConfig() (*tls.Config, error) { return nil, errNoTLS }

// ftpFiles is what a client that has logged in sees.
type ftpFiles struct {
	afero.Fs
	server *FTPServer
}

// GetHandle implements the library's ClientDriverExtentionFileTransfer (its spelling). The library seeks to a REST offset
// itself, after this call.
func (f *ftpFiles) GetHandle(name string, flags int, _ int64) (ftpserver.FileTransfer, error) {
	file, err := f.OpenFile(name, flags, 0o644)
	if err != nil {
		return nil, err
	}
	if flags&(os.O_WRONLY|os.O_RDWR) != 0 {
		return file, nil
	}
	f.server.count(func(stats *FTPStats) { stats.Retrieves++ })
	if f.server.opts.OnRetrieve == nil {
		return file, nil
	}
	return &heldFile{File: file, path: name, onRetrieve: f.server.opts.OnRetrieve}, nil
}

// heldFile asks the hook when it is read for the first time, which is after the library's seek.
type heldFile struct {
	afero.File
	path       string
	onRetrieve func(path string, data io.Reader) (io.Reader, error)
	data       io.Reader
}

// Read implements io.Reader.
func (h *heldFile) Read(buffer []byte) (int, error) {
	if h.data == nil {
		data, err := h.onRetrieve(h.path, h.File)
		if err != nil {
			return 0, err
		}
		h.data = data
	}
	return h.data.Read(buffer)
}
