package ftpservers_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpservers"
)

// gbkName is "报表" in GBK, which is not valid UTF-8.
const gbkName = "\xb1\xa8\xb1\xed"

// fileNames are awkward in one way or another; each is served as a file of its own content. None has the byte 0xFF, which
// proftpd takes for the beginning of a Telnet command (RFC 959 section 3.3.1) and others for a byte of the name.
var fileNames = []string{
	"plain.csv", "with some blanks.csv", "two  blanks.csv", " leading.csv", "trailing.csv ", "报表.csv", gbkName + ".csv",
	"-dash.csv", "-la", "semi;colon=1; x.csv", "[a]{b}*?.csv", "quote\"'`.csv", "100%.csv", "total 12", "sub/deep/deeper/x.csv",
	"dir with blanks/x.csv", "-dir/x.csv", gbkName + "/" + gbkName + ".csv", withTab, withBackslash,
}

// Names that pure-ftpd does not list, and lists but does not hand out.
const (
	withTab       = "tab\there.csv"
	withBackslash = "back\\slash.csv"
)

func TestListingAndRetrieval(t *testing.T) {
	recent := time.Now().UTC().Add(-30 * time.Hour).Truncate(time.Minute)
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		names := fileNames
		if s.kind == ftpservers.PureFTPD {
			names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == withTab })
		}
		for _, name := range names {
			s.put(t, "/outgoing/"+name, []byte(name), recent)
		}
		conn := s.dial(t)
		found, err := list(t, conn, "/outgoing")
		require.NoError(t, err)
		assert.Len(t, found, len(names))
		for _, name := range names {
			entry := found[name]
			if !assert.Equal(t, int64(len(name)), entry.Size, "%q", name) {
				continue
			}
			assert.Empty(t, entry.Special, "%q", name)
			assert.Equal(t, recent, entry.ModTime, "%q", name)
			if name == withBackslash && s.kind == ftpservers.PureFTPD {
				assert.ErrorIs(t, s.refused(t, entry.RawPath, entry.Size), ftpclient.ErrDenied)
				continue
			}
			assert.Equal(t, name, string(fetch(t, conn, entry.RawPath, len(name))))
		}
	})
}

func TestWhatIsNoPlainFile(t *testing.T) {
	old := time.Date(2019, time.March, 5, 6, 7, 8, 0, time.UTC)
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		s.put(t, "/outgoing/old.csv", []byte("old"), old)
		s.put(t, "/outgoing/.hidden", []byte("hidden"), old)
		require.NoError(t, os.Symlink("old.csv", filepath.Join(s.Home(), "outgoing/link.csv")))
		require.NoError(t, os.Symlink(".", filepath.Join(s.Home(), "outgoing/link")))
		found, err := list(t, s.dial(t), "/outgoing")
		require.NoError(t, err)
		assert.Equal(t, old.Truncate(found["old.csv"].Precision), found["old.csv"].ModTime)
		assert.Equal(t, "symlink", found["link.csv"].Special)
		assert.Equal(t, "symlink", found["link"].Special)
		_, hiddenIsListed := found[".hidden"]
		assert.Equal(t, s.kind != ftpservers.VSFTPD, hiddenIsListed, "LIST leaves out what MLSD tells")
	})
}

func TestEmptyAndMissingDirectories(t *testing.T) {
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		s.mkdir(t, "/outgoing/empty dir")
		s.mkdir(t, "/outgoing/closed")
		require.NoError(t, os.Chown(filepath.Join(s.Home(), "outgoing/closed"), 0, 0))
		require.NoError(t, os.Chmod(filepath.Join(s.Home(), "outgoing/closed"), 0o700))
		conn := s.dial(t)
		found, err := list(t, conn, "/outgoing/empty dir")
		require.NoError(t, err)
		assert.Empty(t, found)
		found, err = list(t, conn, "/")
		require.NoError(t, err)
		assert.Equal(t, "unreadable", found["outgoing/closed"].Special)
		assert.True(t, conn.Usable())
		_, err = list(t, conn, "/outgoing/missing")
		require.ErrorIs(t, err, ftpclient.ErrNotFound)
		denied := ftpclient.ErrDenied
		if s.kind == ftpservers.VSFTPD {
			denied = ftpclient.ErrNotFound // it gives no reason: "550 Failed to change directory."
		}
		_, err = list(t, s.dial(t), "/outgoing/closed")
		assert.ErrorIs(t, err, denied)
	})
}

func TestNamesInGBK(t *testing.T) {
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		s.opts.Encoding = "gbk"
		s.put(t, "/outgoing/"+gbkName+"/"+gbkName+".csv", []byte("x"), time.Now())
		conn := s.dial(t)
		dir, err := s.opts.Encode("/outgoing/报表")
		require.NoError(t, err)
		found, err := list(t, conn, dir)
		require.NoError(t, err)
		file := found[gbkName+".csv"]
		assert.Equal(t, "/outgoing/报表/报表.csv", file.Path)
		assert.Equal(t, "x", string(fetch(t, conn, file.RawPath, 1)))
		require.NoError(t, conn.MakeDir(t.Context(), "/outgoing/"+gbkName+"/"+gbkName))
		require.NoError(t, conn.Rename(t.Context(), file.RawPath, "/outgoing/"+gbkName+"/"+gbkName+"/"+gbkName))
		assert.FileExists(t, filepath.Join(s.Home(), "outgoing", gbkName, gbkName, gbkName))
	})
}

func TestRetrieve(t *testing.T) {
	large := make([]byte, 5<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(large)
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		contents := map[string][]byte{"/outgoing/empty": {}, "/outgoing/one": {0xff}, "/outgoing/large": large}
		for name, content := range contents {
			s.put(t, name, content, time.Now())
		}
		conn := s.dial(t)
		for name, content := range contents {
			assert.True(t, bytes.Equal(content, fetch(t, conn, name, len(content))), name)
		}
		require.ErrorIs(t, s.refused(t, "/outgoing/missing", 1), ftpclient.ErrNotFound)
		require.ErrorIs(t, s.refused(t, "/outgoing/large", 100), ftpclient.ErrChanged)
		require.NoError(t, os.Chown(filepath.Join(s.Home(), "outgoing/one"), 0, 0))
		require.NoError(t, os.Chmod(filepath.Join(s.Home(), "outgoing/one"), 0o600))
		assert.ErrorIs(t, s.refused(t, "/outgoing/one", 1), ftpclient.ErrDenied)
	})
}

// TestResume continues a file at its middle, and is not taken in by a file that has become another one.
func TestResume(t *testing.T) {
	whole := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{2})
	_, _ = random.Read(whole)
	half := int64(len(whole) / 2)
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		s.put(t, "/outgoing/large", whole, time.Now())
		conn := s.dial(t)
		require.NoError(t, conn.TryResume(t.Context(), "/outgoing/large", int64(len(whole))))
		want := ftpclient.Want{RawPath: "/outgoing/large", Size: int64(len(whole)), Offset: half, Tail: whole[half-1000 : half]}
		var rest bytes.Buffer
		got, err := conn.Retrieve(t.Context(), want, &rest)
		require.NoError(t, err)
		assert.Equal(t, ftpclient.Received{Bytes: half, Resumed: true}, got)
		assert.True(t, bytes.Equal(whole[half:], rest.Bytes()))
		assert.Equal(t, "plain", string(fetchPlain(t, s, conn)), "the offset holds for one file only")
		want.Tail = make([]byte, 1000)
		_, err = conn.Retrieve(t.Context(), want, io.Discard)
		require.ErrorIs(t, err, ftpclient.ErrNoResume)
	})
}

func fetchPlain(t *testing.T, s target, conn *ftpclient.Conn) []byte {
	t.Helper()
	s.put(t, "/outgoing/plain", []byte("plain"), time.Now())
	return fetch(t, conn, "/outgoing/plain", 5)
}

// TestWhatIsLearned: what the client notes about each server, in passing.
func TestWhatIsLearned(t *testing.T) {
	software := map[ftpservers.Kind]string{
		ftpservers.VSFTPD: "vsFTPd 3", ftpservers.ProFTPD: "ProFTPD", ftpservers.PureFTPD: "Pure-FTPd",
	}
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		s.put(t, "/outgoing/x", []byte("x"), time.Now())
		conn := s.dial(t)
		_, err := list(t, conn, "/outgoing")
		require.NoError(t, err)
		fetch(t, conn, "/outgoing/x", 1)
		learned := conn.Behaviour()
		t.Logf("%+v %q", learned, conn.Features())
		assert.Contains(t, learned.Software, software[s.kind])
		assert.NotEqual(t, ftpclient.PassivePASV, learned.Passive, "EPSV works")
		resumes := ftpclient.Yes
		switch {
		case s.opts.TLS == ftpclient.TLSNone:
			resumes = ftpclient.Unknown
		case s.kind == ftpservers.PureFTPD:
			resumes = ftpclient.No // it keeps no sessions and gives no tickets
		}
		assert.Equal(t, resumes, learned.TLSResume)
		assert.Contains(t, conn.Features(), "REST STREAM")
	})
}

// TestChosenPassiveModeAndTLSVersion: what an operator can insist on. TLS 1.2 resumes sessions in another way than 1.3.
func TestChosenPassiveModeAndTLSVersion(t *testing.T) {
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		s.put(t, "/outgoing/x", []byte("x"), time.Now())
		s.opts.Passive, s.opts.MaxTLS = ftpclient.PassivePASV, tls.VersionTLS12
		conn := s.dial(t)
		for range 3 {
			fetch(t, conn, "/outgoing/x", 1)
		}
	})
}

// TestServersInsistOnResumption: what the other tests prove about TLS sessions counts only if a client without them fails.
func TestServersInsistOnResumption(t *testing.T) {
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		if s.opts.TLS != ftpclient.TLSExplicit {
			t.Skip("explicit TLS stands for both")
		}
		forgetful := &tls.Config{RootCAs: s.opts.RootCAs, ServerName: s.opts.Host}
		conn, err := ftp.Dial(fmt.Sprintf("%s:%d", s.opts.Host, s.opts.Port),
			ftp.DialWithExplicitTLS(forgetful), ftp.DialWithShutTimeout(s.opts.IdleTimeout))
		require.NoError(t, err)
		defer func() { _ = conn.Quit() }()
		require.NoError(t, conn.Login(s.opts.User, s.opts.Password))
		_, err = conn.List("/")
		assert.Equal(t, s.kind != ftpservers.PureFTPD, err != nil)
	})
}

func TestRemoteActions(t *testing.T) {
	at := time.Date(2026, time.June, 30, 18, 0, 7, 0, time.UTC)
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		const from, to = "/outgoing/some file.csv", "/outgoing/done/-moved file.csv"
		s.put(t, from, []byte("content"), at)
		conn, ctx := s.dial(t), t.Context()
		size, modified, err := conn.Stat(ctx, from)
		require.NoError(t, err)
		assert.Equal(t, int64(7), size)
		assert.Equal(t, at, modified)
		require.NoError(t, conn.MakeDir(ctx, "/outgoing/done"))
		require.NoError(t, conn.MakeDir(ctx, "/outgoing/done"), "one that exists is as good")
		requireExists(t, conn, from, true)
		requireExists(t, conn, to, false)
		require.NoError(t, conn.Rename(ctx, from, to))
		requireExists(t, conn, from, false)
		requireExists(t, conn, to, true)
		assert.NoFileExists(t, filepath.Join(s.Home(), from))
		assert.FileExists(t, filepath.Join(s.Home(), to))
		require.NoError(t, conn.Delete(ctx, to))
		assert.NoFileExists(t, filepath.Join(s.Home(), to))
		assert.True(t, conn.Usable())
	})
}

func requireExists(t *testing.T, conn *ftpclient.Conn, rawPath string, want bool) {
	t.Helper()
	exists, err := conn.Exists(t.Context(), rawPath)
	require.NoError(t, err, rawPath)
	require.Equal(t, want, exists, rawPath)
}

// TestRefusedActions: each on a connection of its own, since the first error is a connection's last.
func TestRefusedActions(t *testing.T) {
	const served, roots, missing = "/outgoing/x.csv", "/roots.csv", "/outgoing/missing"
	actions := map[string]struct {
		do   func(context.Context, *ftpclient.Conn) error
		want error
	}{
		"delete a missing file":          {func(ctx context.Context, c *ftpclient.Conn) error { return c.Delete(ctx, missing) }, ftpclient.ErrNotFound},
		"delete in root's directory":     {func(ctx context.Context, c *ftpclient.Conn) error { return c.Delete(ctx, roots) }, ftpclient.ErrDenied},
		"rename a missing file":          {func(ctx context.Context, c *ftpclient.Conn) error { return c.Rename(ctx, missing, served+"2") }, ftpclient.ErrNotFound},
		"rename into a missing dir":      {func(ctx context.Context, c *ftpclient.Conn) error { return c.Rename(ctx, served, missing+"/x") }, ftpclient.ErrNotFound},
		"rename into root's directory":   {func(ctx context.Context, c *ftpclient.Conn) error { return c.Rename(ctx, served, "/x.csv") }, ftpclient.ErrDenied},
		"make a dir in root's directory": {func(ctx context.Context, c *ftpclient.Conn) error { return c.MakeDir(ctx, "/new") }, ftpclient.ErrDenied},
		"make a dir in a missing one":    {func(ctx context.Context, c *ftpclient.Conn) error { return c.MakeDir(ctx, missing+"/new") }, ftpclient.ErrNotFound},
		"size of a missing file": {func(ctx context.Context, c *ftpclient.Conn) error {
			_, _, err := c.Stat(ctx, missing)
			return err
		}, ftpclient.ErrNotFound},
	}
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		s.put(t, served, []byte("x"), time.Now())
		require.NoError(t, os.WriteFile(filepath.Join(s.Home(), roots), []byte("x"), 0o644))
		for name, action := range actions {
			err := action.do(t.Context(), s.dial(t))
			assert.ErrorIs(t, err, action.want, name)
		}
		assert.FileExists(t, filepath.Join(s.Home(), served))
	})
}

func TestRefusedLogins(t *testing.T) {
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		wrong := s.opts
		wrong.Password = "wrong"
		_, err := ftpclient.Dial(t.Context(), wrong)
		require.ErrorIs(t, err, ftpclient.ErrLoginRefused)
		assert.NotContains(t, err.Error(), "wrong")
		if s.kind == ftpservers.VSFTPD { // the others ask any user for a password, and pure-ftpd's answer takes seconds
			stranger := s.opts
			stranger.User = "stranger"
			_, err = ftpclient.Dial(t.Context(), stranger)
			require.ErrorIs(t, err, ftpclient.ErrLoginRefused)
		}
		if s.opts.TLS == ftpclient.TLSNone {
			return
		}
		distrustful := s.opts
		distrustful.RootCAs = nil
		_, err = ftpclient.Dial(t.Context(), distrustful)
		assert.ErrorIs(t, err, ftpclient.ErrUntrusted)
	})
}

// TestFullHouse: "too many connections" must not be taken for a refused password.
func TestFullHouse(t *testing.T) {
	onEach(t, ftpservers.Options{MaxSessions: 2}, func(t *testing.T, s target) {
		s.dial(t)
		s.dial(t)
		_, err := ftpclient.Dial(t.Context(), s.opts)
		assert.ErrorIs(t, err, ftpclient.ErrBusy)
	})
}

// TestMismatchedTLS: a client that does not do what the server insists on is told so, and is not sent around in retries.
func TestMismatchedTLS(t *testing.T) {
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		for _, mode := range modes {
			if mode == s.opts.TLS || mode == ftpclient.TLSImplicit || s.opts.TLS == ftpclient.TLSImplicit {
				continue // with implicit TLS on one side only, both wait for the other to begin
			}
			other := s.opts
			other.TLS = mode
			_, err := ftpclient.Dial(t.Context(), other)
			assert.Error(t, err)
			assert.NotErrorIs(t, err, ftpclient.ErrBusy)
			assert.NotErrorIs(t, err, ftpclient.ErrUnreachable)
		}
	})
}

func TestPoolLogsInOncePerConnection(t *testing.T) {
	const files, connections = 40, 4
	onEach(t, ftpservers.Options{}, func(t *testing.T, s target) {
		for i := range files {
			s.put(t, fmt.Sprintf("/outgoing/%d.csv", i), fmt.Appendf(nil, "%04d", i), time.Now())
		}
		logins := countLogins(t, &s)
		pool := ftpclient.NewPool(connections, 0)
		defer pool.Close()
		var workers sync.WaitGroup
		next := make(chan int)
		for range connections {
			workers.Go(func() {
				for i := range next {
					var body bytes.Buffer
					err := pool.Do(t.Context(), s.opts, func(conn *ftpclient.Conn) error {
						body.Reset()
						_, err := conn.Retrieve(t.Context(), ftpclient.Want{RawPath: fmt.Sprintf("/outgoing/%d.csv", i), Size: 4}, &body)
						return err
					})
					assert.NoError(t, err)
					assert.Equal(t, fmt.Sprintf("%04d", i), body.String())
				}
			})
		}
		for i := range files {
			next <- i
		}
		close(next)
		workers.Wait()
		assert.LessOrEqual(t, logins.count.Load(), int64(connections))
	})
}

// TestStopEndsSessions: a client that is logged in loses its connection, and the server's directory is gone.
func TestStopEndsSessions(t *testing.T) {
	install, err := ftpservers.Find()
	if err != nil {
		t.Skip(err)
	}
	for _, kind := range ftpservers.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server, err := install.Start(t.Context(), ftpservers.Options{Kind: kind})
			require.NoError(t, err)
			conn := dial(t, ftpclient.Options{
				Name: "x", Host: "127.0.0.1", Port: server.Port(), User: server.User(), Password: server.Password(),
			})
			require.NoError(t, server.Stop())
			_, err = conn.Exists(t.Context(), "/x")
			require.Error(t, err)
			assert.NoDirExists(t, server.Home())
			_, err = ftpclient.Dial(t.Context(), ftpclient.Options{Host: "127.0.0.1", Port: server.Port()})
			require.ErrorIs(t, err, ftpclient.ErrUnreachable)
		})
	}
}

// TestServersDieWithTheirStarter: nothing is left when a test run ends in a panic or is killed.
func TestServersDieWithTheirStarter(t *testing.T) {
	if _, err := ftpservers.Find(); err != nil {
		t.Skip(err)
	}
	for _, kind := range ftpservers.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			starter := exec.Command(os.Args[0])
			starter.Env = append(os.Environ(), startOnly+"="+string(kind), "TMPDIR="+t.TempDir())
			output, err := starter.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, starter.Start())
			var port int
			_, err = fmt.Fscan(output, &port)
			require.NoError(t, err)
			address := fmt.Sprintf("127.0.0.1:%d", port)
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			require.NoError(t, starter.Process.Kill())
			require.Error(t, starter.Wait())
			require.Eventually(t, func() bool {
				conn, err := net.Dial("tcp", address)
				return err != nil || conn.Close() != nil
			}, time.Minute, 10*time.Millisecond)
		})
	}
}
