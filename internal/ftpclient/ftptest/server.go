// Package ftptest is an FTP server for tests: it behaves properly until a test says otherwise, command by command, and
// keeps a ledger of what it served, against which a collector's books can be checked. It shares no code with the client
// that it tests.
//
// Server.On replaces the Reaction to one command. The ready-made ones of faults.go are composed of Steps (one transfer) and
// of reactions around reactions (First, ForPath, Named, …); what they lack a test writes as a func(*Session, string), with
// Default as the proper behaviour to fall back on. Everything that waits ends with its session and with Stop.
package ftptest

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"time"
)

// Options describe a server. The zero value lets anyone in, without TLS, and supports every extension it knows.
type Options struct {
	User, Password string // "" lets any user in

	TLS TLSMode
	// Config holds at least the certificate (Identity.Config). Required unless TLS is TLSNone.
	Config *tls.Config
	// ClientCA requires client certificates of that authority.
	ClientCA *x509.CertPool
	// RequireTLS refuses USER before AUTH TLS.
	RequireTLS bool
	// RequireProtection refuses data connections in clear (before PROT P) with 522.
	RequireProtection bool
	// RequireSessionReuse refuses, with 522 as vsftpd does (require_ssl_reuse), data connections whose TLS session is not that
	// of their control connection.
	RequireSessionReuse bool

	// MaxSessions is how many sessions there may be at once; more are greeted with 421. 0: any number.
	MaxSessions int
	// Without are commands the server does not know and FEAT does not announce: "EPSV", "MLSD" (and MLST), "MDTM", "SIZE",
	// "REST", "FEAT", …, or "UTF8".
	Without []string
	// Features replaces the lines between the first and the last of FEAT's answer; nil announces what is there.
	Features []string
	// Home is the directory after login, "/" by default.
	Home string

	// Listing is the format of LIST; nil is Unix.
	Listing ListFormat
	// Location is the zone of the times in LIST, UTC by default. MLSD and MDTM always tell UTC.
	Location *time.Location
	// Now is the server's clock, time.Now by default.
	Now func() time.Time
	// FollowLinks shows in listings what links lead to, so that a link to a directory above makes a tree without an end.
	FollowLinks bool
}

// Server is an FTP server on the loopback interface.
type Server struct {
	opt    Options
	tree   *tree
	ledger ledger

	mu        sync.Mutex
	addr      *net.TCPAddr
	reactions map[string]Reaction
	tls       *tls.Config
	running   *run // nil after Stop
	paused    chan struct{}
	admitted  map[*Session]bool
	most      int // sessions at the same time
	sessions  int // ever
	accepted  int // connections, those over MaxSessions included
}

// run is what Stop ends.
type run struct {
	ln    net.Listener
	wg    sync.WaitGroup
	conns map[*Session]bool
}

// Start runs a server on a free port. Stop must be called in the end.
func Start(opt Options) (*Server, error) {
	if opt.TLS != TLSNone && opt.Config == nil {
		return nil, errors.New("ftptest: TLS needs Options.Config")
	}
	opt.Home = clean(opt.Home)
	if opt.Listing == nil {
		opt.Listing = Unix
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.Location = cmp.Or(opt.Location, time.UTC)
	s := &Server{
		opt: opt, tree: newTree(opt.Now), tls: opt.Config,
		addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, reactions: map[string]Reaction{}, admitted: map[*Session]bool{},
	}
	s.Mkdir(opt.Home)
	return s, s.Restart()
}

// Stop closes every socket and waits until everything has ended. The tree and the ledger stay. A second call does nothing.
func (s *Server) Stop() {
	s.mu.Lock()
	r := s.running
	s.running = nil
	if r != nil {
		_ = r.ln.Close()
		for session := range r.conns {
			session.end()
		}
	}
	s.mu.Unlock()
	if r != nil {
		r.wg.Wait()
	}
}

// Restart stops the server if it runs, and starts it again on its port, with its tree, reactions and ledger. It fails if
// someone else has taken the port meanwhile.
func (s *Server) Restart() error {
	s.Stop()
	ln, err := net.ListenTCP("tcp4", s.addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr.Port == 0 {
		s.addr = ln.Addr().(*net.TCPAddr) // for good: tests read it while others restart the server
	}
	r := &run{ln: ln, conns: map[*Session]bool{}}
	s.running = r
	r.wg.Go(func() { s.accept(r) })
	return nil
}

// Addr is "127.0.0.1:port"; the port stays the same after Stop.
func (s *Server) Addr() string { return s.addr.String() }

// Host is "127.0.0.1".
func (s *Server) Host() string { return s.addr.IP.String() }

// Port is the port of control connections.
func (s *Server) Port() int { return s.addr.Port }

// On replaces the reaction to a command, or to a new connection ("greeting"), from now on. nil never answers.
func (s *Server) On(command string, reaction Reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reactions[command] = reaction
}

// Off ends On.
func (s *Server) Off(command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.reactions, command)
}

func (s *Server) reaction(command string) Reaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, changed := s.reactions[command]; changed && r == nil {
		return Mute
	} else if changed {
		return r
	}
	return Default(command)
}

// Pause stops every session, as SIGSTOP stops a process: connections are still accepted, by the kernel as it were, but
// nothing is answered and no data flows until Resume.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil {
		s.paused = make(chan struct{})
	}
}

// Resume ends Pause.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused != nil {
		close(s.paused)
		s.paused = nil
	}
}

// HangUp closes every control connection without a word, as servers do to idle clients.
func (s *Server) HangUp() { s.each((*Session).HangUp) }

// Forget lets every session there is go silent for ever without closing it, as a firewall does that has dropped an idle
// connection. New sessions are served.
func (s *Server) Forget() { s.each(func(session *Session) { session.forgotten.Store(true) }) }

func (s *Server) each(do func(*Session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	for session := range s.running.conns {
		do(session)
	}
}

// Sessions tells how many sessions there are now, and how many there were at most at the same time. Those that MaxSessions
// turned away do not count.
func (s *Server) Sessions() (now, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.admitted), s.most
}

// Connections counts the control connections that were ever accepted, also those that MaxSessions turned away.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *Server) accept(r *run) {
	for {
		conn, err := r.ln.Accept()
		if err != nil {
			return
		}
		if session := s.admit(r, conn.(*net.TCPConn)); session != nil {
			r.wg.Go(func() {
				session.serve()
				s.leave(r, session)
			})
		}
	}
}

// admit returns nil if the server is being stopped.
func (s *Server) admit(r *run, conn *net.TCPConn) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != r {
		_ = conn.Close() // nothing was promised to it
		return nil
	}
	s.accepted++
	session := newSession(s, conn)
	r.conns[session] = true
	if s.opt.MaxSessions == 0 || len(s.admitted) < s.opt.MaxSessions {
		s.sessions++
		session.ID = s.sessions
		s.admitted[session] = true
		s.most = max(s.most, len(s.admitted))
	}
	return session
}

func (s *Server) leave(r *run, session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(r.conns, session)
	delete(s.admitted, session)
}

// lacks tells whether Options.Without names it.
func (s *Server) lacks(feature string) bool {
	for _, w := range s.opt.Without {
		if w == feature || (w == "MLSD" && feature == "MLST") {
			return true
		}
	}
	return false
}

func (s *Server) features() []string {
	if s.opt.Features != nil {
		return s.opt.Features
	}
	var lines []string
	for _, line := range []string{"EPSV", "MDTM", "MLST type*;size*;modify*;", "REST STREAM", "SIZE", "TVFS", "UTF8"} {
		if feature, _, _ := strings.Cut(line, " "); !s.lacks(feature) {
			lines = append(lines, line)
		}
	}
	if s.opt.TLS == TLSExplicit && !s.lacks("AUTH") {
		lines = append(lines, "AUTH TLS", "PBSZ", "PROT")
	}
	return lines
}
