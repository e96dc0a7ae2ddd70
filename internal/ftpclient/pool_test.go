package ftpclient_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

func newPool(t *testing.T, limit int) *ftpclient.Pool {
	t.Helper()
	p := ftpclient.NewPool(limit, 0)
	t.Cleanup(func() {
		p.Close()
		assert.Zero(t, p.Len(), "every place is free in the end")
	})
	return p
}

func get(t *testing.T, p *ftpclient.Pool, opt ftpclient.Options) *ftpclient.Conn {
	t.Helper()
	c, err := p.Get(ctx, opt)
	require.NoError(t, err)
	return c
}

func TestPoolReusesConnections(t *testing.T) {
	s, opt := startReal(t, nil)
	p := newPool(t, 4)
	a := get(t, p, opt)
	p.Put(a)
	p.Put(a) // a second time changes nothing
	assert.Equal(t, 1, p.IdleLen(opt.Name))
	assert.Same(t, a, get(t, p, opt))
	b := get(t, p, opt)
	assert.NotSame(t, a, b)
	assert.EqualValues(t, 2, s.sessions.Load())

	require.Error(t, b.Delete(ctx, "/missing"))
	p.Put(b)
	assert.Zero(t, p.IdleLen(opt.Name), "what had an error is closed")
	assert.Equal(t, 1, p.Len())
	p.Put(a)

	other := opt
	other.IdleTimeout++
	c := get(t, p, other)
	assert.NotSame(t, a, c, "changed options need a new session")
	p.Put(c)
}

func TestPoolDropsWhatWasIdleTooLong(t *testing.T) {
	s, opt := startReal(t, nil)
	p := newPool(t, 4)
	now := time.Now()
	p.SetClock(func() time.Time { return now })
	a := get(t, p, opt)
	p.Put(a)
	now = now.Add(ftpclient.IdleKeep + 1)
	b := get(t, p, opt)
	assert.NotSame(t, a, b)
	assert.Equal(t, 1, p.Len())
	assert.EqualValues(t, 2, s.sessions.Load())
	assert.False(t, a.Usable())
	p.Put(b)
}

func TestPoolMakesRoom(t *testing.T) {
	_, one := startReal(t, nil)
	_, two := startReal(t, nil)
	two.Name = "branch-002"
	p := newPool(t, 2)
	old, young := get(t, p, one), get(t, p, one)
	p.Put(old)
	p.Put(young)
	c := get(t, p, two)
	assert.Equal(t, 2, p.Len())
	assert.False(t, old.Usable(), "the longest idle one made room")
	assert.True(t, young.Usable())
	p.Put(c)
	assert.Equal(t, 1, p.IdleLen("branch-001"))
	p.CloseServer("branch-001")
	assert.Zero(t, p.IdleLen("branch-001"))
	assert.Equal(t, 1, p.Len())
}

func TestPoolWaitsForRoom(t *testing.T) {
	s, opt := startReal(t, nil)
	p := newPool(t, 1)
	c := get(t, p, opt)

	impatient, cancel := context.WithCancel(ctx)
	refused := make(chan error, 1)
	go func() {
		_, err := p.Get(impatient, opt)
		refused <- err
	}()
	cancel()
	require.ErrorIs(t, <-refused, context.Canceled)

	got := make(chan *ftpclient.Conn, 1)
	go func() {
		c, _ := p.Get(ctx, opt)
		got <- c
	}()
	p.Put(c)
	assert.Same(t, c, <-got)
	assert.EqualValues(t, 1, s.sessions.Load())
	p.Put(c)
}

// TestPoolLosesNoPlaceToWhoeverGivesUp lets a waiter give up at the very moment it is served.
func TestPoolLosesNoPlaceToWhoeverGivesUp(t *testing.T) {
	_, opt := startReal(t, nil)
	p := newPool(t, 1)
	for i := range 200 {
		c := get(t, p, opt)
		if i%10 == 0 {
			require.Error(t, c.Delete(ctx, "/missing")) // so that the place is passed on, not the connection
		}
		impatient, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if c, err := p.Get(impatient, opt); err == nil {
				p.Put(c)
			}
		}()
		go cancel()
		p.Put(c)
		<-ended
		cancel()
	}
	p.Put(get(t, p, opt))
	assert.Equal(t, 1, p.Len())
}

func TestPoolFreesThePlaceOfAFailedLogin(t *testing.T) {
	_, opt := startReal(t, nil)
	p := newPool(t, 1)
	wrong := opt
	wrong.Password = "wrong"
	_, err := p.Get(ctx, wrong)
	require.ErrorIs(t, err, ftpclient.ErrLoginRefused)
	p.Put(get(t, p, opt))
}

func TestClosedPoolRefuses(t *testing.T) {
	_, opt := startReal(t, nil)
	p := newPool(t, 1)
	c := get(t, p, opt)
	waiting := make(chan error, 1)
	go func() {
		_, err := p.Get(ctx, opt)
		waiting <- err
	}()
	p.Close()
	require.ErrorIs(t, <-waiting, ftpclient.ErrUnreachable)
	p.Put(c)
	assert.False(t, c.Usable())
	assert.Zero(t, p.Len())
}

func TestPoolLimitsLoginsInProgress(t *testing.T) {
	var most, now atomic.Int64
	release := make(chan struct{})
	sc := startScript(t, nil)
	p := newPool(t, 100)
	first := get(t, p, sc.options()) // until the server has let one in, there is one at a time
	sc.On("greeting", func(s *session, _ string) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		now.Add(-1)
		s.Say("220 ready")
	})
	var wg sync.WaitGroup
	for range 3 * ftpclient.MaxDialing {
		wg.Go(func() {
			c, err := p.Get(ctx, sc.options())
			if assert.NoError(t, err) {
				p.Put(c)
			}
		})
	}
	eventually(t, func() bool { return now.Load() == ftpclient.MaxDialing }, "so many log in at once")
	close(release)
	wg.Wait()
	p.Put(first)
	assert.LessOrEqual(t, most.Load(), int64(ftpclient.MaxDialing))
}

// TestF33TimeoutIsSaidLate: a server says 421 to the first command after the session was idle, instead of hanging up before.
func TestF33TimeoutIsSaidLate(t *testing.T) {
	t.Parallel()
	sc := startScript(t, reactions{"DELE": ftptest.First(1, say("421 Timeout."), say("250 deleted"))})
	p := newPool(t, 2)
	p.Put(get(t, p, sc.options()))
	calls := 0
	require.NoError(t, p.Do(ctx, sc.options(), func(c *ftpclient.Conn) error {
		calls++
		return c.Delete(ctx, "/a")
	}))
	assert.Equal(t, 2, calls)
	assert.Equal(t, 2, sc.Connections())
	assert.Equal(t, 1, p.Len())
}

func TestDoTriesAgainOnlyThen(t *testing.T) {
	sc := startScript(t, reactions{"RETR": hangUpAfterData, "DELE": say("250 ok"), "SIZE": say("550 no such file")})
	mine := errors.New("mine")
	for name, c := range map[string]struct {
		reuse bool
		use   func(*ftpclient.Conn) error
		want  error
	}{
		"fresh connection": {false, func(c *ftpclient.Conn) error {
			_, err := retrieve(c, "/a", 5, io.Discard)
			return err
		}, ftpclient.ErrUnconfirmed},
		"data was delivered": {true, func(c *ftpclient.Conn) error {
			_, err := retrieve(c, "/a", 5, io.Discard)
			return err
		}, ftpclient.ErrUnconfirmed},
		"a call had succeeded": {true, func(c *ftpclient.Conn) error {
			if err := c.Delete(ctx, "/a"); err != nil {
				return err
			}
			_, err := retrieve(c, "/a", 5, io.Discard)
			return err
		}, ftpclient.ErrUnconfirmed},
		"another error": {true, func(c *ftpclient.Conn) error {
			_, _, err := c.Stat(ctx, "/a")
			return err
		}, ftpclient.ErrNotFound},
		"the caller's error": {true, func(*ftpclient.Conn) error { return mine }, mine},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, 2)
			if c.reuse {
				p.Put(get(t, p, sc.options()))
			}
			calls := 0
			err := p.Do(ctx, sc.options(), func(conn *ftpclient.Conn) error {
				calls++
				return c.use(conn)
			})
			require.ErrorIs(t, err, c.want)
			assert.Equal(t, 1, calls)
		})
	}
}

// TestPoolUnderLoad never sees more connections than allowed, on either side, and serves everyone.
func TestPoolUnderLoad(t *testing.T) {
	const limit = 5
	var servers []*realServer
	var options []ftpclient.Options
	for i := range 4 {
		s, opt := startReal(t, nil)
		s.write(t, "/a", "content")
		opt.Name = string(rune('a' + i))
		servers, options = append(servers, s), append(options, opt)
	}
	p := newPool(t, limit)
	var busy, most, done atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := p.Do(ctx, options[i%len(options)], func(c *ftpclient.Conn) error {
				n := busy.Add(1)
				defer busy.Add(-1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				_, err := retrieve(c, "/a", 7, io.Discard)
				return err
			})
			if assert.NoError(t, err) {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 200, done.Load())
	assert.LessOrEqual(t, most.Load(), int64(limit))
	assert.LessOrEqual(t, p.Len(), limit)
	logins := int64(0)
	for _, s := range servers {
		logins += s.sessions.Load()
	}
	assert.Less(t, logins, int64(200), "connections are used again")
}
