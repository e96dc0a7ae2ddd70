package ftptest_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// TestAnIndependentClientIsServed over all three kinds of connections, with everything required that can be.
func TestAnIndependentClientIsServed(t *testing.T) {
	a := authority(t)
	id, err := a.Valid()
	require.NoError(t, err)
	client, err := a.Client("collector")
	require.NoError(t, err)
	config := clientTLS(a)
	config.Certificates = client.Config().Certificates
	strict := func(mode ftptest.TLSMode) ftptest.Options {
		return ftptest.Options{
			TLS: mode, Config: id.Config(), ClientCA: a.Pool(),
			RequireTLS: true, RequireProtection: true, RequireSessionReuse: true,
		}
	}
	for name, c := range map[string]struct {
		opt  ftptest.Options
		dial []ftp.DialOption
	}{
		"plain":    {ftptest.Options{}, nil},
		"PASV":     {ftptest.Options{Without: []string{"EPSV", "FEAT"}}, nil},
		"explicit": {strict(ftptest.TLSExplicit), []ftp.DialOption{ftp.DialWithExplicitTLS(config)}},
		"implicit": {strict(ftptest.TLSImplicit), []ftp.DialOption{ftp.DialWithTLS(config)}},
	} {
		t.Run(name, func(t *testing.T) {
			c.opt.User, c.opt.Password = "collector", "secret"
			s := start(t, c.opt)
			s.Put("/out/a b", []byte("12345"), modified)
			s.Put("/out/deep/\xb1\xa8", []byte(strings.Repeat("x\n", 100_000)), modified)
			s.Mkdir("/empty")
			useEverything(t, s, login(t, s, c.dial...))
		})
	}
}

func useEverything(t *testing.T, s *ftptest.Server, c *ftp.ServerConn) {
	t.Helper()
	assert.Equal(t, "12345", fetch(t, c, "/out/a b", 0))
	assert.Equal(t, "345", fetch(t, c, "/out/a b", 2))
	require.NoError(t, c.ChangeDir("out/deep"))
	dir, err := c.CurrentDir()
	require.NoError(t, err)
	assert.Equal(t, "/out/deep", dir)
	assert.Equal(t, hashOf(strings.Repeat("x\n", 100_000)), hashOf(fetch(t, c, "\xb1\xa8", 0)))
	require.NoError(t, c.ChangeDirToParent())

	names := map[string]ftp.EntryType{}
	entries, err := c.List("")
	require.NoError(t, err)
	for _, e := range entries {
		names[e.Name] = e.Type
	}
	assert.Equal(t, map[string]ftp.EntryType{"a b": ftp.EntryTypeFile, "deep": ftp.EntryTypeFolder}, names)
	entries, err = c.List("/empty")
	require.NoError(t, err)
	assert.Empty(t, entries)

	size, err := c.FileSize("a b")
	require.NoError(t, err)
	assert.EqualValues(t, 5, size)
	if s.Commands("PROT") == 0 {
		require.NoError(t, c.Stor("/out/new", strings.NewReader("stored")))
	} else {
		s.Put("/out/new", []byte("stored"), modified) // see Session.store
	}
	require.NoError(t, c.MakeDir("/done"))
	require.NoError(t, c.Rename("/out/new", "/done/new"))
	require.NoError(t, c.Delete("/out/a b"))
	require.NoError(t, c.RemoveDir("/empty"))
	assert.Error(t, c.RemoveDir("/done"), "it is not empty")
	assert.Error(t, c.Delete("/out/a b"), "it has gone")
	assert.Equal(t, "stored", fetch(t, c, "/done/new", 0))

	files := s.Files()
	assert.Len(t, files, 2)
	assert.Equal(t, hashOf("stored"), files["/done/new"].SHA256())
	assert.Len(t, s.Versions("/out/a b"), 1, "what has gone stays known")
}

func TestTheLedgerTellsWhatWasServed(t *testing.T) {
	s := start(t, ftptest.Options{User: "collector", Password: "secret"})
	s.Put("/a", []byte("first"), modified)
	s.Put("/a", []byte("second"), modified.Add(time.Hour))
	c := login(t, s)
	fetch(t, c, "/a", 2)
	refused, err := ftp.Dial(s.Addr())
	require.NoError(t, err)
	require.Error(t, refused.Login("collector", "wrong"))
	require.NoError(t, refused.Quit())

	served := s.Retrievals("a")
	require.Len(t, served, 1)
	e := served[0]
	assert.Equal(t, hashOf("second"), e.SHA256())
	assert.Equal(t, 2, e.Version.Number)
	assert.Equal(t, []int64{2, 4}, []int64{e.Offset, e.Sent})
	assert.Equal(t, "226 Transfer complete.", e.Reply)
	assert.Empty(t, e.Fault)
	assert.Equal(t, 1, s.Logins())
	assert.Equal(t, 1, s.RefusedLogins())
	assert.Equal(t, 1, s.Commands("PASS wrong"))
	assert.Equal(t, 2, s.Connections())
	eventually(t, func() bool { now, most := s.Sessions(); return now == 1 && most == 2 }, "one has gone")
	assert.Equal(t, []string{"USER collector", "PASS secret", "FEAT", "TYPE I"}, s.Lines()[:4])
}

func TestListings(t *testing.T) {
	east := time.FixedZone("east", 8*3600)
	now := time.Date(2024, 3, 10, 0, 0, 0, 0, time.UTC)
	opt := ftptest.Options{Location: east, Now: func() time.Time { return now }}
	tree := func(s *ftptest.Server) *wire {
		s.Put("/d/a", []byte("12345"), modified)
		s.Put("/d/old", nil, modified.AddDate(-1, 0, -1))
		s.Mkdir("/d/sub")
		s.Symlink("/d/up", "..")
		return dial(t, s)
	}
	lines := func(w *wire, command string) []string {
		text, final := w.transfer(command)
		assert.Equal(t, "226 Transfer complete.", final)
		return strings.Split(text, "\r\n")
	}
	w := tree(start(t, opt))
	assert.Equal(t, []string{
		"-rw-r--r--    1 ftp      ftp                 5 Feb 29 20:30 a",
		"-rw-r--r--    1 ftp      ftp                 0 Feb 28  2023 old",
		"drwxr-xr-x    1 ftp      ftp                 0 Mar 10 08:00 sub",
		"lrwxrwxrwx    1 ftp      ftp                 0 Mar 10 08:00 up -> ..", "",
	}, lines(w, "LIST -la /d"))
	assert.Equal(t, []string{
		"type=file;size=5;modify=20240229123015; a", "type=file;size=0;modify=20230228123015; old",
		"type=dir;size=0;modify=20240310000000; sub", "type=OS.unix=slink:..;size=0;modify=20240310000000; up", "",
	}, lines(w, "MLSD /d"))
	assert.Equal(t, []string{"a", "old", "sub", "up", ""}, lines(w, "NLST /d/up/d"))
	w.say("MDTM /d/a", "213 20240229123015")
	w.say("SIZE /d/up/d/a", "213 5")
	w.say("MLST /d/a", "250-")
	assert.Equal(t, " type=file;size=5;modify=20240229123015; /d/a", w.reply())
	assert.Equal(t, "250 End", w.reply())

	opt.Listing, opt.FollowLinks, opt.Without = ftptest.DOS, true, []string{"MLSD"}
	w = tree(start(t, opt))
	assert.Equal(t, []string{
		"02-29-24  08:30PM                    5 a", "02-28-23  08:30PM                    0 old",
		"03-10-24  08:00AM       <DIR>          sub", "03-10-24  08:00AM       <DIR>          up", "",
	}, lines(w, "LIST /d"))
	w.say("MLSD", "500")
	w.say("MLST", "500")
}

func TestLinksEndSomewhere(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Symlink("/loop", "/")
	s.Symlink("/self", "self")
	s.Put("/a", nil, modified)
	w := dial(t, s)
	w.say("CWD "+strings.Repeat("/loop", 40), "250")
	w.say("CWD "+strings.Repeat("/loop", 41), "550")
	w.say("CWD /self", "550")
	w.say("SIZE /loop/loop/a", "213 0")
}

func TestDenials(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte("1"), modified)
	s.Mkdir("/secret")
	s.Deny("/secret", "550 Permission denied.")
	s.Deny("/a", "450 In use.", "RETR")
	w := dial(t, s)
	w.say("CWD /secret", "550 Permission denied.")
	w.say("RETR a", "450 In use.")
	w.say("SIZE a", "213 1")
	s.Allow("/a")
	content, _ := w.transfer("RETR a")
	assert.Equal(t, "1", content)
}

func TestMaxSessions(t *testing.T) {
	s := start(t, ftptest.Options{MaxSessions: 2})
	first := dial(t, s)
	dial(t, s)
	assert.True(t, strings.HasPrefix(connect(t, s).reply(), "421 "))
	_ = first.Close()
	eventually(t, func() bool { now, _ := s.Sessions(); return now == 1 }, "a place is free")
	dial(t, s)
	_, most := s.Sessions()
	assert.Equal(t, 2, most)
	assert.Equal(t, 4, s.Connections())
}

func TestAFileLargerThanMemory(t *testing.T) {
	const size = 10 << 30
	s := start(t, ftptest.Options{})
	s.PutReader("/big", ftptest.Generated(7), size, modified)
	w := dial(t, s)
	w.say("SIZE /big", "213 10737418240")
	w.say("REST 10737417240", "350")
	content, final := w.transfer("RETR /big")
	assert.Equal(t, "226 Transfer complete.", final)
	want := make([]byte, 1000)
	_, err := ftptest.Generated(7).ReadAt(want, size-1000)
	require.NoError(t, err)
	assert.Equal(t, want, []byte(content))
}

func TestGeneratedContentIsTheSameHoweverItIsRead(t *testing.T) {
	whole := make([]byte, 1000)
	_, err := ftptest.Generated(1).ReadAt(whole, 0)
	require.NoError(t, err)
	for _, piece := range []int{1, 3, 7, 8, 9, 64} {
		var got []byte
		for offset := 0; offset < 1000; offset += piece {
			p := make([]byte, min(piece, 1000-offset))
			_, err := ftptest.Generated(1).ReadAt(p, int64(offset))
			require.NoError(t, err)
			got = append(got, p...)
		}
		assert.Equal(t, whole, got, piece)
	}
	other := make([]byte, 1000)
	_, err = ftptest.Generated(2).ReadAt(other, 0)
	require.NoError(t, err)
	assert.NotEqual(t, whole, other)
}

func TestRestartKeepsPortTreeReactionsAndLedger(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte("1"), modified)
	s.On("NOOP", ftptest.Say("200 mine"))
	addr := s.Addr()
	old := dial(t, s)
	require.NoError(t, s.Restart())
	_, err := old.in.ReadString('\n')
	require.Error(t, err)
	assert.Equal(t, addr, s.Addr())
	w := dial(t, s)
	w.say("NOOP", "200 mine")
	content, _ := w.transfer("RETR /a")
	assert.Equal(t, "1", content)
	assert.Equal(t, 2, s.Logins())

	s.Stop()
	s.Stop()
	_, err = net.Dial("tcp", addr)
	require.Error(t, err)
	require.NoError(t, s.Restart())
	dial(t, s)
}

func TestOneSessionAfterAnother(t *testing.T) {
	s := start(t, ftptest.Options{})
	for _, command := range []string{"RETR a", "LIST", "PWD", "DELE a"} {
		w := connect(t, s)
		require.Equal(t, "220 ready", w.reply())
		w.say(command, "530")
	}
	w := dial(t, s)
	w.say("RETR a", "550")
	w.say("LIST", "425")
	w.say("XYZZY", "500")
	w.say("AUTH TLS", "502")
	w.say("PROT P", "503")
	w.say("QUIT", "221")
	_, err := w.in.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
}

func TestCertificatesThatAClientMustRefuse(t *testing.T) {
	a := authority(t)
	for name, issue := range map[string]func() (ftptest.Identity, error){
		"expired": a.Expired, "wrong name": a.WrongName, "self-signed": ftptest.SelfSigned,
	} {
		id, err := issue()
		require.NoError(t, err)
		_, err = tls.X509KeyPair(id.CertPEM, id.KeyPEM)
		require.NoError(t, err)
		s := start(t, ftptest.Options{TLS: ftptest.TLSExplicit, Config: id.Config()})
		c, err := ftp.Dial(s.Addr(), ftp.DialWithExplicitTLS(clientTLS(a)))
		if err == nil {
			err = c.Login("collector", "secret")
			_ = c.Quit()
		}
		var refused *tls.CertificateVerificationError
		require.ErrorAs(t, err, &refused, name)
		assert.Zero(t, s.Commands("PASS"), name)

		valid, err := a.Valid()
		require.NoError(t, err)
		s.SetTLS(valid.Config())
		login(t, s, ftp.DialWithExplicitTLS(clientTLS(a)))
	}
}

func TestWhatATLSServerRequires(t *testing.T) {
	a := authority(t)
	id, err := a.Valid()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		opt  ftptest.Options
		dial func() []ftp.DialOption
		want string
	}{
		"the control session resumed": {
			ftptest.Options{RequireSessionReuse: true},
			func() []ftp.DialOption {
				config := clientTLS(a)
				config.ClientSessionCache = nil
				return []ftp.DialOption{ftp.DialWithExplicitTLS(config)}
			}, "522",
		},
		"TLS from the start": {ftptest.Options{RequireTLS: true}, func() []ftp.DialOption { return nil }, "530"},
		"data under TLS":     {ftptest.Options{RequireProtection: true}, func() []ftp.DialOption { return nil }, "522"},
		"a client certificate": {
			ftptest.Options{ClientCA: a.Pool()},
			func() []ftp.DialOption { return []ftp.DialOption{ftp.DialWithExplicitTLS(clientTLS(a))} }, "certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.opt.TLS, c.opt.Config = ftptest.TLSExplicit, id.Config()
			s := start(t, c.opt)
			s.Put("/a", []byte("1"), modified)
			conn, err := ftp.Dial(s.Addr(), c.dial()...)
			require.NoError(t, err)
			defer conn.Quit() //nolint:errcheck // it may have been hung up
			if err = conn.Login("collector", "secret"); err == nil {
				_, err = conn.List("/")
			}
			require.Error(t, err)
			if c.want != "530" { // whose code the library drops
				assert.ErrorContains(t, err, c.want)
			}
			assert.Zero(t, s.Commands("RETR"))
		})
	}
}

// TestTheSessionOfAnotherConnectionIsNotReused: a ticket of a second control connection is no proof.
func TestTheSessionOfAnotherConnectionIsNotReused(t *testing.T) {
	a := authority(t)
	id, err := a.Valid()
	require.NoError(t, err)
	s := start(t, ftptest.Options{TLS: ftptest.TLSExplicit, Config: id.Config(), RequireSessionReuse: true})
	shared := clientTLS(a)
	first := login(t, s, ftp.DialWithExplicitTLS(shared))
	_, err = first.List("/")
	require.NoError(t, err)
	login(t, s, ftp.DialWithExplicitTLS(shared)) // its ticket takes the place of the first one's
	_, err = first.List("/")
	require.ErrorContains(t, err, "522")
}
