package e2e

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

const (
	sent      = "226 Transfer complete."
	aborted   = "426 Connection closed; transfer aborted."
	largeSize = 1 << 20
	largeCut  = 768 << 10
)

// opened never makes anybody wait.
var opened = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// transferFaults hit servers with TLS as well as those without.
func transferFaults() []fault {
	return slices.Concat(cuts(), stalls(), resumeFaults(), restartFaults())
}

// cuts are transfers that end where they should not.
func cuts() []fault {
	return []fault{
		{
			name:    "F01 cut with 426 every time",
			arrange: func(b *site) { b.onHit(ftptest.Cut(3000, aborted)) },
			want:    failedHit("transfer_truncated", "3000 bytes of 5000", "426 Connection closed"),
		},
		{
			name: "F01 cut with 451 twice",
			arrange: func(b *site) {
				b.onHit(ftptest.First(2, ftptest.Cut(3000, "451 Local error in processing."), ftptest.Default("RETR")))
			},
		},
		{
			name:    "F02 cut with 226",
			arrange: func(b *site) { b.onHit(ftptest.Cut(3000, sent)) },
			want:    failedHit("transfer_truncated", "3000 bytes of 5000", "though the server calls it complete"),
		},
		{
			name: "F04 no final reply", settings: impatient,
			arrange: func(b *site) { b.onHit(ftptest.NoFinal()) },
			want:    outcome{says: []string{"the server never confirms its transfers"}},
		},
		{
			name:    "F05 final reply before the end",
			arrange: func(b *site) { b.onHit(ftptest.EarlyFinal(2000, opened)) },
		},
		{
			name:    "F05 more than there is",
			arrange: func(b *site) { b.onHit(ftptest.Excess(10)) },
			want:    failedHit("transfer_truncated", "5010 bytes of 5000"),
		},
	}
}

// stalls let a transfer stand still, or its reply.
func stalls() []fault {
	return []fault{
		{
			name: "F06 stalled", settings: impatient,
			arrange: func(b *site) { b.onHit(ftptest.Stall(3000, nil)) },
			want:    failedHit("transfer_stalled", "no byte in 1s", "3000 of 5000"),
		},
		{
			name: "F06 dripping", settings: impatient + ", min_rate: 100B",
			arrange: func(b *site) { b.onHit(ftptest.Slow(200 * time.Millisecond)) },
			want:    failedHit("transfer_stalled", "at least 100 are wanted (min_rate)"),
		},
		{
			name: "F07 stopped in a transfer", settings: impatient + ", connections: 1",
			arrange: func(b *site) { b.onHit(pausing("RETR")) },
			want: outcome{
				result: partly, reason: "server_unreachable", says: []string{"i/o timeout"},
				failed: map[string]string{hit: "server_unreachable", "c.csv": "server_unreachable"},
			},
		},
		{
			name: "F32 late final reply", settings: ", connections: 1, idle_timeout: 1s",
			arrange: func(b *site) {
				b.onHit(ftptest.Transfer(ftptest.Rest(), ftptest.Close(), ftptest.Do(pauseFor(1200*time.Millisecond)), ftptest.Reply(sent)))
			},
		},
	}
}

// once misbehaves in the first transfer only.
func once(r ftptest.Reaction) ftptest.Reaction { return ftptest.First(1, r, ftptest.Default("RETR")) }

// pausing stops the whole server, as SIGSTOP would, when the command arrives.
func pausing(command string) ftptest.Reaction {
	return func(s *ftptest.Session, arg string) {
		s.Server().Pause()
		ftptest.Default(command)(s, arg)
	}
}

func pauseFor(d time.Duration) func(*ftptest.Session) {
	return func(s *ftptest.Session) {
		select {
		case <-time.After(d):
		case <-s.Done():
		}
	}
}

// resumeFaults break the transfer of a large file off. It is continued where the server can do that, and only there.
func resumeFaults() []fault {
	large := func(rest ftptest.Reaction) func(*site) {
		return func(b *site) {
			b.put("large.bin", text(b.name, largeSize))
			b.onFile("large.bin", once(ftptest.Cut(largeCut, aborted)))
			b.fake.On("REST", rest)
		}
	}
	anew := func(o *observed) {
		offsets := o.site.offsets("large.bin")
		if assert.NotEmpty(o, offsets) {
			assert.Zero(o, offsets[len(offsets)-1], "it came from its beginning: %v", offsets)
		}
	}
	return []fault{
		{
			name: "F17 large file continued", arrange: large(ftptest.Default("REST")),
			ledger: func(o *observed) {
				offsets := o.site.offsets("large.bin")
				if assert.Len(o, offsets, 2) {
					assert.Greater(o, offsets[1], int64(largeCut/2), "REST was used")
				}
			},
		},
		{name: "F17 REST ignored", arrange: large(ftptest.Say("350 Restarting.")), ledger: anew},
		{name: "F17 REST refused", arrange: large(ftptest.Say("502 Not implemented.")), ledger: anew},
		{name: "F17 REST elsewhere", arrange: large(ftptest.ShiftREST(4096)), ledger: anew},
	}
}

// offsets are where the transfers of a file began, as the server saw it.
func (b *site) offsets(name string) []int64 {
	var offsets []int64
	for _, event := range b.fake.Retrievals(remoteDir + "/" + name) {
		if event.Version != nil {
			offsets = append(offsets, event.Offset)
		}
	}
	return offsets
}

// restartFaults lose sessions in the middle of a run.
func restartFaults() []fault {
	return []fault{
		{name: "F33 restarted", settings: ", connections: 1", arrange: restartOnHit},
		{
			name: "F33 idle sessions hung up", settings: ", connections: 1",
			arrange: func(b *site) {
				b.onHit(ftptest.First(1, ftptest.Transfer(append(ftptest.Whole(), ftptest.HangUp())...), ftptest.Default("RETR")))
			},
		},
		{
			name: "F33 sessions forgotten", settings: impatient + ", connections: 1",
			arrange: func(b *site) {
				forget := ftptest.Do(func(s *ftptest.Session) { s.Server().Forget() })
				b.onHit(ftptest.First(1, ftptest.Transfer(append(ftptest.Whole(), forget)...), ftptest.Default("RETR")))
			},
		},
	}
}

// restartOnHit restarts the server in the middle of the first transfer of the file hit.
func restartOnHit(b *site) {
	reached, done := make(chan struct{}), make(chan error, 1)
	b.onHit(once(ftptest.Transfer(ftptest.Bytes(3000), ftptest.Do(func(*ftptest.Session) { close(reached) }), ftptest.Wait(nil))))
	t := b.stack.t
	go func() {
		select {
		case <-reached:
			done <- b.fake.Restart()
		case <-t.Context().Done():
			done <- nil
		}
	}()
	t.Cleanup(func() { require.NoError(t, <-done) })
}

// changeFaults write files while they are read.
func changeFaults() []fault {
	later := written.Add(time.Minute)
	changed := outcome{deferred: 1}
	return []fault{
		{
			name: "F15 grows while it is read", bare: true,
			arrange: func(b *site) {
				b.serve(hit, text("grows", 5000), written)
				b.put("a.csv", text("a", 3000))
				b.put(hit, text("grows", 9000)) // only this one may ever be seen
				b.serve(hit, text("grows", 5000), written)
				b.onHit(ftptest.Rewrite(2000, remoteDir+"/"+hit, text("grows", 9000), later))
			},
			want: changed,
		},
		{
			name: "F16 replaced while it is read", bare: true,
			arrange: func(b *site) {
				b.put("a.csv", text("a", 3000))
				b.put(hit, text("second", 5000))
				b.serve(hit, text("first", 5000), written)
				b.onHit(ftptest.Replace(2000, remoteDir+"/"+hit, text("second", 5000), later))
			},
			want: changed,
		},
		{
			name: "F16 spliced while it is read", bare: true,
			arrange: func(b *site) {
				b.put("a.csv", text("a", 3000))
				b.put(hit, text("second", 5000))
				b.serve(hit, text("first", 5000), written)
				b.onHit(ftptest.Rewrite(2000, remoteDir+"/"+hit, text("second", 5000), later))
			},
			want: changed,
		},
		{
			name: "F16 replaced after the listing", settings: ", connections: 1", bare: true,
			arrange: func(b *site) {
				b.put("a.csv", text("a", 3000))
				b.put(hit, text("second", 5000))
				b.serve(hit, text("first", 5000), written)
				b.onFile("a.csv", func(s *ftptest.Session, arg string) {
					s.Server().Put(remoteDir+"/"+hit, text("second", 5000), later)
					ftptest.Default("RETR")(s, arg)
				})
			},
			want: changed,
		},
		{
			name: "F16 replaced after it was collected",
			heal: func(b *site) { // both versions stay
				b.stack.want.zip(b.name+"/b~2.csv", text("second", 5000))
				b.serve(hit, text("second", 5000), later)
			},
		},
	}
}

// fileFaults keep a file from coming, or spoil it.
func fileFaults() []fault {
	return []fault{
		{
			name: "F13 vanished, and denied", settings: ", connections: 1",
			arrange: func(b *site) {
				b.onFile("a.csv", func(s *ftptest.Session, arg string) {
					s.Server().Remove(remoteDir + "/" + hit)
					ftptest.Default("RETR")(s, arg)
				})
				b.fake.Deny(remoteDir+"/c.csv", "550 Permission denied.", "RETR")
			},
			want: outcome{
				result: partly, reason: "incomplete", says: []string{"550 Permission denied"},
				failed: map[string]string{hit: "file_vanished", "c.csv": "permission_denied"},
			},
			heal: func(b *site) {
				b.behave()
				b.put(hit, text("again", 5000))
				b.fake.Allow(remoteDir + "/c.csv")
			},
		},
		{
			name: "F26 ASCII",
			arrange: func(b *site) {
				b.fake.On("TYPE", ftptest.Say("200 Switched."))
				b.put("one line.csv", []byte("nothing to mangle"))
			},
			want: outcome{
				result: partly, reason: "incomplete", says: []string{"the server changes line ends (ASCII mode)"},
				failed: map[string]string{"a.csv": "transfer_truncated", hit: "transfer_truncated", "c.csv": "transfer_truncated"},
			},
		},
		{
			name:    "F28 bytes of a stranger",
			arrange: func(b *site) { b.onHit(ftptest.Named("hijacked", ftptest.Send("not what was asked for", sent))) },
			want:    failedHit("transfer_truncated", "22 bytes of 5000"),
		},
	}
}
