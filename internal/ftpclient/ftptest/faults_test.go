package ftptest_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

const content = "line 1\nline 2\n"

// TestTransferFaults: what arrives, what is said in the end, and what the ledger says.
func TestTransferFaults(t *testing.T) {
	s := start(t, ftptest.Options{})
	now := make(chan struct{})
	close(now)
	for name, c := range map[string]struct {
		reaction                ftptest.Reaction
		content, final, version string
	}{
		"":                         {ftptest.Transfer(ftptest.Whole()...), content, "226 Transfer complete.", content},
		"cut":                      {ftptest.Cut(3, "451 disk error"), "lin", "451 disk error", content},
		"cut without close_notify": {ftptest.CutWithoutNotify(3, "226 done"), "lin", "226 done", content},
		"late final reply":         {ftptest.LateFinal(now), content, "226 Transfer complete.", content},
		"early final reply":        {ftptest.EarlyFinal(5, now), content, "226 Transfer complete.", content},
		"stall":                    {ftptest.Stall(5, now), content, "226 Transfer complete.", content},
		"drip":                     {ftptest.Slow(0), content, "226 Transfer complete.", content},
		"corrupt":                  {ftptest.Corrupt(0), "\x93" + content[1:], "226 Transfer complete.", content},
		"rewritten": {
			ftptest.Rewrite(5, "/a", []byte("LINE 1\nLINE 2\nLINE 3\n"), modified),
			"line 1\nLINE 2\nLINE 3\n"[:5] + "1\nLINE 2\nLINE 3\n", "226 Transfer complete.", "LINE 1\nLINE 2\nLINE 3\n",
		},
		"replaced":  {ftptest.Replace(5, "/a", []byte("other"), modified), content, "226 Transfer complete.", content},
		"my fault":  {ftptest.Named("my fault", ftptest.Send("x", "250 ok")), "x", "250 ok", ""},
		"hung up":   {ftptest.Named("hung up", ftptest.Transfer(ftptest.Rest(), ftptest.Close(), ftptest.HangUp())), content, "", content},
		"left out":  {ftptest.Named("left out", ftptest.Transfer(append([]ftptest.Step{ftptest.Skip(7)}, ftptest.Whole()...)...)), content[7:], "226 Transfer complete.", content},
		"nothing":   {ftptest.Named("nothing", ftptest.Cut(0, "522 no session reuse")), "", "522 no session reuse", content},
		"all but 3": {ftptest.Named("all but 3", ftptest.Transfer(ftptest.AllBut(3), ftptest.Close(), ftptest.Reply("226 ok"))), content[:len(content)-3], "226 ok", content},
	} {
		t.Run(name, func(t *testing.T) {
			s.Put("/a", []byte(content), modified)
			s.On("RETR", c.reaction)
			got, final := dial(t, s).transfer("RETR /a")
			assert.Equal(t, c.content, got)
			assert.Equal(t, c.final, final)
			events := s.Retrievals("/a")
			e := events[len(events)-1]
			assert.EqualValues(t, len(got), e.Sent)
			assert.Equal(t, final, e.Reply[:min(len(final), len(e.Reply))])
			if name != "nothing" {
				assert.Equal(t, name, e.Fault)
			}
			if c.version == "" {
				assert.Empty(t, e.SHA256())
				return
			}
			assert.Equal(t, hashOf(c.version), e.SHA256())
		})
	}
}

// TestWaitsEnd: whatever waits ends when the client leaves, by ABOR, or with Stop.
func TestWaitsEnd(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte(content), modified)
	s.On("RETR", ftptest.Stall(3, nil))
	s.On("NOOP", nil)
	s.On("SYST", ftptest.Delayed(nil, ftptest.Say("215 late")))
	stall := func() (*wire, net.Conn) {
		w := dial(t, s)
		data := w.open()
		w.say("RETR /a", "150")
		_, err := io.ReadFull(data, make([]byte, 3))
		require.NoError(t, err)
		return w, data
	}
	w, _ := stall()
	w.say("ABOR", "426")
	assert.Equal(t, "226 Abort successful.", w.reply())
	w.say("PWD", "257")

	_ = w.Close()
	w, _ = stall()
	_ = w.Close()
	eventually(t, func() bool { now, _ := s.Sessions(); return now == 0 }, "a client that leaves")

	stall()
	dial(t, s).send("NOOP")
	dial(t, s).send("SYST")
	w = dial(t, s)
	w.say("EPSV", "229") // and nobody connects
	s.On("RETR", ftptest.Transfer(ftptest.Whole()...))
	w.say("RETR /a", "150")
	eventually(t, func() bool { return s.Commands("SYST") == 1 && s.Commands("NOOP") == 1 }, "all wait")
	s.Stop()
	now, _ := s.Sessions()
	assert.Zero(t, now)
}

func TestNoFinalReply(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte(content), modified)
	s.On("RETR", ftptest.NoFinal())
	w := dial(t, s)
	data := w.open()
	w.say("RETR /a", "150")
	got, err := io.ReadAll(data)
	require.NoError(t, err)
	assert.Equal(t, content, string(got))
	w.say("PWD", "257") // the next reply is that of the next command
	assert.Equal(t, "150 Here it comes.", s.Retrievals("/a")[0].Reply)
}

func TestResets(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte(content), modified)
	release := make(chan struct{})
	s.On("RETR", ftptest.CutByReset(3, release, "426 broken"))
	s.On("NOOP", ftptest.Reset)
	w := dial(t, s)
	data := w.open()
	w.say("RETR /a", "150")
	_, err := io.ReadFull(data, make([]byte, 3))
	require.NoError(t, err)
	close(release)
	_, err = data.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	assert.Equal(t, "426 broken", w.reply())
	w.send("NOOP")
	_, err = w.in.ReadString('\n')
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestEndlessThings(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte(content), modified)
	s.On("RETR", ftptest.Excess(-1))
	s.On("NOOP", ftptest.EndlessReply("200-and"))
	s.On("SYST", ftptest.LongReply(215, 10<<20))
	w := dial(t, s)
	data := w.open()
	w.say("RETR /a", "150")
	_, err := io.CopyN(io.Discard, data, 10<<20)
	require.NoError(t, err)
	_ = data.Close()
	assert.True(t, strings.HasPrefix(w.reply(), "426 "))
	line := w.say("SYST", "215 xxx")
	assert.GreaterOrEqual(t, len(line), 10<<20)
	w.send("NOOP")
	for range 100_000 {
		require.Equal(t, "200-and", w.reply())
	}
}

func TestGreetings(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.On("greeting", ftptest.SlowReply("220 slowly", time.Microsecond))
	assert.Equal(t, "220 slowly", connect(t, s).reply())
	s.On("greeting", ftptest.SayAndHangUp("421 too many connections"))
	w := connect(t, s)
	assert.Equal(t, "421 too many connections", w.reply())
	_, err := w.in.ReadString('\n')
	require.Error(t, err)
	s.On("greeting", ftptest.Disconnect)
	_, err = connect(t, s).in.ReadString('\n')
	require.Error(t, err)
	s.On("greeting", nil)
	w = connect(t, s)
	w.say("NOOP", "200")
	s.Off("greeting")
	dial(t, s)
}

func TestReactionsAroundReactions(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte("1"), modified)
	s.Put("/b", []byte("2"), modified)
	s.On("SIZE", ftptest.ForPath("/a", ftptest.First(1, ftptest.Say("450 busy"), ftptest.Default("SIZE")), ftptest.Default("SIZE")))
	s.On("MDTM", ftptest.After(time.Nanosecond, ftptest.Default("MDTM")))
	w := dial(t, s)
	w.say("SIZE b", "213 1")
	w.say("SIZE a", "450 busy")
	w.say("SIZE a", "213 1")
	w.say("MDTM a", "213 ")
}

func TestOffsetsThatAreNotHonoured(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte(content), modified)
	w := dial(t, s)
	for _, c := range []struct {
		rest ftptest.Reaction
		want string
	}{
		{ftptest.Default("REST"), content[5:]},
		{ftptest.Say("350 ok"), content},
		{ftptest.ShiftREST(1), content[6:]},
		{ftptest.ShiftREST(-6), content},
	} {
		s.On("REST", c.rest)
		w.say("REST 5", "350")
		got, _ := w.transfer("RETR /a")
		assert.Equal(t, c.want, got)
	}
	s.Off("REST")
	w.say("REST 100", "350")
	w.open()
	w.say("RETR /a", "554")
	got, _ := w.transfer("RETR /a")
	assert.Equal(t, content, got, "an offset holds for one transfer")
}

func TestASCIIMangles(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", []byte(content), modified)
	w := dial(t, s)
	w.say("TYPE A", "200")
	s.On("TYPE", ftptest.Say("200 Type set to I"))
	w.say("TYPE I", "200")
	got, _ := w.transfer("RETR /a")
	assert.Equal(t, "line 1\r\nline 2\r\n", got)
	assert.Equal(t, "ASCII", s.Retrievals("/a")[0].Fault)
}

func TestListingFaults(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.Put("/a", nil, modified)
	w := dial(t, s)
	proper, _ := w.transfer("MLSD")

	s.On("MLSD", ftptest.Gibberish("???", strings.Repeat("x", 70<<10)))
	got, _ := w.transfer("MLSD")
	assert.Equal(t, proper+"???\r\n"+strings.Repeat("x", 70<<10)+"\r\n", got)
	s.On("MLSD", ftptest.Cut(10, "226 done"))
	got, final := w.transfer("MLSD")
	assert.Equal(t, proper[:10], got)
	assert.Equal(t, "226 done", final)
	s.On("MLSD", ftptest.Say("500 what?"))
	w.say("MLSD", "500")
	w.say("LIST /none", "550")
}

func TestAMillionEntries(t *testing.T) {
	const n = 1_000_000
	s := start(t, ftptest.Options{})
	s.On("MLSD", ftptest.Entries(n, func(i int) ftptest.Info {
		return ftptest.Info{Name: fmt.Sprintf("f%07d", i), Size: int64(i), Modified: modified}
	}, "226 done"))
	got, final := dial(t, s).transfer("MLSD")
	assert.Equal(t, n, strings.Count(got, "\r\n"))
	assert.True(t, strings.HasSuffix(got, "type=file;size=999999;modify=20240229123015; f0999999\r\n"))
	assert.Equal(t, "226 done", final)
}

func TestPassivePorts(t *testing.T) {
	s := start(t, ftptest.Options{})
	s.On("PASV", ftptest.PassiveHost("192.0.2.1"))
	w := dial(t, s)
	w.say("PASV", "227 Entering Passive Mode (192,0,2,1,")
	s.On("EPSV", ftptest.PassivePort(22))
	w.say("EPSV", "229 Entering Extended Passive Mode (|||22|)")

	_, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ftptest.ClosedPort(t)))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)

	hole, err := ftptest.NewBlackhole()
	require.NoError(t, err)
	defer func() { assert.NoError(t, hole.Close()) }()
	_, err = net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", hole.Port()), 100*time.Millisecond)
	var network net.Error
	require.True(t, errors.As(err, &network) && network.Timeout(), "%v", err)
}

func TestPausedServer(t *testing.T) {
	s := start(t, ftptest.Options{})
	w := dial(t, s)
	s.Pause()
	w.send("NOOP")
	late := connect(t, s)
	eventually(t, func() bool { return s.Commands("NOOP") == 1 && s.Connections() == 2 }, "both wait")
	assert.Empty(t, s.Ledger()[len(s.Ledger())-1].Reply)
	s.Resume()
	assert.Equal(t, "200 ok", w.reply())
	assert.Equal(t, "220 ready", late.reply())
	s.Pause()
	w.send("NOOP") // and Stop ends it
}

func TestForgottenAndHungUpSessions(t *testing.T) {
	s := start(t, ftptest.Options{})
	w := dial(t, s)
	s.Forget()
	w.send("NOOP")
	eventually(t, func() bool { return s.Commands("NOOP") == 1 }, "it was heard")
	other := dial(t, s)
	other.say("NOOP", "200")
	require.NoError(t, w.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := w.in.ReadString('\n')
	var network net.Error
	require.True(t, errors.As(err, &network) && network.Timeout(), "neither answered nor closed")
	s.HangUp()
	_, err = other.in.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
	eventually(t, func() bool { now, _ := s.Sessions(); return now == 0 }, "all have gone")
}

// TestACutUnderTLS looks like an end to Go's TLS, which is why it is a fault to test against.
func TestACutUnderTLS(t *testing.T) {
	a := authority(t)
	id, err := a.Valid()
	require.NoError(t, err)
	s := start(t, ftptest.Options{TLS: ftptest.TLSImplicit, Config: id.Config()})
	s.Put("/a", []byte(content), modified)
	s.On("RETR", ftptest.CutWithoutNotify(3, "226 done"))
	c := login(t, s, ftp.DialWithTLS(clientTLS(a)))
	assert.Equal(t, "lin", fetch(t, c, "/a", 0))

	s.On("RETR", func(s *ftptest.Session, _ string) { // somebody else answers at the data port
		s.Say("150 here it comes")
		data, err := s.OpenClearData()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(data, "not TLS")
			_ = data.Close()
		}
		s.Say("226 done")
	})
	body, err := c.Retr("/a")
	require.NoError(t, err)
	_, err = io.ReadAll(body)
	var notTLS tls.RecordHeaderError
	require.ErrorAs(t, err, &notTLS)
	require.NoError(t, body.Close())
}
