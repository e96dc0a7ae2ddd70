package ftptest_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/ftpclient/ftptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

var modified = time.Date(2024, 2, 29, 12, 30, 15, 0, time.UTC)

func start(t *testing.T, opt ftptest.Options) *ftptest.Server {
	t.Helper()
	s, err := ftptest.Start(opt)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func authority(t *testing.T) *ftptest.Authority {
	t.Helper()
	a, err := ftptest.NewAuthority()
	require.NoError(t, err)
	return a
}

// clientTLS trusts a and can resume sessions.
func clientTLS(a *ftptest.Authority) *tls.Config {
	return &tls.Config{ServerName: "127.0.0.1", RootCAs: a.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(4)}
}

func login(t *testing.T, s *ftptest.Server, options ...ftp.DialOption) *ftp.ServerConn {
	t.Helper()
	c, err := ftp.Dial(s.Addr(), append(options, ftp.DialWithTimeout(patience))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Quit() })
	require.NoError(t, c.Login("collector", "secret"))
	return c
}

func fetch(t *testing.T, c *ftp.ServerConn, path string, offset uint64) string {
	t.Helper()
	body, err := c.RetrFrom(path, offset)
	require.NoError(t, err)
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	return string(content)
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, time.Millisecond, what)
}

// wire is a client that does what it is told and nothing else.
type wire struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// dial reads the greeting, unless there is to be none, and logs in.
func dial(t *testing.T, s *ftptest.Server) *wire {
	t.Helper()
	w := connect(t, s)
	require.Equal(t, "220 ready", w.reply())
	w.say("USER collector", "331")
	w.say("PASS secret", "230")
	w.say("TYPE I", "200")
	return w
}

func connect(t *testing.T, s *ftptest.Server) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &wire{t: t, Conn: conn, in: bufio.NewReader(conn)}
}

// reply is one line.
func (w *wire) reply() string {
	w.t.Helper()
	line, err := w.in.ReadString('\n')
	require.NoError(w.t, err)
	return strings.TrimSuffix(line, "\r\n")
}

func (w *wire) send(command string) {
	w.t.Helper()
	_, err := io.WriteString(w.Conn, command+"\r\n")
	require.NoError(w.t, err)
}

func (w *wire) say(command, want string) string {
	w.t.Helper()
	w.send(command)
	got := w.reply()
	require.True(w.t, strings.HasPrefix(got, want), "%s: %s", command, got)
	return got
}

// open asks for a data connection.
func (w *wire) open() net.Conn {
	w.t.Helper()
	var port int
	_, err := fmt.Sscanf(w.say("EPSV", "229"), "229 Entering Extended Passive Mode (|||%d|)", &port)
	require.NoError(w.t, err)
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// transfer is a whole one: what came, and the final reply ("" if it does not come because the server hangs up).
func (w *wire) transfer(command string) (content, final string) {
	w.t.Helper()
	data := w.open()
	w.say(command, "150")
	got, err := io.ReadAll(data)
	require.NoError(w.t, err)
	line, _ := w.in.ReadString('\n')
	return string(got), strings.TrimSuffix(line, "\r\n")
}
