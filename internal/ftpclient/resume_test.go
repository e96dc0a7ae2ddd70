package ftpclient_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// rest is what is wanted of a file of which the beginning is here.
func (b *bed) rest(path string, have []byte, tail int) ftpclient.Want {
	want := b.wanted(path)
	want.Offset, want.Tail = int64(len(have)), have[len(have)-tail:]
	return want
}

// continues fetches what is missing of a file, and only that.
func (b *bed) continues(t *testing.T, path string, have []byte) {
	t.Helper()
	tail := min(len(have), ftpclient.MaxTail)
	got, received, err := b.fetch(b.rest(path, have, tail))
	require.NoError(t, err)
	all := content(b.File(path))
	assert.True(t, bytes.Equal(all[len(have):], got), "what was collected is the rest of the file")
	assert.Equal(t, ftpclient.Received{Bytes: int64(len(all) - len(have)), Resumed: true}, received)
	retrievals := b.Retrievals(path)
	last := retrievals[len(retrievals)-1]
	assert.EqualValues(t, len(have)-tail, last.Offset)
	assert.EqualValues(t, len(all)-len(have)+tail, last.Sent)
}

func TestResume(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		all := content(b.put(path, size))
		for _, offset := range []int{some, ftpclient.MaxTail + 1, size - 1, size} {
			b.continues(t, path, all[:offset])
			assert.Equal(t, ftpclient.Yes, b.pool.Behaviour(b.opt.Name).Resume)
		}
		assert.Equal(t, 1, b.Connections())
		got, received, err := b.fetch(b.rest(path, all[:some], 1)) // a tail of one byte
		require.NoError(t, err)
		assert.True(t, bytes.Equal(all[some:], got))
		assert.True(t, received.Resumed)
	})
}

func TestResumeWithoutATailBeginsAnew(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	all := content(b.put(path, size))
	got, received, err := b.fetch(b.rest(path, all[:some], 0))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(all, got))
	assert.Equal(t, ftpclient.Received{Bytes: size}, received)
	assert.Zero(t, b.Commands("REST"))
}

// TestResumeOfASmallBeginning: if all that is here is compared again, REST is not needed, and nothing is learned of it.
func TestResumeOfASmallBeginning(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	v := b.put(path, size)
	b.continues(t, path, content(v)[:1000])
	assert.Zero(t, b.Commands("REST"))
	assert.Equal(t, ftpclient.Unknown, b.pool.Behaviour(b.opt.Name).Resume)

	_, _, err := b.fetch(b.rest(path, make([]byte, 1000), 1000))
	b.failed(t, err, ftpclient.ErrNoResume, "other bytes than those that are here already")
	assert.Equal(t, ftpclient.Unknown, b.pool.Behaviour(b.opt.Name).Resume)
}

func TestF17RESTThatIsNotHonoured(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]reaction{
		"ignored": say("350 ok"), "one byte early": ftptest.ShiftREST(-1), "one byte late": ftptest.ShiftREST(1),
		"far off": ftptest.ShiftREST(50_000), "beyond the end": ftptest.ShiftREST(size - some + ftpclient.MaxTail),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				all := content(b.put(path, size))
				b.On("REST", rest)
				got, _, err := b.fetch(b.rest(path, all[:some], ftpclient.MaxTail))
				b.failed(t, err, ftpclient.ErrNoResume, "the server sends other bytes than those that are here already: REST is ignored")
				assert.Empty(t, got, "nothing is appended")
				assert.Equal(t, ftpclient.No, b.pool.Behaviour(b.opt.Name).Resume)
				b.collects(t, path) // without REST
				b.Off("REST")
				b.continues(t, path, all[:some])
				assert.Equal(t, ftpclient.Yes, b.pool.Behaviour(b.opt.Name).Resume)
			})
		})
	}
}

// TestF17WhereEveryByteIsTheSame: the overlap proves nothing there, but the number of bytes does.
func TestF17WhereEveryByteIsTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rest  reaction
		kind  error
		words string
	}{
		"ignored":        {say("350 ok"), ftpclient.ErrNoResume, "bytes of 300000 listed"},
		"one byte early": {ftptest.ShiftREST(-1), ftpclient.ErrNoResume, "300001 bytes of 300000 listed"},
		"one byte late":  {ftptest.ShiftREST(1), ftpclient.ErrTruncated, "299999 bytes of 300000 listed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			zeros := make([]byte, size)
			b.Put(path, zeros, written)
			b.On("REST", c.rest)
			got, _, err := b.fetch(b.rest(path, zeros[:some], ftpclient.MaxTail))
			b.failed(t, err, c.kind, c.words)
			assert.LessOrEqual(t, len(got), size-some)
			b.Off("REST")
			b.continues(t, path, zeros[:some])
		})
	}
}

func TestF17RESTRefused(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"502 Command not implemented.", "501 Bad argument.", "200 ok", "550 No."} {
		t.Run(reply[:3], func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				all := content(b.put(path, size))
				b.On("REST", say(reply))
				got, _, err := b.fetch(b.rest(path, all[:some], ftpclient.MaxTail))
				b.failed(t, err, ftpclient.ErrNoResume, reply)
				assert.Empty(t, got)
				assert.Equal(t, ftpclient.No, b.pool.Behaviour(b.opt.Name).Resume)
				b.collects(t, path)
			})
		})
	}
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		all := content(b.put(path, size))
		b.On("REST", ftptest.SayAndHangUp("421 Shutting down."))
		_, _, err := b.fetch(b.rest(path, all[:some], ftpclient.MaxTail))
		b.failed(t, err, ftpclient.ErrBusy, "421 Shutting down.")
		assert.Equal(t, ftpclient.Unknown, b.pool.Behaviour(b.opt.Name).Resume, "it says nothing about REST")
	})
}

func TestResumeOfAnotherFile(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]int64{"of the same size": size, "that is shorter": some / 4, "that is empty": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				all := content(b.put(path, size))
				want := b.rest(path, all[:some], ftpclient.MaxTail)
				b.PutReader(path, ftptest.Generated(1), fresh, written.Add(time.Hour))
				got, _, err := b.fetch(want)
				b.failed(t, err, ftpclient.ErrNoResume, "RETR "+path)
				assert.Empty(t, got)
				b.collects(t, path)
			})
		})
	}
}

// TestResumedTransferBreaksAgain and is continued from there.
func TestResumedTransferBreaksAgain(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		all := content(b.put(path, size))
		b.On("RETR", ftptest.Cut(some, "426 Connection closed."))
		got, received, err := b.fetch(b.rest(path, all[:some], ftpclient.MaxTail))
		b.failed(t, err, ftpclient.ErrTruncated, "bytes of 300000 listed, 426")
		assert.Equal(t, ftpclient.Received{Bytes: some - ftpclient.MaxTail, Resumed: true}, received)
		assert.True(t, bytes.Equal(all[some:2*some-ftpclient.MaxTail], got))
		have := append(bytes.Clone(all[:some]), got...)
		b.On("RETR", ftptest.Cut(1000, "426 Connection closed.")) // within the overlap
		got, received, err = b.fetch(b.rest(path, have, ftpclient.MaxTail))
		require.Error(t, err)
		assert.Empty(t, got)
		assert.Zero(t, received)
		b.Off("RETR")
		b.continues(t, path, have)
	})
}

func TestTryResume(t *testing.T) {
	t.Parallel()
	try := func(b *bed) error {
		return b.do(ctx, func(c *ftpclient.Conn) error { return c.TryResume(ctx, path, size) })
	}
	for name, c := range map[string]struct {
		rest  reaction
		kind  error
		words string
		learn ftpclient.Answer
	}{
		"honoured": {ftptest.ShiftREST(0), nil, "", ftpclient.Yes},
		"ignored":  {say("350 ok"), ftpclient.ErrNoResume, "after REST the server sends more than what follows", ftpclient.No},
		"early":    {ftptest.ShiftREST(-1), ftpclient.ErrNoResume, "after REST the server sends more", ftpclient.No},
		"late":     {ftptest.ShiftREST(1), ftpclient.ErrTruncated, fmt.Sprintf("%d bytes of 300000 listed", size-1), ftpclient.Unknown},
		"refused":  {say("502 no"), ftpclient.ErrNoResume, "502 no", ftpclient.No},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				b.put(path, size)
				b.On("REST", c.rest)
				err := try(b)
				if c.kind == nil {
					require.NoError(t, err)
					assert.True(t, b.last.Usable())
				} else {
					b.failed(t, err, c.kind, c.words)
				}
				assert.Equal(t, c.learn, b.pool.Behaviour(b.opt.Name).Resume)
			})
		})
	}
}
