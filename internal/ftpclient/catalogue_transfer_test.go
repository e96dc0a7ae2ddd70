package ftpclient_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

const path, size, some = "/out/a.zip", 300_000, 100_000 // some: where a transfer breaks off

func TestF01DataConnectionClosedMidway(t *testing.T) {
	t.Parallel()
	for name, final := range map[string]string{"426": "426 Connection closed.", "451": "451 Local error in processing."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				b.On("RETR", ftptest.Cut(some, final))
				got := b.fails(t, b.wanted(path), v, ftpclient.ErrTruncated, "100000 bytes of 300000 listed, "+final)
				assert.Len(t, got, some)
				b.Off("RETR")
				b.collects(t, path)
			})
		})
	}
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			v := b.put(path, size)
			b.On("RETR", ftptest.CutByReset(some, b.onceAt(some), "426 Broken pipe."))
			b.fails(t, b.wanted(path), v, ftpclient.ErrTruncated, "bytes of 300000 listed, 426 Broken pipe.")
			b.Off("RETR")
			b.collects(t, path)
		})
	})
	t.Run("reset without a final reply", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			v := b.put(path, size)
			b.On("RETR", ftptest.Transfer(ftptest.Bytes(some), ftptest.Wait(b.onceAt(some)), ftptest.ResetData(), ftptest.HangUp()))
			b.fails(t, b.wanted(path), v, ftpclient.ErrBroken, "connection reset by peer")
			b.Off("RETR")
			b.collects(t, path)
		})
	})
}

func TestF01IsContinued(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		v := b.put(path, size)
		b.On("RETR", ftptest.Cut(some, "426 Connection closed."))
		have := b.fails(t, b.wanted(path), v, ftpclient.ErrTruncated, "426")
		b.Off("RETR")
		b.continues(t, path, have)
	})
}

func TestF02TruncatedButCalledComplete(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, some, size - 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				b.On("RETR", ftptest.Cut(n, "226 Transfer complete."))
				got := b.fails(t, b.wanted(path), v, ftpclient.ErrTruncated,
					fmt.Sprintf("%d bytes of 300000 listed, though the server calls it complete", n))
				assert.Len(t, got, int(n))
				b.Off("RETR")
				b.collects(t, path)
			})
		})
	}
}

// TestF03ListedWithAWrongSize: what the listing says, what SIZE says and what comes must agree.
func TestF03ListedWithAWrongSize(t *testing.T) {
	t.Parallel()
	t.Run("the file is whole", func(t *testing.T) {
		t.Parallel()
		for _, listed := range []int64{0, some, size - 1, size + 1, 2 * size} {
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			v := b.put(path, size)
			want := b.wanted(path)
			want.Size = listed
			_, _, err := b.fetch(want)
			b.failed(t, err, ftpclient.ErrMislisted, fmt.Sprintf("300000 bytes of %d listed", listed))
			actual, ok := ftpclient.ActualSize(err)
			require.True(t, ok)
			require.Equal(t, v.Size, actual)
			want.Size = actual
			got, _, err := b.fetch(want)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content(v), got))
		}
	})
	t.Run("cut where the listing ends, without MDTM", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{Without: []string{"MDTM"}})
		v := b.put(path, size)
		b.On("RETR", ftptest.Cut(some, "226 Transfer complete."))
		want := b.wanted(path)
		want.Size = some
		b.fails(t, want, v, ftpclient.ErrChanged, "listed with 100000 bytes, now 300000")
		b.Off("RETR")
		b.collects(t, path)
	})
	t.Run("cut elsewhere", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		v := b.put(path, size)
		b.On("RETR", ftptest.Cut(some, "226 Transfer complete."))
		want := b.wanted(path)
		want.Size = 2 * some
		b.fails(t, want, v, ftpclient.ErrChanged, "100000 bytes of 200000 listed, though the server calls it complete, now it has 300000")
	})
}

func TestF04NoFinalReply(t *testing.T) {
	t.Parallel()
	for name, silence := range map[string]reaction{
		"never": ftptest.NoFinal(), "hangs up": ftptest.Transfer(ftptest.Rest(), ftptest.Close(), ftptest.HangUp()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				if name == "never" {
					b.impatient()
				}
				b.On("RETR", silence)
				got := b.fails(t, b.wanted(path), v, ftpclient.ErrUnconfirmed, "all bytes arrived, but not the server's final reply")
				assert.Len(t, got, size)
				b.Off("RETR")
				b.collects(t, path)
			})
		})
	}
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			b.put(path, size)
			b.On("RETR", ftptest.LateFinal(b.onceAt(size)))
			b.collects(t, path)
		})
	})
	t.Run("others", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.put(path, size)
		b.On("RETR", ftptest.NoFinal())
		b.othersAreServedMeanwhile(t, b.heard("RETR"), b.retrieving(path))
	})
}

func TestF05FinalReplyBeforeTheLastByte(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		b.put(path, size)
		b.On("RETR", ftptest.EarlyFinal(1000, b.onceAt(size-1000)))
		b.collects(t, path)
		assert.Equal(t, "226 Transfer complete.", b.Retrievals(path)[0].Reply)
	})
}

func TestF05BytesBeyondTheSize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		excess int64
		kind   error
		words  string
	}{
		"a few":    {10, ftpclient.ErrTruncated, "300010 bytes of 300000 listed, though the server calls it complete"},
		"no end":   {-1, ftpclient.ErrChanged, "far more bytes arrive than were listed"},
		"megabyte": {3 << 20, ftpclient.ErrChanged, "far more bytes arrive than were listed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				b.On("RETR", ftptest.Excess(c.excess))
				got := b.fails(t, b.wanted(path), v, c.kind, c.words)
				assert.Len(t, got, size, "the excess is not handed on")
				b.Off("RETR")
				b.collects(t, path)
			})
		})
	}
}

func TestF06Stall(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, some} {
		t.Run(fmt.Sprintf("after %d", n), func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				b.impatient()
				b.On("RETR", ftptest.Stall(n, nil))
				got := b.fails(t, b.wanted(path), v, ftpclient.ErrStalled, fmt.Sprintf("no byte in 2s, after %d of 300000", n))
				assert.Len(t, got, int(n))
				b.Off("RETR")
				b.collects(t, path)
			})
		})
	}
	t.Run("others", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			b.put(path, size)
			b.On("RETR", ftptest.Stall(some, nil))
			b.othersAreServedMeanwhile(t, b.heard("RETR"), b.retrieving(path))
		})
	})
}

func TestF06Drip(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		v := b.put(path, size)
		b.opt.IdleTimeout, b.opt.MinRate = patience, 1<<20
		b.On("RETR", ftptest.Slow(time.Millisecond))
		b.fails(t, b.wanted(path), v, ftpclient.ErrStalled, "at least 1048576 are wanted (min_rate)")
		b.put("/out/small", 20)
		b.opt.MinRate = 0
		b.collects(t, "/out/small") // any pace will do
	})
}

func TestF12FileBusy(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"450 Requested file action not taken.", "451 In use.", "452 Insufficient storage space."} {
		t.Run(reply[:3], func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				b.put("/out/other", size)
				b.Deny(path, reply, "RETR")
				got := b.fails(t, b.wanted(path), v, ftpclient.ErrFileBusy, reply)
				assert.Empty(t, got)
				b.collects(t, "/out/other")
				b.Allow(path)
				b.collects(t, path)
			})
		})
	}
}

func TestF13VanishedOrForbidden(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		v := b.put(path, size)
		want := b.wanted(path)
		b.Remove(path)
		b.fails(t, want, v, ftpclient.ErrNotFound, "550 No such file or directory.")
		b.put(path, size)
		b.collects(t, path)
		for _, reply := range []string{"550 Permission denied.", "550 Failed to open file.", "553 Not allowed."} {
			b.Deny(path, reply, "RETR")
			b.fails(t, b.wanted(path), v, ftpclient.ErrDenied, reply)
		}
		b.Allow(path)
		b.collects(t, path)
	})
}

func TestF15GrowsWhileItIsRead(t *testing.T) {
	t.Parallel()
	grown := func(b *bed) []byte { return append(content(b.File(path)), bytes.Repeat([]byte("more"), 5000)...) }
	for name, server := range map[string]ftptest.Options{
		"": {}, "no MDTM": {Without: []string{"MDTM"}}, "no SIZE": {Without: []string{"SIZE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachModeWith(t, server, func(t *testing.T, b *bed) {
				v := b.put(path, size)
				want := b.wanted(path)
				kind, words := ftpclient.ErrChanged, "320000 bytes of 300000 listed, though the server calls it complete, now it has 320000"
				if name == "no SIZE" { // nobody can tell why
					kind, words = ftpclient.ErrTruncated, "320000 bytes of 300000 listed"
				}
				b.On("RETR", ftptest.Rewrite(some, path, grown(b), written.Add(time.Minute)))
				got := b.fails(t, want, v, kind, words)
				assert.Len(t, got, size)
				b.Off("RETR")
				b.collects(t, path)
			})
		})
	}
	t.Run("after its end was sent", func(t *testing.T) {
		t.Parallel()
		eachMode(t, func(t *testing.T, b *bed) {
			v := b.put(path, size)
			want := b.wanted(path)
			b.On("RETR", ftptest.Replace(size, path, grown(b), written.Add(time.Second)))
			b.fails(t, want, v, ftpclient.ErrChanged,
				"it was written again while it was read: listed with 2024-02-29 12:30:15, now with 2024-02-29 12:30:16 (UTC)")
			b.Off("RETR")
			b.collects(t, path)
		})
	})
}

func TestF16Replaced(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]ftptest.Options{"": {}, "no SIZE": {Without: []string{"SIZE"}}} {
		for when, n := range map[string]int64{"before": 0, "meanwhile": some} {
			t.Run(when+" "+name, func(t *testing.T) {
				t.Parallel()
				eachModeWith(t, server, func(t *testing.T, b *bed) {
					old := b.put(path, size)
					want := b.wanted(path)
					b.On("RETR", ftptest.Replace(n, path, bytes.Repeat([]byte("n"), size), written.Add(time.Second)))
					b.fails(t, want, old, ftpclient.ErrChanged, "it was written again while it was read")
					b.Off("RETR")
					b.collects(t, path)
				})
			})
		}
	}
	t.Run("spliced", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.put(path, size)
		want := b.wanted(path)
		b.On("RETR", ftptest.Rewrite(some, path, bytes.Repeat([]byte("n"), size), written.Add(time.Second)))
		_, _, err := b.fetch(want)
		b.failed(t, err, ftpclient.ErrChanged, "it was written again while it was read")
	})
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		v := b.put(path, size)
		b.On("RETR", ftptest.Transfer(ftptest.Bytes(some), ftptest.Do(func(*session) { b.Remove(path) }), ftptest.Close(),
			ftptest.Reply("226 Transfer complete.")))
		b.fails(t, b.wanted(path), v, ftpclient.ErrChanged, "now it is gone")
	})
}

// TestF16TimeThatNobodyCanTell: where the server does not answer MDTM, or with nonsense, the size has to do.
func TestF16TimeThatNobodyCanTell(t *testing.T) {
	t.Parallel()
	for name, mdtm := range map[string]reaction{
		"refused": say("550 No."), "unknown": say("502 Not implemented."), "nonsense": say("213 yesterday"), "empty": say("213 "),
		"fraction": say("213 20240229123015.123"), "blank at the end": say("213 20240229123015 "),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			b.put(path, size)
			b.On("MDTM", mdtm)
			b.collects(t, path)
			if name == "fraction" || strings.HasPrefix(name, "blank") {
				assert.Zero(t, b.Commands("SIZE"), "the time is enough")
				return
			}
			assert.Equal(t, 1, b.Commands("SIZE"))
			v := b.File(path)
			b.On("SIZE", say("213 300001"))
			b.fails(t, b.wanted(path), v, ftpclient.ErrChanged, "listed with 300000 bytes, now 300001")
			b.On("SIZE", say("550 No."))
			b.collects(t, path) // nobody says otherwise
		})
	}
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		for _, command := range []string{"MDTM", "SIZE"} {
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			v := b.put(path, size)
			b.On("MDTM", say("550 No."))
			b.On(command, ftptest.Disconnect)
			b.fails(t, b.wanted(path), v, ftpclient.ErrBroken, command)
		}
	})
}

func TestF26ASCIIMode(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		b.Put(path, []byte(strings.Repeat("one line\nanother\n", 1000)), written)
		b.On("TYPE", say("200 Switched.")) // but it does not
		_, _, err := b.fetch(b.wanted(path))
		b.failed(t, err, ftpclient.ErrTruncated, "one for each line: the server changes line ends (ASCII mode)")
		b.Off("TYPE")
		b.collects(t, path)
	})
}

// TestF28AnotherClientTakesTheDataPort: the data go to whoever connects first.
func TestF28AnotherClientTakesTheDataPort(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		v := b.put(path, size)
		b.impatient()
		var thief net.Conn
		b.On("EPSV", func(s *session, _ string) {
			port, err := s.Listen()
			if err == nil {
				thief, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			}
			assert.NoError(t, err)
			s.Say(fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)", port))
		})
		got, _, err := b.fetch(b.wanted(path))
		require.Error(t, err)
		require.NoError(t, thief.Close())
		assert.Empty(t, got)
		assert.False(t, b.last.Usable())
		eventually(t, b.deserted, "the session is closed")
		b.Off("EPSV")
		b.collects(t, path)
		assert.Equal(t, v, b.File(path))
	})
}

// TestF28AnotherServerAnswersOnTheDataPort: with TLS not a byte of it is taken, without at least the size must fit.
func TestF28AnotherServerAnswersOnTheDataPort(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		v := b.Put(path, bytes.Repeat([]byte("text"), size/4), written) // which is no TLS record
		b.impatient()
		impostor, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if conn, err := impostor.Accept(); err == nil {
				_, _ = conn.Write(content(v)[:some])
				_ = conn.Close()
			}
		}()
		b.On("EPSV", ftptest.PassivePort(impostor.Addr().(*net.TCPAddr).Port))
		b.On("RETR", func(s *session, _ string) {
			s.Say("150 Here it comes.")
			s.Say("226 Transfer complete.")
		})
		got, _, err := b.fetch(b.wanted(path))
		if b.opt.TLS == "" {
			b.failed(t, err, ftpclient.ErrTruncated, "100000 bytes of 300000 listed")
		} else {
			b.failed(t, err, ftpclient.ErrNoTLS, "first record does not look like a TLS handshake")
			assert.Empty(t, got)
		}
		<-answered
		require.NoError(t, impostor.Close())
		b.Off("EPSV")
		b.Off("RETR")
		b.collects(t, path)
	})
}

func TestF30CutWithoutCloseNotify(t *testing.T) {
	t.Parallel()
	for _, mode := range []ftpclient.TLSMode{ftpclient.TLSExplicit, ftpclient.TLSImplicit} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, mode, ftptest.Options{})
			v := b.put(path, size)
			b.On("RETR", ftptest.CutWithoutNotify(some, "226 Transfer complete."))
			got := b.fails(t, b.wanted(path), v, ftpclient.ErrTruncated, "cut off without TLS's close_notify, though the server calls it complete")
			assert.Len(t, got, some)
			b.On("RETR", ftptest.CutWithoutNotify(size, "226 Transfer complete."))
			b.collects(t, path) // the size agrees
			b.Off("RETR")
			b.collects(t, path)
		})
	}
}

// TestF30ListingCutWithoutCloseNotify: a listing has no size that could agree, but it ends with a line.
func TestF30ListingCutWithoutCloseNotify(t *testing.T) {
	t.Parallel()
	tlsModes(t, ftptest.Options{}, func(t *testing.T, b *bed) {
		for i := range 100 {
			b.put(fmt.Sprintf("/out/%d.csv", i), 10)
		}
		b.On("MLSD", ftptest.CutWithoutNotify(1000, "226 Transfer complete."))
		l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
		b.failed(t, err, ftpclient.ErrBroken, "the listing ends within a line, cut off without TLS's close_notify")
		assert.Empty(t, l.Entries)
		b.On("MLSD", ftptest.CutWithoutNotify(1<<20, "226 Transfer complete."))
		l, err = b.list(ftpclient.ListQuery{Dir: "/out"})
		require.NoError(t, err, "some servers never send it")
		assert.Len(t, l.Entries, 100)
	})
}

// TestF31DataAreEncrypted looks at the first byte that the client sends on a data connection: that of a handshake record
// (RFC 8446 section 5.1). A dial function of one's own makes the library forget about TLS.
func TestF31DataAreEncrypted(t *testing.T) {
	t.Parallel()
	for _, mode := range []ftpclient.TLSMode{ftpclient.TLSExplicit, ftpclient.TLSImplicit} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, mode, ftptest.Options{})
			v := b.Put(path, bytes.Repeat([]byte("text"), size/4), written)
			var first atomic.Uint32
			b.On("RETR", func(s *session, _ string) {
				s.Say("150 Here it comes.")
				data, err := s.OpenClearData()
				if !assert.NoError(t, err) {
					return
				}
				defer data.Close()
				begin := make([]byte, 1)
				_, err = data.Conn.Read(begin)
				assert.NoError(t, err)
				first.Store(uint32(begin[0]))
				_, _ = data.Write(content(v)) // in clear
				s.Say("226 Transfer complete.")
			})
			got := b.fails(t, b.wanted(path), v, ftpclient.ErrNoTLS, "first record does not look like a TLS handshake")
			assert.Empty(t, got, "nothing is taken in clear")
			assert.EqualValues(t, 0x16, first.Load())
			b.Off("RETR")
			b.collects(t, path)
		})
	}
}

// TestF32NoDeadlineOutlivesItsPurpose: a session that was idle for longer than any wait may take is as good as before.
func TestF32NoDeadlineOutlivesItsPurpose(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		b.impatient()
		b.put(path, size)
		b.collects(t, path)
		<-time.After(2*patience + patience/2)
		b.collects(t, path)
		assert.Equal(t, 1, b.Connections())
	})
}
