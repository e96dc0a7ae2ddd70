package activities

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/warehouse"
)

// listed puts a file on the branch, lists it and returns the input that asks for it.
func (s *site) listed(name, content string) DownloadInput {
	s.t.Helper()
	s.put(name, content)
	for _, file := range s.list(run1).Files {
		if file.Name == name {
			return DownloadInput{Run: run1, Server: branch, FileRef: file}
		}
	}
	require.FailNow(s.t, "not listed", name)
	return DownloadInput{}
}

func TestDownloadFile(t *testing.T) {
	s := newSite(t, "", "")
	content := strings.Repeat("statement of account\r\n", 50_000)
	in := s.listed("day/a.csv", content)
	ordinary := do(s, s.tiger.DownloadFile, in)
	local, err := locally(s, s.tiger.DownloadFile, in)
	require.NoError(t, err)
	assert.NotEqual(t, ordinary.Staged, local.Staged, "an attempt that was given up may still write")
	for _, d := range []Download{ordinary, local} {
		assert.Equal(t, sha(content), d.SHA256)
		assert.EqualValues(t, len(content), d.Size)
		assert.True(t, content == s.stage()[serverStage(run1, branch)+"/"+d.Staged], "not what the branch has")
	}
	assert.Empty(t, s.zip(), "nothing is visible before it is safe")
	assert.Equal(t, 1, s.ftp.Stats().Logins, "the connection of the listing is used again")
}

func TestDownloadFileThatCannotBeHad(t *testing.T) {
	const content = "twelve bytes"
	for reason, test := range map[string]struct {
		fault func(s *site)
		final bool
	}{
		"file_vanished": {func(s *site) { s.remove("a.csv") }, true},
		"file_changed":  {func(s *site) { s.put("a.csv", content+" and more") }, true},
		"transfer_truncated": {func(s *site) {
			s.sending(func(data io.Reader) (io.Reader, error) { return io.LimitReader(data, 5), nil })
		}, false},
		"connection_lost": {func(s *site) {
			s.sending(func(io.Reader) (io.Reader, error) { s.ftp.DropConnections(); return nil, io.ErrUnexpectedEOF })
		}, false},
	} {
		t.Run(reason, func(t *testing.T) {
			s := newSite(t, "", "")
			in := s.listed("a.csv", content)
			test.fault(s)
			_, err := attempt(s, s.tiger.DownloadFile, in)
			requireReason(t, err, reason, test.final)
			_, err = locally(s, s.tiger.DownloadFile, in)
			requireReason(t, err, reason, test.final)
			assert.Empty(t, s.stage())
		})
	}
}

// TestDownloadFileOverADeadConnection: servers close connections that lie idle, and only the next command finds out.
func TestDownloadFileOverADeadConnection(t *testing.T) {
	s := newSite(t, "", "")
	in := s.listed("a.csv", "content")
	s.ftp.DropConnections()
	d := do(s, s.tiger.DownloadFile, in)
	assert.Equal(t, map[string]string{serverStage(run1, branch) + "/" + d.Staged: "content"}, s.stage())
}

func TestDownloadFileIntoAnUnusableStage(t *testing.T) {
	s := newSite(t, "", "")
	in := s.listed("a.csv", "content")
	// A file where a directory should be: nothing can be staged.
	require.NoError(t, os.WriteFile(filepath.Join(s.tiger.Warehouse.StageDir(), "collect"), nil, 0o600))
	_, err := attempt(s, s.tiger.DownloadFile, in)
	requireReason(t, err, "internal_error", false)
	assert.Equal(t, 1, s.tiger.Pool.IdleLen(branch), "the connection is in order")
}

// held is a reader whose end comes when it is released.
type held struct {
	content  io.Reader
	started  chan struct{}
	released chan struct{}
}

func newHeld(content string) *held {
	return &held{content: bytes.NewReader([]byte(content)), started: make(chan struct{}), released: make(chan struct{})}
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.content.Read(p)
	if n > 0 || err == nil {
		return n, nil
	}
	close(h.started) // it is not read again
	<-h.released
	return 0, io.EOF
}

func TestDownloadFileHeartbeats(t *testing.T) {
	s := newSite(t, "", "")
	const content = "twelve bytes"
	in := s.listed("a.csv", content)
	data := newHeld(content)
	s.sending(func(io.Reader) (io.Reader, error) { return data, nil })
	s.checkpoint = &Checkpoint{Bytes: 5}
	var last atomic.Pointer[Checkpoint]
	s.onBeat = func(c Checkpoint) {
		if last.Swap(&c) == nil {
			close(data.released)
		}
	}
	d := do(s, s.tiger.DownloadFile, in)
	assert.Equal(t, sha(content), d.SHA256)
	require.NotNil(t, last.Load(), "an ordinary activity shows that it lives")
	left := last.Load().Staged
	require.NotNil(t, left, "what is there is told to the next attempt")
	assert.Equal(t, warehouse.Identity{Size: int64(len(content)), SHA256: sha(content)}, left.Identity)
	assert.EqualValues(t, len(content), last.Load().Bytes)
	shown, err := json.Marshal(last.Load())
	require.NoError(t, err)
	assert.NotContains(t, string(shown), base64.StdEncoding.EncodeToString([]byte(content))[:8], "no contents in a heartbeat")
}

func TestDownloadFileCancelled(t *testing.T) {
	s := newSite(t, "", "")
	in := s.listed("a.csv", "twelve bytes")
	data := newHeld("twelve")
	defer close(data.released)
	s.sending(func(io.Reader) (io.Reader, error) { return data, nil })
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx
	go func() {
		<-data.started
		cancel()
	}()
	_, err := attempt(s, s.tiger.DownloadFile, in)
	require.ErrorContains(t, err, context.Canceled.Error())
	assert.Empty(t, s.stage(), "half a file is worth nothing")
	assert.Zero(t, s.tiger.Pool.Len(), "nobody knows what the server still sends")
}

func TestDownloadFileUnknown(t *testing.T) {
	s := newSite(t, "", "")
	_, err := attempt(s, s.tiger.DownloadFile, DownloadInput{Run: run1, Server: branch, FileRef: FileRef{ID: 7}})
	require.ErrorContains(t, err, "entry 7")
}

// TestWaitingIsNotHanging: nothing can be seen to move while a connection is waited for, a long listing read, or gigabytes synced.
func TestWaitingIsNotHanging(t *testing.T) {
	times, _ := beats(t, func(ctx context.Context) {
		p := startProgress(ctx, Checkpoint{})
		defer p.stop()
		time.Sleep(2*stallAfter - time.Minute)
	})
	assert.Greater(t, times[len(times)-1], 2*stallAfter-2*time.Minute)
}
