package ftpclient_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// limited runs a server that allows so many sessions at once.
func limited(t *testing.T, sessions int) (*ftptest.Server, ftpclient.Options) {
	t.Helper()
	s, err := ftptest.Start(ftptest.Options{MaxSessions: sessions})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s, optionsFor(s.Port())
}

func TestTrySessions(t *testing.T) {
	for name, test := range map[string]struct {
		allows, room, want int
		allowed, learned   int
		err                error
	}{
		"as many as wanted": {allows: 0, room: 9, want: 5, allowed: 5},
		"fewer":             {allows: 3, room: 9, want: 5, allowed: 3, learned: 3, err: ftpclient.ErrBusy},
		"no room here":      {allows: 0, room: 2, want: 5, allowed: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s, opt := limited(t, test.allows)
			p := newPool(t, test.room)
			mine := get(t, p, opt)
			allowed, err := p.TrySessions(ctx, opt, test.want)
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.allowed, allowed)
			assert.Equal(t, test.learned, p.Behaviour(opt.Name).Sessions)
			assert.Equal(t, 1, p.Len(), "the places of the trial are free again")
			p.Put(mine)
			p.CloseServer(opt.Name)
			eventually(t, func() bool { now, _ := s.Sessions(); return now == 0 }, "no session is left")
		})
	}
}

// TestTryFiles: a byte shows that a file can be read, and the last one that REST is honoured.
func TestTryFiles(t *testing.T) {
	s, opt := limited(t, 0)
	s.Put("/a", []byte("alpha"), time.Now())
	for name, test := range map[string]struct {
		rest    ftptest.Reaction
		err     error
		learned ftpclient.Answer
	}{
		"honoured": {ftptest.Default("REST"), nil, ftpclient.Yes},
		"ignored":  {ftptest.Say("350 ok"), ftpclient.ErrNoResume, ftpclient.No},
		"refused":  {ftptest.Say("502 no"), ftpclient.ErrNoResume, ftpclient.No},
		"off":      {ftptest.ShiftREST(1), ftpclient.ErrTruncated, ftpclient.Unknown},
	} {
		s.On("REST", test.rest)
		c := dial(t, opt)
		require.ErrorIs(t, c.TryResume(ctx, "/a", 5), test.err, name)
		assert.Equal(t, test.learned, c.Behaviour().Resume, name)
	}
	c := dial(t, opt)
	require.NoError(t, c.TryRead(ctx, "/a"))
	assert.False(t, c.Usable(), "the rest of the file is under way")
	require.ErrorIs(t, dial(t, opt).TryRead(ctx, "/b"), ftpclient.ErrNotFound)
}

// TestTrySessionsForgetsALimit: one that was met once need not hold for ever.
func TestTrySessionsForgetsALimit(t *testing.T) {
	_, opt := limited(t, 0)
	p := newPool(t, 9)
	p.Begin(opt.Name, "run", ftpclient.Behaviour{Sessions: 2})
	p.Put(get(t, p, opt))
	allowed, err := p.TrySessions(ctx, opt, 4)
	require.NoError(t, err)
	assert.Equal(t, 4, allowed)
	assert.Zero(t, p.Behaviour(opt.Name).Sessions)
}

// TestTrySessionsWaitsForAClosedOne: a session that was closed a moment ago is still counted.
func TestTrySessionsWaitsForAClosedOne(t *testing.T) {
	s, opt := limited(t, 2)
	s.On("greeting", ftptest.First(1, ftptest.SayAndHangUp("421 Too many connections."), ftptest.Default("greeting")))
	p := newPool(t, 9)
	allowed, err := p.TrySessions(ctx, opt, 2)
	require.NoError(t, err)
	assert.Equal(t, 2, allowed)
}

func TestDecode(t *testing.T) {
	for _, test := range []struct {
		encoding, raw, text string
		ok                  bool
	}{
		{"gbk", "\xd3\xe0\xb6\xee.csv", "余额.csv", true},
		{"utf-8", "余额", "余额", true},
		{"utf-8", "\xd3\xe0", "\xd3\xe0", false},
		{"gbk", "\xff\xff", "", false},
		{"klingon", "x", "x", false},
	} {
		text, ok := ftpclient.Decode(test.encoding, test.raw)
		assert.Equal(t, test.ok, ok, test)
		if ok {
			assert.Equal(t, test.text, text)
		}
	}
}

func TestTLSOfTheControlConnection(t *testing.T) {
	authority, err := ftptest.NewAuthority()
	require.NoError(t, err)
	identity, err := authority.Valid()
	require.NoError(t, err)
	s, err := ftptest.Start(ftptest.Options{TLS: ftptest.TLSExplicit, Config: identity.Config()})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	opt := optionsFor(s.Port())
	version, expires := dial(t, optionsFor(startScript(t, nil).Port())).TLS()
	assert.Zero(t, version)
	assert.True(t, expires.IsZero())
	opt.TLS, opt.RootCAs = ftpclient.TLSExplicit, authority.Pool()
	version, expires = dial(t, opt).TLS()
	assert.EqualValues(t, 0x0304, version)
	assert.WithinDuration(t, time.Now().Add(time.Hour), expires, time.Minute)
}

func TestCauses(t *testing.T) {
	port := ftptest.ClosedPort(t)
	_, err := ftpclient.Dial(ctx, optionsFor(port))
	require.ErrorContains(t, ftpclient.Cause(err), "refused")
	assert.False(t, ftpclient.IsDataConnection(err))

	for _, reply := range []ftptest.Reaction{ftptest.PassivePort(port), ftptest.Say("425 no")} {
		s, opt := limited(t, 0)
		s.On("EPSV", reply)
		s.On("PASV", ftptest.Say("425 no"))
		_, err = dial(t, opt).List(ctx, ftpclient.ListQuery{Dir: "/"}, func(ftpclient.Entry) error { return nil })
		require.ErrorIs(t, err, ftpclient.ErrBroken)
		assert.True(t, ftpclient.IsDataConnection(err), err)
	}
	assert.NoError(t, ftpclient.Cause(nil))
}
