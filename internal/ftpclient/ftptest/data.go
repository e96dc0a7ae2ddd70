package ftptest

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// Data is a data connection, with TLS on it after PROT P.
type Data struct {
	net.Conn
	raw     *net.TCPConn
	session *Session
	aborted chan struct{} // closed by ABOR
	abort   sync.Once
}

// OpenData waits for the client to open the data connection, and for TLS on it if the client has asked for that: a client may
// begin with it only after the 150 reply. The text of an error is the reply that it calls for.
func (s *Session) OpenData() (*Data, error) {
	data, err := s.OpenClearData()
	if err != nil || !s.protected {
		return data, err
	}
	conn := tls.Server(data.raw, s.tlsConfig)
	data.Conn = conn
	if err := conn.Handshake(); err != nil {
		_ = data.raw.Close() // there is no session to say goodbye in
		return nil, refusal("425 TLS negotiation failed.")
	}
	if s.server.opt.RequireSessionReuse && !conn.ConnectionState().DidResume {
		_ = data.Close() // the client is told why
		return nil, refusal("522 SSL connection failed: session reuse required.")
	}
	return data, nil
}

// OpenClearData is OpenData without TLS, whatever the client has asked for.
func (s *Session) OpenClearData() (*Data, error) {
	s.mu.Lock()
	ln := s.passive
	s.mu.Unlock()
	if ln == nil {
		return nil, refusal("425 Use EPSV or PASV first.")
	}
	conn, err := ln.Accept()
	_ = ln.Close() // a port serves one transfer
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passive == ln {
		s.passive = nil
	}
	if err != nil {
		return nil, refusal("425 Cannot open data connection.")
	}
	data := &Data{Conn: conn, raw: conn.(*net.TCPConn), session: s, aborted: make(chan struct{})}
	if s.data = data; s.ended {
		_ = conn.Close() // the client has gone
	}
	return data, nil
}

// SendData opens the data connection, sends data and closes it. It is false if there was no connection, or the client did
// not take everything.
func (s *Session) SendData(data string) bool {
	conn, err := s.OpenData()
	if err != nil {
		return false
	}
	_, err = conn.Write([]byte(data))
	return errors.Join(err, conn.Close()) == nil
}

// closeData breaks a transfer off.
func (s *Session) closeData() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data != nil {
		_ = s.data.raw.Close() // the transfer notices
		s.data.abort.Do(func() { close(s.data.aborted) })
	}
}

// Write implements io.Writer. The ledger counts what it writes.
func (d *Data) Write(p []byte) (int, error) {
	if !d.session.gate() {
		return 0, errGone
	}
	n, err := d.Conn.Write(p)
	d.session.note(func(e *Event) { e.Sent += int64(n) })
	return n, err
}

// CloseWithoutNotify ends a TLS connection between two records, without the alert (RFC 8446 section 6.1) that tells an end from
// a cut. Without TLS it is Close.
func (d *Data) CloseWithoutNotify() error { return d.raw.Close() }

// Reset breaks the connection off with a TCP reset. What the client has not read yet may be lost to it.
func (d *Data) Reset() error {
	_ = d.raw.SetLinger(0) // fails only if it is closed already
	return d.raw.Close()
}
