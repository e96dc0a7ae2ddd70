package ftpclient_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// withinAMinute fetches a file under a deadline. The limiter knows at once whether it can be kept, so that no test has to wait.
func (b *bed) withinAMinute(path string) error {
	minute, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return b.do(ctx, func(c *ftpclient.Conn) error {
		_, err := c.Retrieve(minute, b.wanted(path), discard)
		return err
	})
}

// overdue: the deadline is what failed, not the server.
func overdue(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "RETR "+path+": the bandwidth limit does not let it end in time")
	for _, kind := range sentinels {
		assert.NotErrorIs(t, err, kind)
	}
}

// TestBandwidth: a buffer may come at once, every further byte takes its time.
func TestBandwidth(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*bed){
		"of a server": func(b *bed) { b.opt.Bandwidth = 1 },
		"of the pool": func(b *bed) { b.pool = ftpclient.NewPool(8, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				limit(b)
				defer b.pool.Close()
				b.put(path, 3*ftpclient.BufferSize) // what is beyond the first buffer takes a day and a half
				overdue(t, b.withinAMinute(path))
				assert.False(t, b.last.Usable())
				eventually(t, b.deserted, "the session is closed")
			})
		})
	}
	t.Run("is wide enough", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.opt.Bandwidth = 1 << 40
		b.put(path, 3*ftpclient.BufferSize)
		require.NoError(t, b.withinAMinute(path))
	})
}

// TestBandwidthIsShared by all connections of a server, or of the pool.
func TestBandwidthIsShared(t *testing.T) {
	t.Parallel()
	const most = ftpclient.BufferSize - 1
	t.Run("of a server", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.opt.Bandwidth = 1
		b.put(path, most)
		require.NoError(t, b.withinAMinute(path))
		held := get(t, b.pool, b.opt)
		overdue(t, b.withinAMinute(path)) // on a second connection
		b.pool.Put(held)

		b.pool.CloseServer(b.opt.Name)
		b.opt.Bandwidth = 2
		require.NoError(t, b.withinAMinute(path), "a changed limit begins anew")
	})
	t.Run("of the pool", func(t *testing.T) {
		t.Parallel()
		one, two := newBed(t, ftpclient.TLSNone, ftptest.Options{}), newBed(t, ftpclient.TLSNone, ftptest.Options{})
		two.opt.Name = "branch-002"
		pool := ftpclient.NewPool(8, 1)
		defer pool.Close()
		one.pool, two.pool = pool, pool
		one.put(path, most)
		two.put(path, most)
		require.NoError(t, one.withinAMinute(path))
		overdue(t, two.withinAMinute(path))
	})
}

func TestBandwidthGivesWayToCancel(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.opt.Bandwidth = 1
	b.put(path, 3*ftpclient.BufferSize)
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	started := b.onceAt(1)
	ended := make(chan error, 1)
	go func() {
		ended <- b.do(cancelled, func(c *ftpclient.Conn) error {
			_, err := c.Retrieve(cancelled, b.wanted(path), writerFunc(func(p []byte) (int, error) {
				b.onData(len(p))
				return len(p), nil
			}))
			return err
		})
	}()
	<-started
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	eventually(t, b.deserted, "the session is closed")
}

// TestMinRateIsOfTheServer: time that this side takes (a slow writer) is not held against it.
func TestMinRateIsOfTheServer(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.put(path, size)
	b.impatient()
	b.opt.MinRate = 1 << 10
	slow := false
	require.NoError(t, b.do(ctx, func(c *ftpclient.Conn) error {
		_, err := c.Retrieve(ctx, b.wanted(path), writerFunc(func(p []byte) (int, error) {
			if !slow {
				slow = true
				<-time.After(2 * patience)
			}
			return len(p), nil
		}))
		return err
	}))
}
