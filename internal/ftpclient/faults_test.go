package ftpclient_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

type (
	reactions = map[string]ftptest.Reaction
	reaction  = ftptest.Reaction
	session   = ftptest.Session
)

var (
	say  = ftptest.Say
	send = ftptest.Send
	mlst = say("211-Features:\r\n MLST type*;size*;modify*;\r\n211 End")
)

func TestDialFaults(t *testing.T) {
	for name, c := range map[string]struct {
		reactions reactions
		want      error
	}{
		"120 greeting":            {reactions{"greeting": say("120 ready in 5 minutes")}, ftpclient.ErrBusy},
		"421 at USER, two lines":  {reactions{"USER": say("421-Too many users\r\n421 bye")}, ftpclient.ErrBusy},
		"530 at USER, two lines":  {reactions{"USER": say("530-Too many users\r\n530 bye")}, ftpclient.ErrBusy},
		"530 failed because full": {reactions{"PASS": say("530 Login failed: too many connections")}, ftpclient.ErrBusy},
		"421 at USER":             {reactions{"USER": say("421 Service not available")}, ftpclient.ErrBusy},
		"530 full at USER":        {reactions{"USER": say("530 Too many users, try later")}, ftpclient.ErrBusy},
		"530 full at PASS":        {reactions{"PASS": say("530 maximum number of connections reached")}, ftpclient.ErrBusy},
		"530 at USER":             {reactions{"USER": say("530 who are you?")}, ftpclient.ErrLoginRefused},
		"530 at PASS":             {reactions{"PASS": say("530 Login incorrect.")}, ftpclient.ErrLoginRefused},
		"530 too many failures":   {reactions{"PASS": say("530 Too many failed attempts")}, ftpclient.ErrLoginRefused},
		"430":                     {reactions{"PASS": say("430 Invalid username or password")}, ftpclient.ErrLoginRefused},
		"332":                     {reactions{"PASS": say("332 account?")}, ftpclient.ErrLoginRefused},
		"500 at PASS":             {reactions{"PASS": say("500 no")}, ftpclient.ErrLoginRefused},
		"nonsense":                {reactions{"greeting": say("hello there")}, ftpclient.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ftpclient.Dial(ctx, startScript(t, c.reactions).options())
			require.ErrorIs(t, err, c.want)
			assert.NotContains(t, err.Error(), testPassword)
			assert.Contains(t, err.Error(), "branch-001")
		})
	}
}

func TestAnEchoedPasswordIsRemoved(t *testing.T) {
	opt := startScript(t, reactions{"PASS": func(s *session, arg string) { s.Say("530 no entry with " + arg) }}).options()
	_, err := ftpclient.Dial(ctx, opt)
	require.ErrorIs(t, err, ftpclient.ErrLoginRefused)
	assert.Contains(t, err.Error(), "no entry with ***")
}

func TestRetrieveFaults(t *testing.T) {
	size := func(n int) ftptest.Reaction { return say(fmt.Sprintf("213 %d ", n)) } // a blank at the end, as some servers do
	for name, c := range map[string]struct {
		reactions reactions
		want      error
		n         int64
	}{
		"whole, 226":                 {reactions{"RETR": send("12345", "226 done")}, nil, 5},
		"whole, 250":                 {reactions{"RETR": send("12345", "250 done")}, nil, 5},
		"short with 226, no SIZE":    {reactions{"RETR": send("123", "226 done")}, ftpclient.ErrTruncated, 3},
		"whole with 426":             {reactions{"RETR": send("12345", "426 aborted"), "SIZE": size(5)}, ftpclient.ErrTruncated, 5},
		"whole with 451":             {reactions{"RETR": send("12345", "451 disk error"), "SIZE": size(5)}, ftpclient.ErrTruncated, 5},
		"whole with 421":             {reactions{"RETR": send("12345", "421 shutting down")}, ftpclient.ErrBusy, 5},
		"shrunk":                     {reactions{"RETR": send("123", "226 done"), "SIZE": size(3)}, ftpclient.ErrChanged, 3},
		"找不到":                        {reactions{"RETR": say("550 系统找不到指定的文件。")}, ftpclient.ErrNotFound, 0},
		"vague, but there":           {reactions{"RETR": say("550 Failed to open file."), "SIZE": size(5)}, ftpclient.ErrDenied, 0},
		"vague, and gone":            {reactions{"RETR": say("550 Failed to open file."), "SIZE": say("550 no")}, ftpclient.ErrNotFound, 0},
		"vague, and SIZE unknown":    {reactions{"RETR": say("550 Failed to open file.")}, ftpclient.ErrDenied, 0},
		"vague, then silence":        {reactions{"RETR": say("550 Failed to open file."), "SIZE": ftptest.Disconnect}, ftpclient.ErrBroken, 0},
		"no data connection":         {reactions{"RETR": say("425 cannot open")}, ftpclient.ErrBroken, 0},
		"panicking reply":            {reactions{"EPSV": say("500 no"), "PASV": say("227 )(")}, ftpclient.ErrProtocol, 0},
		"nonsense for EPSV and PASV": {reactions{"EPSV": say("229 ok (|||)"), "PASV": say("227 (1,2)")}, ftpclient.ErrProtocol, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, startScript(t, c.reactions).options())
			var b bytes.Buffer
			n, err := retrieve(conn, "/a", 5, &b)
			assert.Equal(t, c.n, n)
			assert.Equal(t, c.n, conn.Delivered())
			assert.True(t, strings.HasPrefix("12345", b.String()), "never more than was listed: %q", b.String())
			if c.want == nil {
				require.NoError(t, err)
				assert.True(t, conn.Usable())
				return
			}
			require.ErrorIs(t, err, c.want)
			assert.False(t, conn.Usable())
		})
	}
}

var (
	someDataThenSilence = ftptest.Invented(ftptest.Text("123"), ftptest.Wait(nil))
	hangUpAfterData     = ftptest.Invented(ftptest.Text("12345"), ftptest.Close(), ftptest.HangUp())
)

func TestFirstCommandsOfATransfer(t *testing.T) {
	sc := startScript(t, reactions{"RETR": send("12345", "226 done"), "LIST": send("", "226 done")})
	c := dial(t, sc.options())
	for range 2 {
		_, err := retrieve(c, "/a b", 5, io.Discard)
		require.NoError(t, err)
	}
	_, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/-x"})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	eventually(t, func() bool { return sc.Commands("QUIT") == 1 }, "QUIT")
	assert.Equal(t, []string{
		"USER " + testUser, "PASS " + testPassword, "FEAT", "TYPE I", "EPSV", "RETR /a b", "SIZE /a b", "EPSV", "RETR /a b", "SIZE /a b",
		"CWD /-x", "EPSV", "LIST", "QUIT",
	}, sc.Lines(), "no round trip that is not needed")
}

func TestUTF8IsAskedForOnlyWhenWanted(t *testing.T) {
	feat := reactions{"FEAT": say("211-Features:\r\n UTF8\r\n211 End"), "OPTS": say("200 ok")}
	for encoding, want := range map[string]int{"": 1, "UTF8": 1, "gbk": 0} {
		sc := startScript(t, feat)
		opt := sc.options()
		opt.Encoding = encoding
		dial(t, opt)
		assert.Equal(t, want, sc.Commands("OPTS UTF8 ON"), encoding)
	}
}

func TestUnparsedLinesAreCappedButCounted(t *testing.T) {
	listing := strings.Repeat("???\r\n", ftpclient.MaxUnparsed+50)
	l, err := dial(t, startScript(t, reactions{"LIST": send(listing, "226 done")}).options()).
		ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
	require.NoError(t, err)
	assert.Len(t, l.Unparsed, ftpclient.MaxUnparsed)
	assert.Equal(t, ftpclient.MaxUnparsed+50, l.Lines)
}

func TestListMLSD(t *testing.T) {
	listing := "type=cdir;modify=20240105100000; /out\r\n" +
		"type=pdir; ..\r\n" +
		"Type=FILE;Size=1024;Modify=20240105100000; a\r\n" +
		"type=OS.unix=slink:/etc;size=5; link\r\n" +
		"type=file;size=7; /out/full path\r\n" +
		"type=dir; /out\r\n"
	sc := startScript(t, reactions{"FEAT": mlst, "MLSD": send(listing, "226 done")})
	l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/out"})
	require.NoError(t, err)
	require.Len(t, l.Entries, 4)
	assert.Equal(t, "/out/a", l.Entries[0].RawPath)
	assert.Equal(t, int64(1024), l.Entries[0].Size)
	assert.Equal(t, "symlink", l.Entries[1].Special)
	assert.Equal(t, "/out/full path", l.Entries[2].RawPath)
	assert.Equal(t, "unsafe_name", l.Entries[3].Special, "a directory of that name would be entered for ever")
	assert.Equal(t, 2, l.Noise)
}

func TestUnreadableSubdirectoryIsReportedNotSkipped(t *testing.T) {
	root := "drwxr-xr-x 2 u g 1 Jan  5  2024 secret\r\ndrwxr-xr-x 2 u g 1 Jan  5  2024 hollow\r\n" +
		"drwxr-xr-x 2 u g 1 Jan  5  2024 locked\r\ndrwxr-xr-x 2 u g 1 Jan  5  2024 open\r\n"
	var dir atomic.Value
	sc := startScript(t, reactions{
		"CWD": func(s *session, arg string) {
			dir.Store(arg)
			if arg == "/secret" {
				s.Say("550 Failed to change directory.")
				return
			}
			s.Say("200 fine")
		},
		"LIST": func(s *session, arg string) {
			switch dir.Load() {
			case "/hollow":
				send("", "226 Transfer done (but failed to open directory).")(s, arg)
			case "/locked":
				s.Say("450 try again")
			case "/open":
				send("-rw-r--r-- 1 u g 5 Jan  5  2024 a\r\n", "250 done")(s, arg)
			default:
				send(root, "226 done")(s, arg)
			}
		},
	})
	l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.NoError(t, err)
	specials := map[string]string{}
	for _, e := range l.Entries {
		specials[e.RawPath] = e.Special
	}
	assert.Equal(t, map[string]string{
		"/secret": "unreadable", "/hollow": "unreadable", "/locked": "unreadable", "/open/a": "",
	}, specials)
	assert.Equal(t, 5, l.Lines)
	assert.Equal(t, 1, l.Noise)

	_, err = dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/hollow"})
	assert.ErrorIs(t, err, ftpclient.ErrDenied)
}

func TestNoPartOfATreeIsTakenForTheWhole(t *testing.T) {
	sc := startScript(t, reactions{
		"CWD": func(s *session, arg string) {
			if arg == "/sub" {
				s.HangUp()
				return
			}
			s.Say("250 ok")
		},
		"LIST": send("-rw-r--r-- 1 u g 5 Jan  5  2024 a\r\ndrwxr-xr-x 2 u g 1 Jan  5  2024 sub\r\n", "226 done"),
	})
	l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.ErrorIs(t, err, ftpclient.ErrBroken)
	assert.Empty(t, l.Entries)
}

func TestListFaults(t *testing.T) {
	for name, c := range map[string]struct {
		list ftptest.Reaction
		want error
	}{
		"denied":               {say("550 Permission denied"), ftpclient.ErrDenied},
		"nothing transferred":  {say("226 done"), ftpclient.ErrProtocol},
		"no files is no error": {say("550 No files found."), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := dial(t, startScript(t, reactions{"LIST": c.list}).options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
			require.ErrorIs(t, err, c.want)
			assert.Empty(t, l.Entries)
		})
	}
}

func TestActionsThatAnswerUnusually(t *testing.T) {
	sc := startScript(t, reactions{
		"DELE": say("200 deleted"), "RNFR": say("350 go on"), "RNTO": say("200 renamed"), "MKD": say("200 made"),
		"SIZE": say("213 5"),
	})
	c := dial(t, sc.options())
	require.NoError(t, c.Delete(ctx, "/a"))
	require.NoError(t, c.Rename(ctx, "/a", "/b"))
	require.NoError(t, c.MakeDir(ctx, "/d"))
	_, modified, err := c.Stat(ctx, "/a")
	require.NoError(t, err)
	assert.True(t, modified.IsZero(), "no MDTM, no time")
}

func TestRefusedActions(t *testing.T) {
	sc := startScript(t, reactions{
		"DELE": say("550 Delete operation failed."), "RNFR": say("200 what?"), "MKD": say("550 Create directory operation failed."),
		"CWD": say("550 Failed to change directory."), "SIZE": say("213 5"),
	})
	assert.ErrorIs(t, dial(t, sc.options()).Delete(ctx, "/a"), ftpclient.ErrDenied, "it is still there")
	assert.ErrorIs(t, dial(t, sc.options()).Rename(ctx, "/a", "/b"), ftpclient.ErrProtocol, "RNTO was never sent")
	assert.Zero(t, sc.Commands("RNTO"))
	assert.Error(t, dial(t, sc.options()).MakeDir(ctx, "/d"))

	sc = startScript(t, reactions{
		"RNFR": say("350 go on"), "RNTO": say("550 Rename failed."),
		"CWD": func(s *session, arg string) { s.Say(map[bool]string{true: "250 ok", false: "550 no"}[arg == "/there"]) },
	})
	assert.ErrorIs(t, dial(t, sc.options()).Rename(ctx, "/a", "/nowhere/b"), ftpclient.ErrNotFound)
	assert.ErrorIs(t, dial(t, sc.options()).Rename(ctx, "/a", "/there/b"), ftpclient.ErrDenied)
}

func TestCancelClosesWhatItWaitsFor(t *testing.T) {
	for name, c := range map[string]struct {
		reactions reactions
		run       func(context.Context, ftpclient.Options) error
		at        string
	}{
		"greeting": {reactions{"USER": nil}, func(ctx context.Context, opt ftpclient.Options) error {
			_, err := ftpclient.Dial(ctx, opt)
			return err
		}, "USER"},
		"listing": {reactions{"LIST": nil}, func(ctx context.Context, opt ftpclient.Options) error {
			c, err := ftpclient.Dial(ctx, opt)
			if err == nil {
				_, err = c.ListAll(ctx, ftpclient.ListQuery{})
			}
			return err
		}, "LIST"},
		"data": {reactions{"RETR": someDataThenSilence}, func(ctx context.Context, opt ftpclient.Options) error {
			c, err := ftpclient.Dial(ctx, opt)
			if err == nil {
				_, err = c.Retrieve(ctx, ftpclient.Want{RawPath: "/a", Size: 5}, io.Discard)
			}
			return err
		}, "RETR"},
	} {
		t.Run(name, func(t *testing.T) {
			sc := startScript(t, c.reactions)
			cancelled, cancel := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- c.run(cancelled, sc.options()) }()
			eventually(t, func() bool { return sc.Commands(c.at) == 1 }, "it waits")
			cancel()
			err := <-ended
			require.ErrorIs(t, err, context.Canceled)
			assert.NotErrorIs(t, err, ftpclient.ErrBroken)
			eventually(t, func() bool { return sc.live() == 0 }, "the control connection is closed")
		})
	}
}

func TestAFinishedContextLeavesTheConnectionInOrder(t *testing.T) {
	sc := startScript(t, reactions{"DELE": say("250 ok")})
	c := dial(t, sc.options())
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, c.Delete(cancelled, "/a"), context.Canceled)
	require.NoError(t, c.Delete(ctx, "/b"))
	assert.Zero(t, sc.Commands("DELE /a"))
}
