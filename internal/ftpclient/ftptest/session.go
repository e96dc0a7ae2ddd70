package ftptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// Reaction answers one command. It runs on the session's own goroutine: the next command waits for it.
type Reaction func(s *Session, arg string)

// Session is one control connection. Its methods may be called from any goroutine, but they are meant for reactions.
type Session struct {
	ID int // from 1; 0 if the server was full

	server    *Server
	raw       *net.TCPConn
	tlsConfig *tls.Config // nil without TLS
	done      chan struct{}
	forgotten atomic.Bool
	in        *bufio.Reader // of conn; belongs to read

	mu      sync.Mutex
	ended   bool
	conn    net.Conn // raw, or TLS on it
	event   *Event   // of the command being answered
	passive net.Listener
	data    *Data

	// What commands have set.
	user      string
	loggedIn  bool
	dir       string
	binary    bool
	protected bool
	offset    int64
	from      string // RNFR
}

// request is a command on its way from read to serve.
type request struct {
	event    *Event
	answered chan struct{}
}

// queued is how many commands a client may send ahead of the replies before the server stops reading.
const queued = 64

func newSession(server *Server, conn *net.TCPConn) *Session {
	return &Session{
		server: server, raw: conn, conn: conn, in: bufio.NewReader(conn), done: make(chan struct{}), dir: server.opt.Home,
	}
}

func (s *Session) serve() {
	defer s.end()
	if s.server.opt.TLS != TLSNone {
		s.tlsConfig = s.server.sessionTLS()
	}
	if !s.gate() || (s.server.opt.TLS == TLSImplicit && s.secure() != nil) {
		return
	}
	requests := make(chan request, queued)
	var reader sync.WaitGroup
	reader.Go(func() { s.read(requests) })
	defer reader.Wait()
	defer s.end()
	greeting := &Event{Session: s.ID, Command: "greeting"} // not in the ledger: it is no command
	if s.ID == 0 {
		s.say(greeting, "421 There are too many connected users, please try later.")
		return
	}
	s.answer(greeting)
	for r := range requests {
		s.answer(r.event)
		close(r.answered)
	}
}

// read runs ahead of the answers, so that a client that aborts or goes away is noticed in the middle of a transfer.
func (s *Session) read(requests chan<- request) {
	defer close(requests)
	defer s.end()
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		word, arg, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), " ")
		r := request{
			event:    &Event{Time: s.server.opt.Now(), Session: s.ID, Command: strings.ToUpper(word), Argument: arg},
			answered: make(chan struct{}),
		}
		s.server.ledger.begin(r.event)
		if r.event.Command == "ABOR" {
			s.closeData()
		}
		select {
		case requests <- r:
		case <-s.done:
			return
		}
		if r.event.Command == "AUTH" { // what follows is no text, but the handshake
			select {
			case <-r.answered:
			case <-s.done:
				return
			}
		}
	}
}

func (s *Session) answer(e *Event) {
	s.mu.Lock()
	s.event = e
	s.mu.Unlock()
	if known, ok := proper[e.Command]; ok && known.named {
		s.note(func(e *Event) { e.Path = s.listed(e.Argument) })
	}
	if !s.gate() || s.forgotten.Load() {
		return
	}
	s.server.reaction(e.Command)(s, e.Argument)
}

// gate waits while the server is paused. It is false if the session ended meanwhile.
func (s *Session) gate() bool {
	s.server.mu.Lock()
	paused := s.server.paused
	s.server.mu.Unlock()
	if paused == nil {
		return true
	}
	select {
	case <-paused:
		return true
	case <-s.done:
		return false
	}
}

// secure puts TLS on the control connection.
func (s *Session) secure() error {
	conn := tls.Server(s.raw, s.tlsConfig)
	if err := conn.Handshake(); err != nil {
		s.end()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.in = conn, bufio.NewReader(conn)
	return nil
}

// end closes whatever the session has open.
func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	close(s.done)
	_ = s.raw.Close() // here and below: nobody could do anything about an error
	if s.passive != nil {
		_ = s.passive.Close()
	}
	if s.data != nil {
		_ = s.data.raw.Close()
	}
}

// Server is the server that the session belongs to.
func (s *Session) Server() *Server { return s.server }

// Done is closed when the client has gone, the session was hung up, or the server stops.
func (s *Session) Done() <-chan struct{} { return s.done }

// Command is the command being answered, in upper case.
func (s *Session) Command() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.event.Command
}

// Secure tells whether the control connection is encrypted.
func (s *Session) Secure() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != net.Conn(s.raw)
}

// Resolve makes an argument an absolute path, seen from the current directory.
func (s *Session) Resolve(arg string) string { return clean(absolute(s.dir, arg)) }

// Offset is where the next transfer is to begin (REST).
func (s *Session) Offset() int64 { return s.offset }

// SetOffset changes it.
func (s *Session) SetOffset(offset int64) { s.offset = offset }

// Say sends a reply, which may have several lines (CRLF between them, none at the end). What the ledger keeps is the last
// one, and what "230" says to USER or PASS holds: the user is logged in.
func (s *Session) Say(reply string) {
	s.mu.Lock()
	event := s.event
	s.mu.Unlock()
	s.say(event, reply)
}

func (s *Session) say(event *Event, reply string) {
	s.server.ledger.change(event, func(e *Event) { e.Reply = reply })
	if isLogin(event.Command) && strings.HasPrefix(reply, "230") {
		s.loggedIn = true
	}
	_ = s.Raw(reply + "\r\n") // whether the client still listens is not the server's affair
}

// Raw sends text as it is. It fails when the client has gone.
func (s *Session) Raw(text string) error {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	_, err := io.WriteString(conn, text)
	return err
}

// HangUp closes the control connection, and a data connection, without a word.
func (s *Session) HangUp() { s.end() }

// Reset breaks the control connection off with a TCP reset.
func (s *Session) Reset() {
	_ = s.raw.SetLinger(0) // fails only if it is closed already
	s.end()
}

// Fault names in the ledger what is being done to the client.
func (s *Session) Fault(name string) { s.note(func(e *Event) { e.Fault = name }) }

func (s *Session) note(change func(*Event)) {
	s.mu.Lock()
	event := s.event
	s.mu.Unlock()
	s.server.ledger.change(event, change)
}

// refusal is an error whose text is the reply it calls for.
type refusal string

// Error implements error.
func (r refusal) Error() string { return string(r) }

var errGone = errors.New("the session has ended")

// Listen opens a port for the next data connection, in place of the one before.
func (s *Session) Listen() (port int, err error) {
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passive != nil {
		_ = s.passive.Close() // no client is told of it any more
	}
	if s.passive = ln; s.ended {
		return 0, errors.Join(errGone, ln.Close())
	}
	return ln.Addr().(*net.TCPAddr).Port, nil
}
