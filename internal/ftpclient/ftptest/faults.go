package ftptest

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"talon/internal/devstack"
)

// Mute never answers. The session goes on with the next command.
func Mute(s *Session, _ string) { s.Fault("mute") }

// Say answers so: any refusal ("421 …", "450 …", "550 …", "500 Unknown command."), a success that is none ("350 ok" to REST,
// "200 ok" to TYPE, which changes nothing), or nonsense ("227 )(", `257 "/`).
func Say(reply string) Reaction { return func(s *Session, _ string) { s.Say(reply) } }

// SayAndHangUp answers and closes the control connection, as servers do with 421.
func SayAndHangUp(reply string) Reaction {
	return func(s *Session, _ string) {
		s.Say(reply)
		s.HangUp()
	}
}

// Reset breaks the control connection off with a TCP reset.
func Reset(s *Session, _ string) {
	s.Fault("reset")
	s.Reset()
}

// Disconnect closes the control connection instead of an answer.
func Disconnect(s *Session, _ string) {
	s.Fault("disconnect")
	s.HangUp()
}

// SlowReply sends an answer byte by byte, with a pause after each.
func SlowReply(reply string, pause time.Duration) Reaction {
	return func(s *Session, _ string) {
		s.Fault("slow reply")
		for _, b := range []byte(reply + "\r\n") {
			if s.Raw(string([]byte{b})) != nil {
				return
			}
			select {
			case <-time.After(pause):
			case <-s.Done():
				return
			}
		}
	}
}

// EndlessReply repeats a line ("220-welcome") until the client hangs up.
func EndlessReply(line string) Reaction {
	block := strings.Repeat(line+"\r\n", 1+(32<<10)/len(line))
	return func(s *Session, _ string) {
		s.Fault("endless reply")
		for s.Raw(block) == nil {
		}
	}
}

// LongReply is one line of more than n bytes.
func LongReply(code, n int) Reaction {
	return func(s *Session, _ string) {
		s.Fault("long reply")
		block := strings.Repeat("x", min(n, 32<<10))
		err := s.Raw(strconv.Itoa(code) + " ")
		for sent := 0; sent < n && err == nil; sent += len(block) {
			err = s.Raw(block)
		}
		if err == nil {
			_ = s.Raw("\r\n") // the client may have hung up meanwhile
		}
	}
}

// Named gives what a reaction does a name in the ledger.
func Named(fault string, r Reaction) Reaction {
	return func(s *Session, arg string) {
		s.Fault(fault)
		r(s, arg)
	}
}

// First reacts so to the first n calls, and otherwise to later ones.
func First(n int, r, otherwise Reaction) Reaction {
	var calls atomic.Int64
	return func(s *Session, arg string) {
		if calls.Add(1) <= int64(n) {
			r(s, arg)
			return
		}
		otherwise(s, arg)
	}
}

// ForPath reacts so to commands that mean path, and otherwise to others.
func ForPath(path string, r, otherwise Reaction) Reaction {
	path = clean(path)
	return func(s *Session, arg string) {
		if s.listed(arg) == path {
			r(s, arg)
			return
		}
		otherwise(s, arg)
	}
}

// Delayed waits until release is closed before it reacts.
func Delayed(release <-chan struct{}, r Reaction) Reaction {
	return func(s *Session, arg string) {
		select {
		case <-release:
			r(s, arg)
		case <-s.Done():
		}
	}
}

// After waits so long before it reacts.
func After(d time.Duration, r Reaction) Reaction {
	return func(s *Session, arg string) {
		select {
		case <-time.After(d):
			r(s, arg)
		case <-s.Done():
		}
	}
}

// Cut ends the data connection after n bytes of the file or listing and then says final: "426 …", "451 …", or "226 …" as if
// everything had been sent.
func Cut(n int64, final string) Reaction {
	return Named("cut", Transfer(Bytes(n), Close(), Reply(final)))
}

// CutByReset is Cut by a TCP reset. It waits for release first (the client must have read what it shall keep).
func CutByReset(n int64, release <-chan struct{}, final string) Reaction {
	return Named("reset of data", Transfer(Bytes(n), Wait(release), ResetData(), Reply(final)))
}

// CutWithoutNotify is Cut in which TLS data end between two records without the alert that tells an end from a cut.
func CutWithoutNotify(n int64, final string) Reaction {
	return Named("cut without close_notify", Transfer(Bytes(n), CloseWithoutNotify(), Reply(final)))
}

// NoFinal sends everything and then no final reply, ever.
func NoFinal() Reaction { return Named("no final reply", Transfer(Rest(), Close())) }

// LateFinal sends everything and waits for release before the final reply.
func LateFinal(release <-chan struct{}) Reaction {
	return Named("late final reply", Transfer(Rest(), Close(), Wait(release), Reply("226 Transfer complete.")))
}

// EarlyFinal sends the final reply before the last n bytes, which it sends after release was closed.
func EarlyFinal(n int, release <-chan struct{}) Reaction {
	return Named("early final reply",
		Transfer(AllBut(n), Reply("226 Transfer complete."), Wait(release), Rest(), Close()))
}

// Excess sends n bytes more than there are, without an end if n is negative.
func Excess(n int64) Reaction {
	return Named("excess", Transfer(Rest(), Fill(n), Close(), Reply("226 Transfer complete.")))
}

// Stall sends n bytes, and the rest after release was closed; nil never is.
func Stall(n int64, release <-chan struct{}) Reaction {
	return Named("stall", Transfer(append([]Step{Bytes(n), Wait(release)}, Whole()...)...))
}

// Slow sends single bytes, with a pause after each.
func Slow(pause time.Duration) Reaction {
	return Named("drip", Transfer(Drip(1, pause), Close(), Reply("226 Transfer complete.")))
}

// Corrupt changes the byte at n, and nothing else.
func Corrupt(n int64) Reaction {
	return Named("corrupt", Transfer(append([]Step{Bytes(n), Flip()}, Whole()...)...))
}

// Rewrite makes data the newest version of path after n bytes of the old one, and goes on in it at the same position: a file
// that grows if data begins with the old content, else a splice of two versions.
func Rewrite(n int64, path string, data []byte, modified time.Time) Reaction {
	put := Do(func(s *Session) { s.server.Put(path, data, modified) })
	return Named("rewritten", Transfer(append([]Step{Bytes(n), put, Switch(path)}, Whole()...)...))
}

// Replace makes data the newest version of path after n bytes of the old one, and sends the old one to its end: what happens
// if another file is renamed to that name.
func Replace(n int64, path string, data []byte, modified time.Time) Reaction {
	put := Do(func(s *Session) { s.server.Put(path, data, modified) })
	return Named("replaced", Transfer(append([]Step{Bytes(n), put}, Whole()...)...))
}

// Gibberish adds lines to the proper listing.
func Gibberish(lines ...string) Reaction {
	return Named("gibberish",
		Transfer(Rest(), Text(strings.Join(lines, "\r\n")+"\r\n"), Close(), Reply("226 Transfer complete.")))
}

// ShiftREST accepts REST but begins delta bytes beside the offset asked for. To ignore it altogether, Say("350 ok").
func ShiftREST(delta int64) Reaction {
	return func(s *Session, arg string) {
		offset, err := strconv.ParseUint(arg, 10, 62)
		if err != nil {
			s.Say("501 REST needs a number.")
			return
		}
		if delta != 0 {
			s.Fault("REST shifted")
		}
		s.offset = max(int64(offset)+delta, 0)
		s.Say(fmt.Sprintf("350 Restarting at %d.", offset))
	}
}

// PassiveHost answers PASV with that IPv4 address and the port that was opened on the loopback interface.
func PassiveHost(ip string) Reaction {
	return func(s *Session, _ string) {
		port, err := s.Listen()
		if err != nil {
			s.Say("425 Cannot open a port.")
			return
		}
		s.Say(fmt.Sprintf("227 Entering Passive Mode (%s,%d,%d)", strings.ReplaceAll(ip, ".", ","), port/256, port%256))
	}
}

// PassivePort answers EPSV with a port that the server has not opened: 22, a ClosedPort, or that of a Blackhole.
func PassivePort(port int) Reaction {
	return Named("passive port", Say(fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)", port)))
}

// ClosedPort is a port of 127.0.0.1 that refuses connections until the test ends, and that nobody else can get until then.
func ClosedPort(t testing.TB) int {
	t.Helper()
	held, err := devstack.HoldClosedPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := held.Release(); err != nil {
			t.Error(err)
		}
	})
	return held.Port()
}
