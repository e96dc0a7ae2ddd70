package ftpclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// The tests named TestF01… are the catalogue of faults: a server misbehaves, the engine says so in words, hands on nothing
// that is wrong, throws the session away, and succeeds at the very next attempt once the fault is gone.

// written is the time of every file unless a test says otherwise.
var written = time.Date(2024, 2, 29, 12, 30, 15, 0, time.UTC)

// modes are the ways to talk to a server, on both sides.
var modes = map[ftpclient.TLSMode]ftptest.TLSMode{
	ftpclient.TLSNone: ftptest.TLSNone, ftpclient.TLSExplicit: ftptest.TLSExplicit, ftpclient.TLSImplicit: ftptest.TLSImplicit,
}

// identity is an authority with a server's certificate; one serves all tests that do not care.
type identity struct {
	*ftptest.Authority
	server ftptest.Identity
	roots  *x509.CertPool
}

var trusted = sync.OnceValue(func() identity {
	authority, err := ftptest.NewAuthority()
	if err != nil {
		panic(err)
	}
	server, err := authority.Valid()
	if err != nil {
		panic(err)
	}
	return identity{authority, server, authority.Pool()}
})

// bed is a server that is going to misbehave, and a pool that collects from it.
type bed struct {
	*ftptest.Server
	opt   ftpclient.Options
	pool  *ftpclient.Pool
	clock *clock // the pool's; nobody has to wait for it

	last   *ftpclient.Conn // of the latest attempt
	onData func(n int)     // told how many bytes the writer has got
}

// newBed starts one whose sessions are all closed when the test ends.
func newBed(t testing.TB, mode ftpclient.TLSMode, server ftptest.Options) *bed {
	t.Helper()
	opt := optionsFor(0)
	if server.TLS = modes[mode]; mode != ftpclient.TLSNone {
		opt.TLS, opt.RootCAs = mode, trusted().roots
		if server.Config == nil {
			server.Config = trusted().server.Config()
		}
	}
	s, err := ftptest.Start(server)
	require.NoError(t, err)
	opt.Port = s.Port()
	b := &bed{Server: s, opt: opt, pool: ftpclient.NewPool(8, 0), clock: &clock{now: time.Now(), hurried: true}}
	b.patient()
	b.clock.drive(b.pool)
	t.Cleanup(func() {
		b.pool.Close()
		assert.Zero(t, b.pool.Len(), "every place is free in the end")
		eventually(t, b.deserted, "every session is closed")
		s.Stop()
	})
	return b
}

// eachMode runs a test plain and with both kinds of TLS.
func eachMode(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Helper()
	eachModeWith(t, ftptest.Options{}, test)
}

func eachModeWith(t *testing.T, server ftptest.Options, test func(t *testing.T, b *bed)) {
	t.Helper()
	for mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			test(t, newBed(t, mode, server))
		})
	}
}

// How long a server that stays mute is waited for: at a read, and at login. A busy machine may take a while for one that is not.
const (
	patience      = 2 * time.Second
	loginPatience = 2 * patience
)

// patient has calls wait longer than any test takes.
func (b *bed) patient() { b.opt.ConnectTimeout, b.opt.IdleTimeout = time.Minute, time.Minute }

// impatient has reads give up soon, until the next failure.
func (b *bed) impatient() { b.opt.IdleTimeout = patience }

// hasty has logins give up soon, until the next failure.
func (b *bed) hasty() { b.opt.ConnectTimeout = loginPatience }

func (b *bed) deserted() bool {
	now, _ := b.Sessions()
	return now == 0
}

// heard tells that the server has been sent a command.
func (b *bed) heard(command string) func() bool {
	return func() bool { return b.Commands(command) > 0 }
}

// put makes a file of size random bytes.
func (b *bed) put(path string, size int64) *ftptest.Version {
	return b.PutReader(path, ftptest.Generated(rand.Uint64()), size, written)
}

// wanted is the newest version of a file, as a listing with seconds has it.
func (b *bed) wanted(path string) ftpclient.Want {
	v := b.File(path)
	return ftpclient.Want{RawPath: path, Size: v.Size, ModTime: v.Modified, Precision: time.Second}
}

func (b *bed) do(ctx context.Context, use func(*ftpclient.Conn) error) error {
	b.last = nil
	return b.pool.Do(ctx, b.opt, func(c *ftpclient.Conn) error {
		b.last = c
		return use(c)
	})
}

// fetch is one attempt through the pool: what the writer got, and what Retrieve said.
func (b *bed) fetch(want ftpclient.Want) (got []byte, received ftpclient.Received, err error) {
	err = b.do(ctx, func(c *ftpclient.Conn) (err error) {
		got = nil
		received, err = c.Retrieve(ctx, want, writerFunc(func(p []byte) (int, error) {
			if got = append(got, p...); b.onData != nil {
				b.onData(len(got))
			}
			return len(p), nil
		}))
		return err
	})
	return got, received, err
}

func (b *bed) list(q ftpclient.ListQuery) (l ftpclient.Listing, err error) {
	err = b.do(ctx, func(c *ftpclient.Conn) (err error) {
		l, err = c.ListAll(ctx, q)
		return err
	})
	return l, err
}

// collects fetches a file's newest version.
func (b *bed) collects(t *testing.T, path string) {
	t.Helper()
	got, received, err := b.fetch(b.wanted(path))
	require.NoError(t, err)
	assert.Equal(t, int64(len(got)), received.Bytes)
	assert.True(t, bytes.Equal(content(b.File(path)), got), "what was collected is the file")
	assert.True(t, b.last.Usable())
}

// fails is an attempt that goes wrong: what the writer got is the beginning of truth.
func (b *bed) fails(t *testing.T, want ftpclient.Want, truth *ftptest.Version, kind error, words string) (got []byte) {
	t.Helper()
	got, _, err := b.fetch(want)
	b.failed(t, err, kind, words)
	assert.True(t, bytes.HasPrefix(content(truth), got), "never a wrong byte")
	return got
}

// failed: err has that sentinel and no other, says what happened, and the session is gone on both sides.
func (b *bed) failed(t *testing.T, err error, kind error, words string) {
	t.Helper()
	names(t, err, kind, words)
	if b.last != nil {
		assert.False(t, b.last.Usable())
	}
	assert.Zero(t, b.pool.IdleLen(b.opt.Name), "the session is not used again")
	eventually(t, b.deserted, "the session is closed")
	b.patient()
}

var sentinels = []error{
	ftpclient.ErrUnreachable, ftpclient.ErrBroken, ftpclient.ErrStalled, ftpclient.ErrLoginRefused, ftpclient.ErrBusy,
	ftpclient.ErrFileBusy, ftpclient.ErrNotFound, ftpclient.ErrDenied, ftpclient.ErrTruncated, ftpclient.ErrUnconfirmed,
	ftpclient.ErrMislisted, ftpclient.ErrNoResume, ftpclient.ErrChanged, ftpclient.ErrProtocol, ftpclient.ErrUntrusted,
	ftpclient.ErrNoTLS, ftpclient.ErrTooMany,
}

// names: err wraps that sentinel and no other, and tells the server and the fault in words, but no password.
func names(t *testing.T, err error, kind error, words string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	for _, other := range sentinels {
		assert.Equal(t, other == kind, errors.Is(err, other), "%v: %v", other, err) //nolint:errorlint // sentinels
	}
	require.ErrorContains(t, err, words)
	require.ErrorContains(t, err, "branch-001")
	assert.NotContains(t, err.Error(), testPassword)
}

// othersAreServedMeanwhile: while a call waits for the server, the files of another one are fetched through the same pool.
func (b *bed) othersAreServedMeanwhile(t *testing.T, waits func() bool, call func(ctx context.Context) error) {
	t.Helper()
	other, err := ftptest.Start(ftptest.Options{})
	require.NoError(t, err)
	defer other.Stop()
	healthy := &bed{Server: other, opt: optionsFor(other.Port()), pool: b.pool}
	healthy.opt.Name = "branch-002"
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- call(cancelled) }()
	eventually(t, waits, "the call waits")
	for i := range 20 {
		path := fmt.Sprintf("/out/%d", i)
		healthy.put(path, 1000)
		healthy.collects(t, path)
	}
	select {
	case err := <-ended:
		t.Errorf("the call has not waited: %v", err)
	default:
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	}
	b.pool.CloseServer("branch-002")
	eventually(t, b.deserted, "the session is closed")
}

// retrieving is a call for othersAreServedMeanwhile.
func (b *bed) retrieving(path string) func(context.Context) error {
	want := b.wanted(path)
	return func(ctx context.Context) error {
		return b.pool.Do(ctx, b.opt, func(c *ftpclient.Conn) error {
			_, err := c.Retrieve(ctx, want, io.Discard)
			return err
		})
	}
}

// dialling is a call for othersAreServedMeanwhile.
func (b *bed) dialling(ctx context.Context) error {
	return b.pool.Do(ctx, b.opt, func(*ftpclient.Conn) error { return nil })
}

func content(v *ftptest.Version) []byte {
	var all bytes.Buffer
	_, _ = all.ReadFrom(v.Reader(0)) // of memory
	return all.Bytes()
}

// onceAt returns a channel that is closed when the writer has got n bytes.
func (b *bed) onceAt(n int) <-chan struct{} {
	reached := make(chan struct{})
	var once sync.Once
	b.onData = func(got int) {
		if got >= n {
			once.Do(func() { close(reached) })
		}
	}
	return reached
}

// clock is a pool's time. It stands still, but for a nanosecond with each look, until it is advanced; a hurried one is
// advanced by whoever waits.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	hurried bool
	timers  []timer
}

type timer struct {
	at   time.Time
	wake func()
}

func (c *clock) drive(p *ftpclient.Pool) {
	p.SetClock(c.look)
	p.SetTimer(c.after)
}

func (c *clock) look() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(1)
	return c.now
}

func (c *clock) after(d time.Duration, wake func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hurried {
		c.now = c.now.Add(d)
		go wake()
		return
	}
	c.timers = append(c.timers, timer{c.now.Add(d), wake})
}

// advance lets time pass, and wakes who has waited for it.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due, later []timer
	for _, t := range c.timers {
		if t.at.After(c.now) {
			later = append(later, t)
		} else {
			due = append(due, t)
		}
	}
	c.timers = later
	c.mu.Unlock()
	for _, t := range due {
		t.wake()
	}
}

// waiting tells that somebody waits for time to pass.
func (c *clock) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers) > 0
}

// version is a server's TLS configuration of one version.
func version(v uint16) *tls.Config {
	config := trusted().server.Config()
	config.MinVersion, config.MaxVersion = v, v
	return config
}
