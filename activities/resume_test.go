package activities

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

const (
	largeSize = 1 << 20
	large     = "/outgoing/large.bin"
)

// putLarge puts a file on the branch that is worth resuming, lists it, and returns its contents and the input that asks for it.
func putLarge(s *site, branch *ftptest.Server) (string, DownloadInput) {
	s.t.Helper()
	content := make([]byte, largeSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	branch.Put(large, content, written)
	page := s.list(run1)
	require.Len(s.t, page.Files, 1)
	return string(content), DownloadInput{Run: run1, Server: "branch-001", FileRef: page.Files[0]}
}

// broken is an attempt that fails after half of the file; what it leaves is the next attempt's checkpoint.
func broken(s *site, branch *ftptest.Server, in DownloadInput) Checkpoint {
	s.t.Helper()
	branch.On("RETR", ftptest.First(1, ftptest.Cut(largeSize/2, "426 broken"), ftptest.Default("RETR")))
	var last atomic.Pointer[Checkpoint]
	s.onBeat = func(c Checkpoint) { last.Store(&c) }
	_, err := attempt(s, s.tiger.DownloadFile, in)
	requireReason(s.t, err, "transfer_truncated", false)
	s.onBeat = nil
	left := last.Load()
	require.NotNil(s.t, left, "a failed attempt reports what it leaves")
	s.checkpoint = left
	return *left
}

func TestDownloadContinues(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	content, in := putLarge(s, branch)
	left := broken(s, branch, in)
	require.NotNil(t, left.Staged)
	assert.EqualValues(t, largeSize/2, left.Staged.Size)

	d := do(s, s.tiger.DownloadFile, in)
	assert.Equal(t, sha(content), d.SHA256)
	assert.EqualValues(t, largeSize, d.Size)
	transfers := branch.Retrievals(large)
	require.Len(t, transfers, 2)
	assert.Equal(t, left.Staged.Size-64<<10, transfers[1].Offset, "the last of what is here comes again, to be compared")
	assert.NotEqual(t, left.Staged.Name, serverStage(run1, in.Server)+"/"+d.Staged, "the attempt before may still be writing")

	row := do(s, s.tiger.CommitServer, s.commitInput(run1, []FileOutcome{{ID: in.ID, Download: &d}})).Row
	assert.Equal(t, Success, row.Result)
	assert.Equal(t, map[string]string{branchFile("large.bin"): content}, s.zip())
	assert.Empty(t, s.stage())
}

// TestDownloadContinuesWithAnotherWorker: the process that began it is gone, and with it what its pool knew.
func TestDownloadContinuesWithAnotherWorker(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	content, in := putLarge(s, branch)
	broken(s, branch, in)
	s.open()
	assert.Equal(t, sha(content), do(s, s.tiger.DownloadFile, in).SHA256)
	assert.Positive(t, branch.Retrievals(large)[1].Offset)
}

// TestDownloadContinuesAfterADeadConnection: the pool then tries once more, on a fresh one, and what is here must not be lost by that.
func TestDownloadContinuesAfterADeadConnection(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	content, in := putLarge(s, branch)
	broken(s, branch, in)
	s.list(run1)
	require.Equal(t, 1, s.tiger.Pool.IdleLen(in.Server))
	branch.HangUp()
	assert.Equal(t, sha(content), do(s, s.tiger.DownloadFile, in).SHA256)
	transfers := branch.Retrievals(large)
	assert.Positive(t, transfers[len(transfers)-1].Offset)
}

// TestDownloadBeginsAnew: where it cannot be proven that the file is continued, it is fetched from its beginning.
func TestDownloadBeginsAnew(t *testing.T) {
	for name, spoil := range map[string]func(s *site, branch *ftptest.Server, staged string){
		"REST is ignored":       func(_ *site, branch *ftptest.Server, _ string) { branch.On("REST", ftptest.Say("350 ok")) },
		"REST is off by some":   func(_ *site, branch *ftptest.Server, _ string) { branch.On("REST", ftptest.ShiftREST(-7)) },
		"REST is refused":       func(_ *site, branch *ftptest.Server, _ string) { branch.On("REST", ftptest.Say("502 no")) },
		"what was here is gone": func(_ *site, _ *ftptest.Server, staged string) { _ = os.Remove(staged) },
		"what was here is shorter": func(_ *site, _ *ftptest.Server, staged string) {
			_ = os.Truncate(staged, 300<<10)
		},
		"what was here has rotted": func(s *site, _ *ftptest.Server, staged string) {
			file, err := os.OpenFile(staged, os.O_WRONLY, 0)
			require.NoError(s.t, err)
			_, err = file.WriteAt([]byte("rot"), 1000)
			require.NoError(s.t, err)
			require.NoError(s.t, file.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, branch := newScripted(t, ftptest.Options{}, "")
			content, in := putLarge(s, branch)
			left := broken(s, branch, in)
			spoil(s, branch, filepath.Join(s.tiger.Warehouse.StageDir(), left.Staged.Name))
			d := do(s, s.tiger.DownloadFile, in)
			assert.Equal(t, sha(content), d.SHA256)
			transfers := branch.Retrievals(large)
			assert.Zero(t, transfers[len(transfers)-1].Offset)
		})
	}
}

// TestDownloadOfAReplacedFile: a file of the same size that took the place of the first is never spliced to its beginning.
func TestDownloadOfAReplacedFile(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	_, in := putLarge(s, branch)
	broken(s, branch, in)
	branch.Put(large, bytes.Repeat([]byte("other"), largeSize/5+1)[:largeSize], written.Add(1))
	branch.Off("RETR")
	// By its time it is the listed version still, but its bytes do not continue what is here: it is taken whole.
	d := do(s, s.tiger.DownloadFile, in)
	assert.Equal(t, branch.File(large).SHA256(), d.SHA256)

	s.checkpoint = nil
	branch.Put(large, bytes.Repeat([]byte("third"), largeSize/5+1)[:largeSize], written.Add(2e9))
	_, err := attempt(s, s.tiger.DownloadFile, in)
	requireReason(t, err, "file_changed", true)
}

// TestSmallRemainsAreNotKept: neither a few bytes nor what no attempt would be told of.
func TestSmallRemainsAreNotKept(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	_, in := putLarge(s, branch)
	branch.On("RETR", ftptest.Cut(1000, "426 broken"))
	_, err := attempt(s, s.tiger.DownloadFile, in)
	requireReason(t, err, "transfer_truncated", false)
	assert.Empty(t, s.stage())
	branch.On("RETR", ftptest.Cut(largeSize/2, "426 broken"))
	_, err = locally(s, s.tiger.DownloadFile, in)
	requireReason(t, err, "transfer_truncated", false)
	assert.Empty(t, s.stage(), "a local activity has no heartbeats")
}

// TestDownloadThatIsCancelledContinues: a worker that is stopped leaves what it has.
func TestDownloadThatIsCancelledContinues(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, "")
	content, in := putLarge(s, branch)
	release := make(chan struct{})
	defer close(release)
	branch.On("RETR", ftptest.First(1, ftptest.Stall(largeSize/2, release), ftptest.Default("RETR")))
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx
	var last atomic.Pointer[Checkpoint]
	s.onBeat = func(c Checkpoint) {
		last.Store(&c)
		cancel() // what a heartbeat told of is there
	}
	_, err := attempt(s, s.tiger.DownloadFile, in)
	require.Error(t, err)
	s.ctx, s.onBeat, s.checkpoint = context.Background(), nil, last.Load()
	require.NotNil(t, s.checkpoint.Staged)
	assert.Equal(t, sha(content), do(s, s.tiger.DownloadFile, in).SHA256)
	assert.Positive(t, branch.Retrievals(large)[1].Offset)
}

// TestContradictions: where the server's words contradict each other, a second transfer decides.
func TestContradictions(t *testing.T) {
	const content = "four lines\nof\ntext\nand no more\n"
	mlsd := func(size string) ftptest.Reaction {
		return ftptest.Send("type=file;modify=20260630180007;size="+size+"; a.csv\r\n", "226 done")
	}
	for name, c := range map[string]struct {
		arrange func(branch *ftptest.Server)
		reason  string // "": it is collected
		note    string
	}{
		"listed too long":         {func(b *ftptest.Server) { b.On("MLSD", mlsd("100")) }, "", "listed with 100 bytes"},
		"listed too short":        {func(b *ftptest.Server) { b.On("MLSD", mlsd("3")) }, "", "listed with 3 bytes"},
		"never confirmed":         {func(b *ftptest.Server) { b.On("RETR", ftptest.NoFinal()) }, "", "never confirms"},
		"confirmed the next time": {func(b *ftptest.Server) { b.On("RETR", ftptest.First(1, ftptest.NoFinal(), ftptest.Default("RETR"))) }, "", ""},
		"other bytes each time": {func(b *ftptest.Server) {
			b.On("RETR", ftptest.First(1, ftptest.NoFinal(), ftptest.Send(strings.ToUpper(content), "")))
		}, "transfer_unconfirmed", ""},
		"cut, and called complete": {func(b *ftptest.Server) { b.On("RETR", ftptest.Cut(9, "226 done")) }, "transfer_truncated", ""},
		"ASCII":                    {func(b *ftptest.Server) { b.On("TYPE", ftptest.Say("200 ok")) }, "transfer_truncated", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, branch := newScripted(t, ftptest.Options{}, ", idle_timeout: 300ms")
			branch.Put("/outgoing/a.csv", []byte(content), written)
			c.arrange(branch)
			page := s.list(run1)
			in := DownloadInput{Run: run1, Server: "branch-001", FileRef: page.Files[0]}
			d, err := attempt(s, s.tiger.DownloadFile, in)
			if c.reason != "" {
				requireReason(t, err, c.reason, false)
				assert.Empty(t, s.stage())
				return
			}
			require.NoError(t, err)
			assert.Equal(t, sha(content), d.SHA256)
			assert.Contains(t, d.Note, c.note)
			assert.Equal(t, c.note == "", d.Note == "")
			do(s, s.tiger.CommitServer, s.commitInput(run1, []FileOutcome{{ID: in.ID, Download: &d}}))
			conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run1})
			assert.Equal(t, d.Note, s.report(run1).Files[0].Note)
		})
	}
}
