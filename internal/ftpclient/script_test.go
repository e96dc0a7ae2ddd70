package ftpclient_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
)

// reaction answers one command.
type reaction func(s *session, arg string)

// script is an FTP server that does what a test tells it to, command by command; the rest it does properly.
type script struct {
	ln        net.Listener
	reactions map[string]reaction
	wg        sync.WaitGroup
	done      chan struct{} // closed by stop
	once      sync.Once
	delivered atomic.Bool // the client's writer has been given data

	mu       sync.Mutex
	commands []string
	sessions map[*session]bool
	accepted int
}

// session is one control connection.
type session struct {
	*script
	conn net.Conn
	data net.Listener
}

// startScript runs the server until the test ends. A nil reaction is one that never answers.
func startScript(t testing.TB, reactions map[string]reaction) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	sc := &script{ln: ln, reactions: properly(), done: make(chan struct{}), sessions: map[*session]bool{}}
	for command, r := range reactions {
		sc.reactions[command] = r
	}
	sc.wg.Go(sc.accept)
	t.Cleanup(sc.stop)
	return sc
}

func properly() map[string]reaction {
	return map[string]reaction{
		"greeting": say("220 ready"),
		"USER":     say("331 password please"),
		"PASS":     say("230 welcome"),
		"FEAT":     say("500 unknown command"),
		"TYPE":     say("200 ok"),
		"CWD":      say("250 ok"),
		"PWD":      say(`257 "/" is current`),
		"EPSV":     (*session).passive,
		"QUIT":     func(s *session, _ string) { _ = s.conn.Close() },
	}
}

func say(reply string) reaction { return func(s *session, _ string) { s.say(reply) } }

// send is a whole transfer: the data and the final reply.
func send(data, final string) reaction {
	return func(s *session, _ string) {
		s.say("150 here it comes")
		s.sendData(data)
		s.say(final)
	}
}

// mlst announces MLSD.
func mlst(s *session, _ string) { s.say("211-Features:\r\n MLST type*;size*;modify*;\r\n211 End") }

func (sc *script) options() ftpclient.Options { return optionsFor(sc.ln.Addr()) }

func (sc *script) stop() {
	sc.once.Do(func() {
		close(sc.done)
		_ = sc.ln.Close()
		sc.hangUp()
		sc.wg.Wait()
	})
}

func (sc *script) stopped() bool {
	select {
	case <-sc.done:
		return true
	default:
		return false
	}
}

// hangUp closes every control connection, as a server does after its idle timeout.
func (sc *script) hangUp() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for s := range sc.sessions {
		_ = s.conn.Close()
	}
}

func (sc *script) accept() {
	for {
		conn, err := sc.ln.Accept()
		if err != nil {
			return
		}
		s := &session{script: sc, conn: conn}
		sc.mu.Lock()
		sc.sessions[s] = true
		sc.accepted++
		sc.mu.Unlock()
		sc.wg.Go(s.serve)
	}
}

func (s *session) serve() {
	defer func() {
		_ = s.conn.Close()
		s.closeData()
		s.mu.Lock()
		delete(s.sessions, s)
		s.mu.Unlock()
	}()
	s.react("greeting", "")
	for lines := bufio.NewScanner(s.conn); lines.Scan(); {
		word, arg, _ := strings.Cut(lines.Text(), " ")
		s.mu.Lock()
		s.commands = append(s.commands, lines.Text())
		s.mu.Unlock()
		s.react(word, arg)
	}
}

func (s *session) react(word, arg string) {
	r, known := s.reactions[word]
	switch {
	case !known:
		s.say("502 " + word + " not implemented")
	case r != nil:
		r(s, arg)
	}
}

func (s *session) say(reply string) { _, _ = io.WriteString(s.conn, reply+"\r\n") }

func (s *session) listenData() int {
	s.closeData()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s.data = ln
	return ln.Addr().(*net.TCPAddr).Port
}

func (s *session) passive(string) { s.say(fmt.Sprintf("229 ok (|||%d|)", s.listenData())) }

// openData accepts the data connection.
func (s *session) openData() net.Conn {
	conn, err := s.data.Accept()
	if err != nil {
		panic(err)
	}
	return conn
}

func (s *session) sendData(data string) {
	conn := s.openData()
	_, _ = io.WriteString(conn, data)
	_ = conn.Close()
}

func (s *session) closeData() {
	if s.data != nil {
		_ = s.data.Close()
	}
}

// sent counts the commands that begin with prefix.
func (sc *script) sent(prefix string) int {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	n := 0
	for _, c := range sc.commands {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

func (sc *script) connections() int {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.accepted
}

func (sc *script) live() int {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return len(sc.sessions)
}

// allCommands is everything that was sent, in order.
func (sc *script) allCommands() []string {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return append([]string(nil), sc.commands...)
}
