package ftpclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// mutePhases are the commands at which a server may go silent, what is asked of it then, and how that ends.
var mutePhases = []struct {
	command string
	use     func(*ftpclient.Conn) error
	kind    error
	words   string
}{
	{"greeting", nil, ftpclient.ErrUnreachable, "not logged in within 4s"},
	{"AUTH", nil, ftpclient.ErrUnreachable, "AUTH: server unreachable: not logged in within 4s"},
	{"USER", nil, ftpclient.ErrUnreachable, "USER: server unreachable: not logged in within 4s"},
	{"PASS", nil, ftpclient.ErrUnreachable, "PASS: server unreachable: not logged in within 4s"},
	{"FEAT", nil, ftpclient.ErrUnreachable, "FEAT: server unreachable: not logged in within 4s"},
	{"TYPE", nil, ftpclient.ErrUnreachable, "TYPE: server unreachable: not logged in within 4s"},
	{"OPTS", nil, ftpclient.ErrUnreachable, "not logged in within 4s"},
	{"PROT", nil, ftpclient.ErrUnreachable, "PROT: server unreachable: not logged in within 4s"},
	{"CWD", listing, ftpclient.ErrBroken, "CWD /out: connection lost: "},
	{"MLSD", listing, ftpclient.ErrBroken, "MLSD /out: connection lost: "},
	{"EPSV", retrieving, ftpclient.ErrBroken, "connection lost: "},
	{"RETR", retrieving, ftpclient.ErrBroken, "RETR /out/a.zip: connection lost: "},
	{"REST", resuming, ftpclient.ErrBroken, "REST /out/a.zip: connection lost: "},
	{"MDTM", retrieving, ftpclient.ErrBroken, "MDTM /out/a.zip: connection lost: "},
	{"SIZE", stat, ftpclient.ErrBroken, "SIZE /out/a.zip: connection lost: "},
	{"DELE", deleting, ftpclient.ErrBroken, "DELE /out/a.zip: connection lost: "},
	{"RNFR", renaming, ftpclient.ErrBroken, "RNFR /out/a.zip -> /done/a.zip: connection lost: "},
	{"RNTO", renaming, ftpclient.ErrBroken, "RNTO /out/a.zip -> /done/a.zip: connection lost: "},
	{"MKD", func(c *ftpclient.Conn) error { return c.MakeDir(ctx, "/done") }, ftpclient.ErrBroken, "MKD /done: connection lost: "},
}

func listing(c *ftpclient.Conn) error {
	_, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/out"})
	return err
}

func retrieving(c *ftpclient.Conn) error {
	_, err := c.Retrieve(ctx, ftpclient.Want{RawPath: path, Size: size, ModTime: written, Precision: time.Second}, discard)
	return err
}

func resuming(c *ftpclient.Conn) error { return c.TryResume(ctx, path, size) }

func stat(c *ftpclient.Conn) error {
	_, _, err := c.Stat(ctx, path)
	return err
}

func deleting(c *ftpclient.Conn) error { return c.Delete(ctx, path) }

func renaming(c *ftpclient.Conn) error { return c.Rename(ctx, path, "/done/a.zip") }

var discard = writerFunc(func(p []byte) (int, error) { return len(p), nil })

// TestF07ServerStopped stops the whole server as it gets a command, as SIGSTOP does.
func TestF07ServerStopped(t *testing.T) {
	t.Parallel()
	for _, mode := range []ftpclient.TLSMode{ftpclient.TLSNone, ftpclient.TLSExplicit} {
		for _, phase := range mutePhases {
			if mode == ftpclient.TLSNone && (phase.command == "AUTH" || phase.command == "PROT") {
				continue
			}
			t.Run(string(mode)+" "+phase.command, func(t *testing.T) {
				t.Parallel()
				b := newBed(t, mode, ftptest.Options{})
				b.put(path, size)
				if phase.use == nil {
					phase.use = func(*ftpclient.Conn) error { return nil }
					b.hasty()
				} else {
					b.impatient()
				}
				b.On(phase.command, func(s *session, _ string) { s.Server().Pause() })
				b.failed(t, b.do(ctx, phase.use), phase.kind, phase.words)
				b.Resume()
				b.Off(phase.command)
				b.collects(t, path)
			})
		}
	}
	t.Run("TLS handshake", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSImplicit, ftptest.Options{})
		b.put(path, size)
		b.hasty()
		b.Pause()
		err := b.dialling(ctx)
		b.Resume()
		b.failed(t, err, ftpclient.ErrUnreachable, "not logged in within 4s")
		b.collects(t, path)
	})
}

func TestF07OthersAreServedMeanwhile(t *testing.T) {
	t.Parallel()
	for command, waits := range map[string]func(*bed) (reached func() bool, call func(context.Context) error){
		"greeting": func(b *bed) (func() bool, func(context.Context) error) {
			return func() bool { return b.Connections() > 0 }, b.dialling
		},
		"PASS": func(b *bed) (func() bool, func(context.Context) error) { return b.heard("PASS"), b.dialling },
		"RETR": func(b *bed) (func() bool, func(context.Context) error) { return b.heard("RETR"), b.retrieving(path) },
		"MLSD": func(b *bed) (func() bool, func(context.Context) error) {
			return b.heard("MLSD"), func(ctx context.Context) error {
				return b.pool.Do(ctx, b.opt, func(c *ftpclient.Conn) error {
					_, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/out"})
					return err
				})
			}
		},
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			b.put(path, size)
			b.On(command, nil)
			reached, call := waits(b)
			b.othersAreServedMeanwhile(t, reached, call)
		})
	}
}

func TestF08EndlessReplies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		greeting reaction
		kind     error
		words    string
	}{
		"byte by byte": {
			ftptest.SlowReply("220 "+strings.Repeat("welcome ", 1000), time.Millisecond), ftpclient.ErrUnreachable, "not logged in within 4s",
		},
		"lines for ever":   {ftptest.EndlessReply("220-welcome"), ftpclient.ErrProtocol, "reply is longer than a megabyte"},
		"one line of 10 M": {ftptest.LongReply(220, 10<<20), ftpclient.ErrProtocol, "reply is longer than a megabyte"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			b.put(path, size)
			if errors.Is(c.kind, ftpclient.ErrUnreachable) {
				b.hasty()
			}
			b.On("greeting", c.greeting)
			b.failed(t, b.dialling(ctx), c.kind, c.words)
			b.Off("greeting")
			b.collects(t, path)
		})
	}
	t.Run("later", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			v := b.put(path, size)
			b.On("RETR", ftptest.EndlessReply("150-welcome"))
			b.fails(t, b.wanted(path), v, ftpclient.ErrProtocol, "reply is longer than a megabyte")
			b.On("MDTM", ftptest.SlowReply("213 "+strings.Repeat("2", 10_000), time.Millisecond))
			b.Off("RETR")
			b.impatient()
			b.fails(t, b.wanted(path), v, ftpclient.ErrBroken, "MDTM "+path)
			b.Off("MDTM")
			b.collects(t, path)
		})
	})
	t.Run("others", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.On("greeting", ftptest.SlowReply(strings.Repeat("220-welcome\r\n", 1000), time.Millisecond))
		b.othersAreServedMeanwhile(t, func() bool { return b.Connections() > 0 }, b.dialling)
	})
}

func TestF09NoConnection(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			b.put(path, size)
			open := b.opt.Port
			b.opt.Port = ftptest.ClosedPort(t)
			b.failed(t, b.dialling(ctx), ftpclient.ErrUnreachable, "connection refused")
			b.opt.Port = open
			b.collects(t, path)
		})
	})
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			b.put(path, size)
			b.On("greeting", ftptest.Reset)
			b.failed(t, b.dialling(ctx), ftpclient.ErrUnreachable, "connection reset by peer")
			b.Off("greeting")
			b.collects(t, path)
		})
	})
	t.Run("hung up", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			b.put(path, size)
			for _, command := range []string{"greeting", "USER", "PASS", "TYPE"} {
				b.On(command, ftptest.Disconnect)
				b.failed(t, b.dialling(ctx), ftpclient.ErrUnreachable, "EOF")
				b.Off(command)
			}
			b.collects(t, path)
		})
	})
	t.Run("no such name", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.hasty()
		b.opt.Host = "branch.invalid" // RFC 6761 section 6.4
		b.failed(t, b.dialling(ctx), ftpclient.ErrUnreachable, "branch.invalid")
	})
}

func TestF09NoAnswerToConnectionRequests(t *testing.T) {
	t.Parallel()
	hole, err := ftptest.NewBlackhole()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, hole.Close()) })
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.put(path, size)
	port := b.opt.Port
	b.opt.Port = hole.Port()
	dials := make(chan struct{})
	b.othersAreServedMeanwhile(t, func() bool { <-dials; return true }, func(ctx context.Context) error {
		close(dials)
		return b.dialling(ctx)
	})
	b.hasty()
	b.failed(t, b.dialling(ctx), ftpclient.ErrUnreachable, "i/o timeout")
	b.opt.Port = port
	b.collects(t, path)
}

func TestF14CommandsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"FEAT", "EPSV", "MLSD", "SIZE", "MDTM", "OPTS"} {
		for _, reply := range []string{
			"500 Unknown command.", "501 Bad arguments.", "502 Command not implemented.", "504 Not for that parameter.",
		} {
			t.Run(command+" "+reply[:3], func(t *testing.T) {
				t.Parallel()
				eachMode(t, func(t *testing.T, b *bed) {
					v := b.put(path, size)
					b.On(command, say(reply))
					l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
					require.NoError(t, err)
					require.Len(t, l.Entries, 1)
					assert.Equal(t, v.Size, l.Entries[0].Size)
					b.collects(t, path)
					want := ftpclient.Behaviour{Software: "ready"}
					switch {
					case command == "EPSV":
						want.Passive = ftpclient.PassivePASV
					case command == "MLSD":
						want.Listing = ftpclient.ListingLIST
					case command == "OPTS" && b.opt.TLS == "":
						want.NoUTF8 = reply[:3] == "500" || reply[:3] == "502"
					}
					learned := b.pool.Behaviour(b.opt.Name)
					learned.TLSResume = ""
					assert.Equal(t, want, learned)

					asked := b.Commands(command)
					b.pool.CloseServer(b.opt.Name)
					_, err = b.list(ftpclient.ListQuery{Dir: "/out"}) // in another session
					require.NoError(t, err)
					if learned := command == "EPSV" || command == "MLSD" || want.NoUTF8; learned {
						assert.Equal(t, 1, asked, "what was refused is not asked for again")
						assert.Equal(t, 1, b.Commands(command), "nor in the next session")
					}
				})
			})
		}
	}
}

func TestF14MLSDIsOnlyAnnounced(t *testing.T) {
	t.Parallel()
	for name, mlsd := range map[string]reaction{
		"nonsense": ftptest.Send("hello\r\nthere\r\n", "226 done"), "like LIST": ftptest.Send(unixFile+"a\r\n"+unixFile+"b\r\n", "226 done"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				b.put(path, size)
				b.On("MLSD", mlsd)
				for range 2 {
					l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
					require.NoError(t, err)
					assert.Equal(t, ftpclient.Summary{Entries: 1, Lines: 1, Command: "LIST", Directories: 1}, l.Summary)
				}
				assert.Equal(t, ftpclient.ListingLIST, b.pool.Behaviour(b.opt.Name).Listing)
				assert.Equal(t, 1, b.Commands("MLSD"))
				assert.Equal(t, 2, b.Connections())
				eventually(t, func() bool { now, _ := b.Sessions(); return now == 1 }, "the first session is closed")
				b.collects(t, path)
			})
		})
	}
	t.Run("in part", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.On("MLSD", ftptest.Send("?\r\ntype=file;size=1; a\r\n", "226 done"))
		l, err := b.list(ftpclient.ListQuery{Dir: "/"})
		require.NoError(t, err)
		assert.Equal(t, ftpclient.Summary{
			Entries: 1, Lines: 2, UnparsedLines: 1, Unparsed: []string{"?"}, Command: "MLSD", Directories: 1,
		}, l.Summary)
	})
}

// TestF14AFixedCommandIsNotReplaced: who asks for a command gets it, or the server's refusal.
func TestF14AFixedCommandIsNotReplaced(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	v := b.put(path, size)
	b.opt.Listing = ftpclient.ListingMLSD
	b.On("MLSD", say("500 Unknown command."))
	_, err := b.list(ftpclient.ListQuery{Dir: "/out"})
	b.failed(t, err, ftpclient.ErrProtocol, "500 Unknown command.")
	assert.Zero(t, b.Commands("LIST"))
	b.opt.Listing = ftpclient.ListingLIST
	_, err = b.list(ftpclient.ListQuery{Dir: "/out"})
	require.NoError(t, err)
	b.pool.CloseServer(b.opt.Name)

	closed := ftptest.ClosedPort(t)
	b.opt.Passive = ftpclient.PassiveEPSV
	b.On("EPSV", ftptest.PassivePort(closed))
	b.fails(t, b.wanted(path), v, ftpclient.ErrBroken, "connection refused")
	assert.Zero(t, b.Commands("PASV"))
	b.opt.Passive = ftpclient.PassivePASV
	b.collects(t, path)
	assert.Equal(t, ftpclient.Behaviour{Software: "ready"}, b.pool.Behaviour(b.opt.Name), "nothing was learned")
}

// TestF14DataPortThatIsFiltered: a firewall that knows PASV, but not EPSV.
func TestF14DataPortThatIsFiltered(t *testing.T) {
	t.Parallel()
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) { b.adaptsToPASV(t, ftptest.ClosedPort(t)) })
	})
	t.Run("swallows", func(t *testing.T) {
		t.Parallel()
		hole, err := ftptest.NewBlackhole()
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, hole.Close()) })
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.hasty()
		b.adaptsToPASV(t, hole.Port())
	})
}

// adaptsToPASV where EPSV names a port on which nobody answers, and to EPSV again where PASV is no longer known.
func (b *bed) adaptsToPASV(t *testing.T, port int) {
	t.Helper()
	b.put(path, size)
	b.On("EPSV", ftptest.PassivePort(port))
	b.collects(t, path)
	assert.Equal(t, ftpclient.PassivePASV, b.pool.Behaviour(b.opt.Name).Passive)
	assert.Equal(t, 2, b.Connections())
	b.pool.CloseServer(b.opt.Name)
	b.collects(t, path)
	assert.Equal(t, 1, b.Commands("EPSV"), "the next session does not try it")

	b.On("PASV", say("502 Not any more."))
	_, _, err := b.fetch(b.wanted(path))
	b.failed(t, err, ftpclient.ErrProtocol, "502 Not any more.")
	b.Off("EPSV")
	b.collects(t, path) // by EPSV, since what was learned is forgotten
	assert.Equal(t, 2, b.Commands("EPSV"))
	assert.Equal(t, ftpclient.PassiveAuto, b.pool.Behaviour(b.opt.Name).Passive)
}

// TestF14UTF8IsOptional: some servers announce it in FEAT and refuse to be told.
func TestF14UTF8IsOptional(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"202 Always enabled.", "501 Option not understood.", "550 No.", "530 Not now."} {
		t.Run(reply[:3], func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				b.put("/out/报表.zip", size)
				b.On("OPTS", say(reply))
				b.collects(t, "/out/报表.zip")
				again := reply[0] == '5' && reply[:3] != "501" && b.opt.TLS == "" // the library lets it pass with TLS
				assert.Equal(t, again, b.pool.Behaviour(b.opt.Name).NoUTF8)
				assert.Equal(t, map[bool]int{false: 1, true: 2}[again], b.Connections())
			})
		})
	}
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.On("OPTS", ftptest.SayAndHangUp("421 Shutting down."))
		b.failed(t, b.dialling(ctx), ftpclient.ErrBusy, "421 Shutting down.")
		assert.False(t, b.pool.Behaviour(b.opt.Name).NoUTF8, "it says nothing about UTF-8")
	})
}

// TestF27DataPortsThatAreNotForFTP: a server must not make Talon talk to somebody else's services.
func TestF27DataPortsThatAreNotForFTP(t *testing.T) {
	t.Parallel()
	for _, port := range []int{0, 22, 1023, 65536, 700_000} {
		t.Run(fmt.Sprint(port), func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				b.On("EPSV", ftptest.PassivePort(port))
				b.fails(t, b.wanted(path), v, ftpclient.ErrProtocol,
					fmt.Sprintf("port %d: the server names a port for data that is not for FTP", port))
				b.Off("EPSV")
				b.collects(t, path)
				b.pool.CloseServer(b.opt.Name)
				b.opt.MinDataPort = 65536
				b.fails(t, b.wanted(path), v, ftpclient.ErrProtocol, "min_data_port")
			})
		})
	}
	t.Run("PASV", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{Without: []string{"EPSV"}})
		v := b.put(path, size)
		b.On("PASV", say("227 Entering Passive Mode (127,0,0,1,0,22)"))
		b.fails(t, b.wanted(path), v, ftpclient.ErrProtocol, "port 22")
		b.Off("PASV")
		b.collects(t, path)
	})
}

func TestF27DataGoToTheServersHost(t *testing.T) {
	t.Parallel()
	eachModeWith(t, ftptest.Options{Without: []string{"EPSV"}}, func(t *testing.T, b *bed) {
		b.put(path, size)
		for _, host := range []string{"192.0.2.1", "169.254.169.254", "0.0.0.0", "127.0.0.2"} {
			b.On("PASV", ftptest.PassiveHost(host))
			b.collects(t, path)
		}
		assert.Equal(t, 1, b.Connections())
	})
}

func TestF27AnotherDataHostMayBeTrusted(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{Without: []string{"EPSV"}})
	v := b.put(path, size)
	ln, err := net.Listen("tcp4", "127.0.0.2:0")
	require.NoError(t, err)
	defer ln.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := ln.Accept(); err == nil {
			_, _ = conn.Write(content(v))
			_ = conn.Close()
		}
	}()
	port := ln.Addr().(*net.TCPAddr).Port
	b.On("PASV", say(fmt.Sprintf("227 Entering Passive Mode (127,0,0,2,%d,%d)", port/256, port%256)))
	b.On("RETR", func(s *session, _ string) {
		s.Say("150 Here it comes.")
		<-served
		s.Say("226 Transfer complete.")
	})
	b.opt.TrustDataHost = true
	b.collects(t, path)
}

// TestF33SessionsThatDiedWhileIdle: the server was started anew, or hung up, or a firewall forgot the connection.
func TestF33SessionsThatDiedWhileIdle(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(*testing.T, *bed){
		"hung up":   func(t *testing.T, b *bed) { b.HangUp(); eventually(t, b.deserted, "gone") },
		"restarted": func(t *testing.T, b *bed) { require.NoError(t, b.Restart()) },
		"forgotten": func(_ *testing.T, b *bed) { b.Forget() },
		"421 Timeout": func(_ *testing.T, b *bed) {
			b.On("EPSV", ftptest.First(1, ftptest.SayAndHangUp("421 Timeout."), ftptest.Default("EPSV")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				if name == "forgotten" {
					b.impatient()
				}
				b.put(path, size)
				b.collects(t, path)
				kill(t, b)
				b.collects(t, path)
				assert.Equal(t, 2, b.Connections(), "one fresh session")
				assert.Equal(t, 1, b.pool.Len())
			})
		})
	}
}

func TestF33RestartInTheMiddle(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		v := b.put(path, size)
		b.On("RETR", ftptest.Stall(some, nil))
		half := b.onceAt(some)
		restarted := make(chan error, 1)
		go func() {
			<-half
			restarted <- b.Restart()
		}()
		have := b.fails(t, b.wanted(path), v, ftpclient.ErrBroken, "RETR "+path)
		require.NoError(t, <-restarted)
		b.Off("RETR")
		b.continues(t, path, have)
	})
}

// said tells whether a command was sent.
func (b *bed) said(command string) bool {
	return slices.ContainsFunc(b.Lines(), func(line string) bool { return strings.HasPrefix(line, command) })
}
