package ftpclient_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// still gives a bed a clock that only the test advances.
func (b *bed) still() { b.clock.hurried = false }

// asks asks the pool for a connection in the background.
func (b *bed) asks(opt ftpclient.Options) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		limited, cancel := context.WithTimeout(ctx, time.Minute) // a test that waits in vain fails
		defer cancel()
		c, err := b.pool.Get(limited, opt)
		answers <- answer{c, err}
	}()
	return answers
}

type answer struct {
	conn *ftpclient.Conn
	err  error
}

// connects gets a connection.
func (b *bed) connects(t *testing.T, answers <-chan answer) *ftpclient.Conn {
	t.Helper()
	a := <-answers
	require.NoError(t, a.err)
	return a.conn
}

func (b *bed) tried(n int) func() bool { return func() bool { return b.Connections() == n } }

// left: so many sessions are left on the server, once it has noticed that the others are gone.
func (b *bed) left(n int) func() bool {
	return func() bool {
		now, _ := b.Sessions()
		return now == n
	}
}

// crowded admits so many sessions, with that refusal of more.
func (b *bed) crowded(most *atomic.Int64, command, refusal string) {
	b.On(command, func(s *session, arg string) {
		if now, _ := s.Server().Sessions(); int64(now) > most.Load() {
			s.Say(refusal)
			s.HangUp()
			return
		}
		ftptest.Default(command)(s, arg)
	})
}

// TestF10NoRoomForAnotherSession: the third of three wishes waits for one of the two sessions that the server allows.
func TestF10NoRoomForAnotherSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ command, refusal string }{
		"421 greeting": {"greeting", "421 There are too many connected users."},
		"421 at USER":  {"USER", "421 Too many connections."},
		"530 at PASS":  {"PASS", "530 Sorry, the maximum number of clients (2) for this user are already connected."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode := range modes {
				t.Run(string(mode), func(t *testing.T) {
					t.Parallel()
					b := newBed(t, mode, ftptest.Options{})
					b.still()
					var most atomic.Int64
					most.Store(2)
					b.crowded(&most, c.command, c.refusal)
					first, second := get(t, b.pool, b.opt), get(t, b.pool, b.opt)
					third := b.asks(b.opt)
					eventually(t, b.clock.waiting, "the third was refused, and waits")
					assert.Equal(t, 3, b.Connections())
					assert.Equal(t, 2, b.pool.Behaviour(b.opt.Name).Sessions)
					b.pool.Put(first)
					assert.Same(t, first, b.connects(t, third))
					b.pool.Put(first)
					b.pool.Put(second)
					b.everyFileIsFetched(t, 3, 12)
					assert.Equal(t, 3, b.Connections(), "nobody has hammered the server")
				})
			}
		})
	}
}

// everyFileIsFetched by so many at once.
func (b *bed) everyFileIsFetched(t *testing.T, lanes, files int) {
	t.Helper()
	paths := make(chan string, files)
	for i := range files {
		p := fmt.Sprintf("/files/%d", i)
		b.put(p, 1000)
		paths <- p
	}
	close(paths)
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			lane := &bed{Server: b.Server, opt: b.opt, pool: b.pool}
			for p := range paths {
				got, _, err := lane.fetch(b.wanted(p))
				if assert.NoError(t, err) {
					assert.Equal(t, content(b.File(p)), got)
				}
			}
		})
	}
	wg.Wait()
}

func TestF10RoomGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.still()
	var most atomic.Int64
	most.Store(2)
	b.crowded(&most, "greeting", "421 Too many users.")
	held := []*ftpclient.Conn{get(t, b.pool, b.opt), get(t, b.pool, b.opt)}
	third := b.asks(b.opt)
	eventually(t, b.clock.waiting, "refused once")
	require.Equal(t, 3, b.Connections())

	b.clock.advance(ftpclient.GrowAfter / 2)
	assert.Equal(t, 3, b.Connections(), "too early for another try")
	b.clock.advance(ftpclient.GrowAfter)
	eventually(t, b.tried(4), "another try")
	eventually(t, b.clock.waiting, "refused again")

	eventually(t, b.left(2), "the refused one has gone")
	most.Store(3)
	b.clock.advance(ftpclient.GrowAfter + time.Second)
	held = append(held, b.connects(t, third)) // there is room for it now
	assert.Equal(t, 5, b.Connections())

	fourth := b.asks(b.opt)
	eventually(t, b.clock.waiting, "one session more, and not before a while")
	assert.Equal(t, 5, b.Connections())
	b.clock.advance(ftpclient.GrowAfter + time.Second)
	eventually(t, b.tried(6), "a try")
	eventually(t, b.clock.waiting, "refused")
	assert.Equal(t, 3, b.pool.Behaviour(b.opt.Name).Sessions)

	most.Store(1) // the server has less room than before
	require.Error(t, held[0].Delete(ctx, "/missing"))
	b.pool.Put(held[0])
	eventually(t, b.tried(7), "the place of the session that is gone is tried")
	eventually(t, func() bool { return b.pool.Behaviour(b.opt.Name).Sessions == 2 }, "and refused")
	b.pool.Put(held[1])
	assert.Same(t, held[1], b.connects(t, fourth))
	b.pool.Put(held[1])
	b.pool.Put(held[2])
}

// TestF10NoRoomAtAll: without a session of ours to wait for, the caller decides when to come back.
func TestF10NoRoomAtAll(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		b.put(path, size)
		b.On("greeting", ftptest.SayAndHangUp("421 Too many users."))
		b.failed(t, b.dialling(ctx), ftpclient.ErrBusy, "421 Too many users.")
		b.Off("greeting")
		b.collects(t, path)
		assert.False(t, ftpclient.IsParked(b.dialling(ctx)))
		assert.Zero(t, b.pool.Behaviour(b.opt.Name).Sessions, "that says nothing of how many there may be")
	})
}

func TestF10SessionEndsWith421(t *testing.T) {
	t.Parallel()
	for command, use := range map[string]func(*ftpclient.Conn) error{
		"CWD": listing, "MLSD": listing, "RETR": retrieving, "SIZE": stat, "REST": resuming, "DELE": deleting,
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				b.put(path, size)
				b.On(command, ftptest.SayAndHangUp("421 Shutting down."))
				b.failed(t, b.do(ctx, use), ftpclient.ErrBusy, "421 Shutting down.")
				b.Off(command)
				b.collects(t, path)
			})
		})
	}
}

func TestF10OthersAreServedMeanwhile(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{MaxSessions: 1})
	b.still()
	only := get(t, b.pool, b.opt)
	defer b.pool.Put(only)
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.dialling(cancelled) }()
	eventually(t, b.clock.waiting, "it waits")
	healthy := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	lane := &bed{Server: healthy.Server, opt: healthy.opt, pool: b.pool}
	lane.opt.Name = "branch-002"
	lane.everyFileIsFetched(t, 3, 20)
	b.pool.CloseServer("branch-002")
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	assert.Equal(t, 2, b.Connections(), "one refusal, and no hot loop")
}

// TestF11LoginRefused: one refused login is enough, however many want connections; accounts are locked after a few.
func TestF11LoginRefused(t *testing.T) {
	t.Parallel()
	eachModeWith(t, ftptest.Options{User: testUser, Password: testPassword}, func(t *testing.T, b *bed) {
		b.put(path, size)
		wrong := b.opt
		wrong.Password = "wr0ng-word"
		const lanes = 5
		var answers []<-chan answer
		for range lanes {
			answers = append(answers, b.asks(wrong))
		}
		for _, answers := range answers {
			a := <-answers
			names(t, a.err, ftpclient.ErrLoginRefused, "530 Login incorrect.")
			assert.NotContains(t, a.err.Error(), "wr0ng-word")
		}
		assert.Equal(t, 1, b.RefusedLogins())
		_, err := b.pool.Get(ctx, wrong)
		assert.True(t, ftpclient.IsParked(err))
		assert.Equal(t, 1, b.RefusedLogins(), "not in this run")

		b.collects(t, path) // with a changed configuration
		_, err = b.pool.Get(ctx, wrong)
		assert.True(t, ftpclient.IsParked(err))
		b.pool.Begin(b.opt.Name, "another run", ftpclient.Behaviour{})
		for range 2 {
			_, err = b.pool.Get(ctx, wrong)
			require.ErrorIs(t, err, ftpclient.ErrLoginRefused)
		}
		assert.Equal(t, 2, b.RefusedLogins(), "in the next run it is tried once")
	})
}

// TestF11PasswordChangedInTheMiddle of a run: sessions that are open go on.
func TestF11PasswordChangedInTheMiddle(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.put(path, size)
	held := get(t, b.pool, b.opt)
	b.On("PASS", say("530 Login incorrect."))
	_, err := b.pool.Get(ctx, b.opt)
	names(t, err, ftpclient.ErrLoginRefused, "530 Login incorrect.")
	_, err = held.Retrieve(ctx, b.wanted(path), discard)
	require.NoError(t, err)
	b.pool.Put(held)
}

func TestServerOutOfReachIsParked(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.put(path, size)
	b.still()
	b.On("greeting", ftptest.Reset)
	b.pool.Begin(b.opt.Name, "run", ftpclient.Behaviour{})
	for i := range ftpclient.MaxFailures {
		answers := b.asks(b.opt)
		if i > 0 { // between two tries there is a pause: a second, then twice as long each time, and at most a quarter of it more
			pause := min(time.Second<<(i-1), ftpclient.LongestWait)
			eventually(t, b.clock.waiting, "it pauses")
			b.clock.advance(pause - time.Millisecond)
			require.Equal(t, i, b.Connections(), "not yet")
			b.clock.advance(pause/4 + time.Millisecond)
		}
		a := <-answers
		names(t, a.err, ftpclient.ErrUnreachable, "connection reset by peer")
		require.False(t, ftpclient.IsParked(a.err))
	}
	_, err := b.pool.Get(ctx, b.opt)
	names(t, err, ftpclient.ErrUnreachable, fmt.Sprintf("(%d times in a row; not tried again in this run)", ftpclient.MaxFailures))
	assert.True(t, ftpclient.IsParked(err))
	assert.Equal(t, ftpclient.MaxFailures, b.Connections())
	b.Off("greeting")

	b.pool.Begin(b.opt.Name, "run", ftpclient.Behaviour{})
	_, err = b.pool.Get(ctx, b.opt)
	assert.True(t, ftpclient.IsParked(err), "the same run")
	b.pool.Begin(b.opt.Name, "next run", ftpclient.Behaviour{})
	assert.Equal(t, "next run", b.pool.At(b.opt.Name))
	b.collects(t, path)
}

func TestAChangedConfigurationIsTried(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.put(path, size)
	b.On("greeting", ftptest.Reset)
	for range ftpclient.MaxFailures {
		require.False(t, ftpclient.IsParked(b.dialling(ctx)))
	}
	require.True(t, ftpclient.IsParked(b.dialling(ctx)))
	b.Off("greeting")
	require.True(t, ftpclient.IsParked(b.dialling(ctx)))
	b.opt.IdleTimeout++
	b.collects(t, path)
}

// TestFailuresAtTheSameTimeCountOnce: five lanes whose connections broke together are one outage, and after it one of them
// at a time finds out whether the server is back.
func TestFailuresAtTheSameTimeCountOnce(t *testing.T) {
	t.Parallel()
	const lanes = 5
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	held := get(t, b.pool, b.opt) // the server has been in reach
	var arrived, most, now atomic.Int64
	all := make(chan struct{})
	b.On("greeting", func(s *session, _ string) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if arrived.Add(1) == lanes {
			close(all)
		}
		<-all
		now.Add(-1)
		s.Reset()
	})
	var answers []<-chan answer
	for range lanes {
		answers = append(answers, b.asks(b.opt))
	}
	for _, answers := range answers {
		names(t, (<-answers).err, ftpclient.ErrUnreachable, "connection reset by peer")
	}
	require.EqualValues(t, lanes, most.Load())
	most.Store(0)
	for range ftpclient.MaxFailures - 1 {
		answers[0] = b.asks(b.opt)
		require.False(t, ftpclient.IsParked((<-answers[0]).err))
	}
	_, err := b.pool.Get(ctx, b.opt)
	assert.True(t, ftpclient.IsParked(err))
	assert.EqualValues(t, lanes+ftpclient.MaxFailures-1, arrived.Load())
	assert.EqualValues(t, 1, most.Load())
	b.pool.Put(held)
}

func TestWhatIsKnownOfAServerIsTakenOver(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.still()
	b.put(path, size)
	known := ftpclient.Behaviour{Passive: ftpclient.PassivePASV, Listing: ftpclient.ListingLIST, NoUTF8: true, Sessions: 1}
	b.pool.Begin(b.opt.Name, "run", known)
	b.collects(t, path)
	l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
	require.NoError(t, err)
	assert.Equal(t, "LIST", l.Command)
	assert.False(t, b.said("EPSV") || b.said("OPTS") || b.said("MLSD"))
	held := get(t, b.pool, b.opt)
	second := b.asks(b.opt)
	eventually(t, b.clock.waiting, "one session is known to be allowed")
	b.pool.Put(held)
	b.pool.Put(b.connects(t, second))
	assert.Equal(t, 1, b.Connections())

	b.pool.Begin(b.opt.Name, "next run", ftpclient.Behaviour{Resume: ftpclient.No})
	assert.Equal(t, ftpclient.Unknown, b.pool.Behaviour(b.opt.Name).Resume, "what the pool has learned itself is newer")
}

// TestThousandFilesNeedFewLogins: as many as there are connections, and no more.
func TestThousandFilesNeedFewLogins(t *testing.T) {
	t.Parallel()
	const connections = 5
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.everyFileIsFetched(t, connections, 1000)
	assert.LessOrEqual(t, b.Logins(), connections)
	assert.Len(t, b.Files(), 1000)
	assert.Equal(t, 1000, b.Commands("RETR"))
}
