package ftpclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/ftpclient"
)

func FuzzParseMLSD(f *testing.F) {
	for _, seed := range []string{
		"type=file;size=1024;modify=20240105100000; a.csv", "Type=DIR;Sizd=4096;Modify=20240105100000.123; d", "type=cdir; /out",
		"type=OS.unix=slink:/with blanks;size=11; l", "type=file;size=1 a; b", "type=file;size=1;UNIX.ownername=Domain Users; a",
		"type=file;size=-1;;  a", "type=file;size=1;modify=19124; \xb1\xa8", " name only",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) { checkLine(t, line, ftpclient.ParseMLSD, ftpclient.ParseList) })
}

func FuzzParseList(f *testing.F) {
	for _, seed := range []string{
		"-rw-r--r--. 1 u g 5 Jan  5  2024 a", "lrwxrwxrwx 1 u g 4 Jan  5 10:00 l -> a", "drwxr-xr-x 1 Domain Users 5 Feb 29 23:59:59 d",
		"brw-rw---- 1 root disk 8, 0 Jan  5  2024 sda", "-rw-r--r-- 1 u g ? Jan  5  2024 a", "-rw-r--r-- 1 u g 5 1月  5 10:00 a",
		"-rw-r--r-- 1 u g 5 2024\xc4\xea1\xd4\xc25\xc8\xd5 10:00 a", "-rw-r--r-- 1 u g 5 2024-01-05 10:00:07.123456789 +0800 a",
		"-rw-r--r-- 1 u g 5 2024-01-05  a", "-rw-r--r-- 1 u g 5 01-05 10:00 a", "-rw-r--r-- 1 u g 5 Thu Jan  5 10:00:00 2024 a",
		"01-05-24  10:00AM       <DIR>          sub", "2024/01/05  22:00  1,024 a", "01-05-24  10:00AM  <JUNCTION>  l [C:\\]", "total 12",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) { checkLine(t, line, ftpclient.ParseList, ftpclient.ParseMLSD) })
}

// checkLine: whatever a server sends, nothing panics, and what is understood has a name from that very line, a size or none,
// and a time that there can be; never do two formats claim one line.
func checkLine(t *testing.T, line string, parse, other func(string, time.Time) (understood, bool)) {
	got, ok := parse(line, now)
	again, okAgain := parse(line, now)
	assert.Equal(t, ok, okAgain)
	assert.Equal(t, got, again)
	if !ok {
		return
	}
	_, both := other(line, now)
	assert.False(t, both, "another format claims it, too")
	assert.False(t, ftpclient.IsHeading(line), "it is a heading, too")
	assert.NotEmpty(t, got.Name)
	assert.Contains(t, line, got.Name)
	assert.True(t, got.Kind == "link" || strings.HasSuffix(line, got.Name))
	assert.GreaterOrEqual(t, got.Size, int64(-1))
	assert.Equal(t, got.Precision == 0, got.Modified.IsZero())
	if !got.Modified.IsZero() {
		assert.True(t, 1600 <= got.Modified.Year() && got.Modified.Year() <= 9999, got.Modified)
		assert.Equal(t, time.UTC, got.Modified.Location())
	}
}

// FuzzListing: whatever a listing holds, its lines add up, and it does not matter in which portions they arrive.
func FuzzListing(f *testing.F) {
	for _, seed := range []string{
		"total 12\r\n" + unixDir + ".\r\n" + unixDir + "sub\r\n" + unixFile + "a\r\n" + unixFile + "a\r\n\r\n?\r\n" + unixFile + "half",
		"type=cdir; /out\r\ntype=pdir; ..\r\ntype=dir; sub\r\ntype=file; a\r\ntype=file;size=1; /out/b\r\ntype=dir; x/y\r\ntype=OS.unix=slink:x; l\r\n",
		"01-05-24  10:00AM  <DIR>  sub\n01-05-24  10:00AM  5 a\rb\n\n\n", "\n", "",
	} {
		for i := range 4 {
			f.Add([]byte(seed), i%2 == 0, i/2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, mlsd, recursive bool) {
		q := ftpclient.ListQuery{Dir: "/out", Recursive: recursive, MaxDepth: 2, MaxDirectories: 20, MaxEntries: 500}
		whole, err := ftpclient.Walk(func() io.Reader { return bytes.NewReader(text) }, mlsd, q)
		inBytes, byteErr := ftpclient.Walk(func() io.Reader { return iotest.OneByteReader(bytes.NewReader(text)) }, mlsd, q)
		assert.Equal(t, whole, inBytes)
		assert.Equal(t, fmt.Sprint(err), fmt.Sprint(byteErr))
		for _, e := range whole.Entries {
			assert.True(t, strings.HasPrefix(e.RawPath, "/out/"), e.RawPath)
			assert.Contains(t, string(text), e.Line)
			assert.Equal(t, e.Special == "no_size", e.Size < 0)
		}
		if err != nil {
			assert.True(t, errors.Is(err, ftpclient.ErrTooMany) || mlsd && errors.Is(err, ftpclient.ErrProtocol), err)
			return
		}
		lines := bytes.Count(text, []byte("\n"))
		if len(text) > 0 && text[len(text)-1] != '\n' {
			lines++
		}
		assert.Equal(t, lines*whole.Directories, whole.Lines)
		assert.Equal(t, whole.Lines, len(whole.Entries)+whole.Noise+whole.Duplicates+whole.UnparsedLines)
	})
}

// Two sessions as FuzzReplies reads them: the greeting and then a reply for each command, separated by NUL.
const (
	listSession = "220 hi\r\n\x00331 password\r\n\x00230 in\r\n\x00211-Features\r\n MLST type*;\r\n211 End\r\n\x00200 ok\r\n\x00" +
		"250 ok\r\n\x00229 ok (|||1|)\r\n\x00150 go\r\n226 done\r\n\x00213 5\r\n\x00" +
		"250 ok\r\n\x00229 ok (|||1|)\r\n\x00150 go\r\n226 done\r\n\x00213 5\r\n\x00221 bye\r\n"
	retrieveSession = "220-hi\r\n220 there\r\n\x00331 password\r\n\x00230 in\r\n\x00500 what?\r\n\x00200 ok\r\n\x00500 no EPSV\r\n\x00" +
		"227 ok (127,0,0,1,4,5)\r\n\x00150 go\r\n226 done\r\n\x00213 5\r\n\x00213 20240105100000\r\n\x00" +
		"250 ok\r\n\x00350 go on\r\n\x00250 ok\r\n\x00221 bye\r\n"
)

// FuzzReplies: whatever a server answers, every call returns, with success or one error of this package that does not tell
// the password, and leaves no goroutine behind.
func FuzzReplies(f *testing.F) {
	f.Add([]byte(listSession), []byte("type=dir; sub\r\ntype=file;size=5; a\r\ntype=file; b\r\n"), byte(0), false)
	f.Add([]byte(strings.ReplaceAll(listSession, " MLST type*;\r\n", "")), []byte(unixDir+"sub\r\n"+unixFile+"a\r\n"), byte(0), false)
	f.Add([]byte(retrieveSession), []byte("12345"), byte(1), false)
	f.Add([]byte(retrieveSession), []byte("123"), byte(1), false)
	f.Add([]byte(retrieveSession), []byte(""), byte(2), false)
	f.Add([]byte("220 hi\r\n\x00331 password\r\n\x00530 not "+testPassword+"\r\n"), []byte(""), byte(0), false)
	f.Add([]byte("220 hi\r\n\x00"), []byte(""), byte(0), true)
	f.Fuzz(func(t *testing.T, replies, data []byte, calls byte, mute bool) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		s := startParrot(t, replies, data, mute)
		defer s.stop()
		opt := optionsFor(s.control.Addr().(*net.TCPAddr).Port)
		opt.ConnectTimeout, opt.IdleTimeout = 500*time.Millisecond, 20*time.Millisecond
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			talk(t, opt, calls)
		}()
		select {
		case <-returned:
		case <-time.After(30 * time.Second):
			panic("a call does not return")
		}
	})
}

func talk(t *testing.T, opt ftpclient.Options, calls byte) {
	c, err := ftpclient.Dial(ctx, opt)
	checkError(t, err)
	if err != nil {
		return
	}
	defer func() { checkError(t, c.Close()) }()
	switch calls % 3 {
	case 0:
		q := ftpclient.ListQuery{Dir: "out", Recursive: true, MaxDepth: 3, MaxDirectories: 20}
		if calls%2 == 0 {
			q.Dir = "/"
		}
		_, err = c.ListAll(ctx, q)
	case 1:
		var b bytes.Buffer
		if _, err = c.Retrieve(ctx, ftpclient.Want{RawPath: "/a", Size: 5}, &b); err == nil {
			assert.Equal(t, 5, b.Len())
		}
		checkError(t, err)
		_, _, err = c.Stat(ctx, "/a")
		checkError(t, err)
		err = c.Delete(ctx, "/a")
	case 2:
		_, err = c.Exists(ctx, "/a")
		checkError(t, err)
		checkError(t, c.Rename(ctx, "/a", "/b"))
		err = c.MakeDir(ctx, "/d")
	}
	checkError(t, err)
}

// checkError: an error is exactly one of this package's.
func checkError(t *testing.T, err error) {
	if err == nil {
		return
	}
	var kinds []error
	for _, kind := range []error{
		ftpclient.ErrUnreachable, ftpclient.ErrLoginRefused, ftpclient.ErrBusy, ftpclient.ErrNotFound, ftpclient.ErrDenied,
		ftpclient.ErrTruncated, ftpclient.ErrChanged, ftpclient.ErrProtocol, ftpclient.ErrUntrusted, ftpclient.ErrTooMany,
		ftpclient.ErrBroken, ftpclient.ErrStalled, ftpclient.ErrFileBusy, ftpclient.ErrUnconfirmed, ftpclient.ErrMislisted,
		ftpclient.ErrNoResume, ftpclient.ErrNoTLS,
	} {
		if errors.Is(err, kind) {
			kinds = append(kinds, kind)
		}
	}
	assert.Len(t, kinds, 1, "%v", err)
	assert.NotContains(t, err.Error(), testPassword)
}

// parrot answers commands with what it was given, whatever they are.
type parrot struct {
	control, data net.Listener
	replies       [][]byte
	body          []byte
	mute          bool // at the end of the replies: say nothing, instead of hanging up
	wg            sync.WaitGroup
}

var (
	epsvPort = regexp.MustCompile(`\|\|\|\d*\|`)
	pasvPort = regexp.MustCompile(`,\d+,\d+\)`)
)

func startParrot(t *testing.T, replies, body []byte, mute bool) *parrot {
	p := &parrot{body: body, mute: mute}
	var err error
	p.control, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.data, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := p.data.Addr().(*net.TCPAddr).Port // whatever port is meant, it is this one: on others nobody is asked to speak FTP
	replies = epsvPort.ReplaceAll(replies, fmt.Appendf(nil, "|||%d|", port))
	replies = pasvPort.ReplaceAll(replies, fmt.Appendf(nil, ",%d,%d)", port/256, port%256))
	p.replies = bytes.Split(replies, []byte{0})
	p.wg.Go(func() { p.accept(p.control, p.speak) })
	p.wg.Go(func() { p.accept(p.data, p.send) })
	return p
}

func (p *parrot) stop() {
	_ = p.control.Close()
	_ = p.data.Close()
	p.wg.Wait()
}

func (p *parrot) accept(ln net.Listener, serve func(*net.TCPConn)) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() {
			defer conn.Close()
			serve(conn.(*net.TCPConn))
		})
	}
}

func (p *parrot) send(conn *net.TCPConn) { _, _ = conn.Write(p.body) }

// speak says the next reply at the start and after every command.
func (p *parrot) speak(conn *net.TCPConn) {
	buf := make([]byte, 4096)
	for said, due := 0, 1; ; {
		for ; said < min(due, len(p.replies)); said++ {
			_, _ = conn.Write(p.replies[said])
		}
		if due > len(p.replies) && !p.mute {
			_ = conn.CloseWrite()
		}
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		due += bytes.Count(buf[:n], []byte("\n"))
	}
}
