package gateway

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/warehouse"
)

// freeze stops versitygw in whatever it does, until thaw is called.
func (s *site) freeze() (thaw func()) {
	s.t.Helper()
	pid := s.session.server.current().Pid()
	require.NoError(s.t, unix.Kill(pid, syscall.SIGSTOP))
	eventually(s.t, func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		require.NoError(s.t, err)
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil || !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return true
	}, "all threads have stopped")
	return func() { _ = unix.Kill(pid, syscall.SIGCONT) }
}

// staged lists the files and directories of bundles, without the scratch directory itself.
func (s *site) staged() []string {
	s.t.Helper()
	found := []string{}
	require.NoError(s.t, filepath.WalkDir(s.bundle(""), func(path string, _ os.DirEntry, err error) error {
		require.NoError(s.t, err)
		if rel, err := filepath.Rel(s.bundle(""), path); err == nil && rel != "." && rel != scratchDir && rel != scratchDir+"/multipart" {
			found = append(found, rel)
		}
		return nil
	}))
	return found
}

// receiving waits until versitygw has written at least so many bytes of a file that has no name yet.
func (s *site) receiving(atLeast int64) {
	s.t.Helper()
	eventually(s.t, func() bool {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.session.server.current().Pid()))
		require.NoError(s.t, err)
		for _, file := range files {
			target, _ := os.Readlink(file)
			var stat unix.Stat_t
			if strings.Contains(target, "/"+scratchDir+"/") && unix.Stat(file, &stat) == nil && stat.Blocks*512 >= atLeast {
				return true
			}
		}
		return false
	}, "versitygw receives")
}

// slowPut sends half of an object and the rest when it is told to.
type slowPut struct {
	key, content string
	body         *io.PipeWriter
	result       chan error
}

func (s *site) slowPut(key string) *slowPut {
	s.t.Helper()
	p := &slowPut{key: key, content: bytesOf(8 << 20), result: make(chan error, 1)}
	reader, writer := io.Pipe()
	p.body = writer
	client := s.eagle()
	go func() {
		_, err := client.Client.PutObject(context.Background(), BucketStage, key, reader, int64(len(p.content)),
			minio.PutObjectOptions{DisableMultipart: true})
		_ = reader.CloseWithError(io.ErrClosedPipe)
		p.result <- err
	}()
	_, err := io.WriteString(writer, p.content[:4<<20])
	require.NoError(s.t, err)
	s.receiving(2 << 20)
	return p
}

func (p *slowPut) finish() error {
	_, _ = io.WriteString(p.body, p.content[4<<20:]) // who has failed does not read on
	_ = p.body.Close()
	return <-p.result
}

func TestKilledInTheMiddleOfAPut(t *testing.T) {
	for name, kill := range map[string]func(*site) error{
		"versitygw":   func(s *site) error { return s.KillServer() },
		"the gateway": func(s *site) error { return s.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t)
			put := s.slowPut("d1/a.tar.zst")
			_, err := s.get(BucketStage, put.key)
			assert.Equal(t, "NoSuchKey", code(err), "half an object is not there")
			require.NoError(t, kill(s))
			require.Error(t, put.finish())
			assert.Empty(t, s.staged(), "nothing is left")
			s.awaken()
			assert.Empty(t, s.staged())
			require.NoError(t, s.put(put.key, "whole"))
			content, err := s.get(BucketStage, put.key)
			require.NoError(t, err)
			assert.Equal(t, "whole", content)
		})
	}
}

// awaken starts a gateway that was killed, and waits until it serves.
func (s *site) awaken() {
	s.t.Helper()
	if s.session == nil {
		require.NoError(s.t, s.Restart(s.t.Context()))
	}
	eventually(s.t, func() bool {
		_, err := s.get(BucketZip, "branch-001/a.zip")
		if err != nil {
			assert.Equal(s.t, "ServiceUnavailable", code(err))
		}
		return err == nil
	}, "the gateway serves again")
}

func TestKilledInTheMiddleOfAGet(t *testing.T) {
	s, opts := newSite(t)
	large := bytesOf(64 << 20)
	s.write("zip/large.zip", large)
	s.start(opts)
	for name, kill := range map[string]func() error{"versitygw": s.KillServer, "the gateway": s.Kill} {
		body, info, _, err := s.eagle().GetObject(t.Context(), BucketZip, "large.zip", minio.GetObjectOptions{})
		require.NoError(t, err)
		assert.EqualValues(t, len(large), info.Size)
		_, err = io.CopyN(io.Discard, body, 1<<20)
		require.NoError(t, err)
		require.NoError(t, kill())
		rest, err := io.Copy(io.Discard, body)
		require.Error(t, err, "%s: a short object is not taken for the whole", name)
		assert.Less(t, rest, int64(len(large)-1<<20))
		require.NoError(t, body.Close())
		s.awaken()
	}
}

// parts starts an upload in parts and sends them.
func (s *site) parts(key string, count, size int) (upload string, parts []minio.CompletePart, content string) {
	s.t.Helper()
	client := s.eagle()
	upload, err := client.NewMultipartUpload(s.t.Context(), BucketStage, key, minio.PutObjectOptions{})
	require.NoError(s.t, err)
	content = bytesOf(count * size)
	for i := range count {
		part := content[i*size : (i+1)*size]
		sent, err := client.PutObjectPart(s.t.Context(), BucketStage, key, upload, i+1, strings.NewReader(part), int64(size),
			minio.PutObjectPartOptions{})
		require.NoError(s.t, err)
		parts = append(parts, minio.CompletePart{PartNumber: i + 1, ETag: sent.ETag})
	}
	return upload, parts, content
}

func (s *site) complete(ctx context.Context, key, upload string, parts []minio.CompletePart) error {
	_, err := s.eagle().CompleteMultipartUpload(ctx, BucketStage, key, upload, parts, minio.PutObjectOptions{})
	return err
}

func TestKilledBetweenTwoParts(t *testing.T) {
	s := startSite(t)
	upload, parts, content := s.parts("d1/a.tar.zst", 2, 5<<20)
	require.NoError(t, s.Kill())
	left := s.staged()
	require.Len(t, left, 4, "hash, upload, 2 parts: %v", left)
	assert.Regexp(t, `^\.sgwtmp/multipart/[0-9a-f]{64}/`+upload+`/2$`, left[3])
	s.awaken()
	_, err := s.get(BucketStage, "d1/a.tar.zst")
	assert.Equal(t, "NoSuchKey", code(err))
	require.NoError(t, s.complete(t.Context(), "d1/a.tar.zst", upload, parts), "it can be completed")
	onDisk, err := os.ReadFile(s.bundle("d1/a.tar.zst"))
	require.NoError(t, err)
	assert.True(t, content == string(onDisk))
	assert.Equal(t, []string{"d1", "d1/a.tar.zst"}, s.staged())
}

// The completion copies the parts. It is killed as soon as it can be seen; whether that was before or after the object got its name, another try
// must tell the truth.
func TestKilledInTheMiddleOfACompletion(t *testing.T) {
	const key = "d1/a.tar.zst"
	s := startSite(t)
	upload, parts, content := s.parts(key, 4, 32<<20)
	result := make(chan error, 1)
	go func() { result <- s.complete(context.Background(), key, upload, parts) }()
	pattern := s.bundle(scratchDir + "/multipart/*/*" + inProgress)
	for deadline := time.Now().Add(patience); ; {
		require.True(t, time.Now().Before(deadline))
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			break
		}
	}
	require.NoError(t, s.KillServer())
	if <-result == nil {
		t.Skip("the completion was faster")
	}
	before := s.staged()
	s.awaken()
	err := s.complete(t.Context(), key, upload, parts)
	require.NoError(t, err, "left before the restart: %v", before)
	onDisk, err := os.ReadFile(s.bundle(key))
	require.NoError(t, err, "success means that the object is there")
	assert.True(t, content == string(onDisk))
	assert.Equal(t, []string{"d1", key}, s.staged())
}

// What a kill leaves at each point of a completion, made by hand as versitygw makes it
// (backend/posix/posix.go, CompleteMultipartUploadWithCopy: data renamed, notes renamed, notes of the object, object, upload removed).
func TestEveryPointOfACompletion(t *testing.T) {
	const key = "d1/a.tar.zst"
	for _, point := range []string{"data renamed", "notes renamed", "object made"} {
		t.Run(point, func(t *testing.T) {
			s := startSite(t)
			upload, parts, content := s.parts(key, 1, 5<<20)
			require.NoError(t, s.Kill())
			parent := filepath.Dir(s.bundle(s.staged()[1]))
			active := upload + ".0123456789abcdef0123456789abcdef-1" + inProgress
			notes := filepath.Join(s.state, "attributes", BucketStage)
			require.NoError(t, os.Rename(filepath.Join(parent, upload), filepath.Join(parent, active)))
			if point != "data renamed" {
				notesParent := filepath.Join(notes, scratchDir, "multipart", filepath.Base(parent))
				require.NoError(t, os.Rename(filepath.Join(notesParent, upload), filepath.Join(notesParent, active)))
			}
			if point == "object made" {
				s.write("stage/bundles/"+key, content)
				require.NoError(t, os.MkdirAll(filepath.Join(notes, key, "meta"), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(notes, key, "meta/etag"), []byte(`"0"`), 0o600))
				require.NoError(t, os.WriteFile(filepath.Join(notes, key, "meta/mp-metadata"), []byte(`{"UploadID":"`+upload+`"}`), 0o600))
			}
			s.awaken()
			require.NoError(t, s.complete(t.Context(), key, upload, parts))
			onDisk, err := os.ReadFile(s.bundle(key))
			require.NoError(t, err)
			assert.True(t, content == string(onDisk))
			assert.NotContains(t, strings.Join(s.staged(), "\n"), upload)
		})
	}
}

// versitygw would answer a second completion with success while the first is under way, and go on with the first when its client has
// gone.
func TestCompletionsOfOneUpload(t *testing.T) {
	const key = "d1/a.tar.zst"
	s := startSite(t)
	upload, parts, content := s.parts(key, 1, 5<<20)
	thaw := s.freeze()
	defer thaw()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.complete(ctx, key, upload, parts) }()
	eventually(t, func() bool { return s.isCompleting(upload) }, "the first is under way")
	assert.Equal(t, "SlowDown", code(s.complete(t.Context(), key, upload, parts)))
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	assert.Equal(t, "SlowDown", code(s.complete(t.Context(), key, upload, parts)), "its client has gone, and it is still under way")
	thaw()
	eventually(t, func() bool { return s.complete(t.Context(), key, upload, parts) == nil }, "it is done")
	onDisk, err := os.ReadFile(s.bundle(key))
	require.NoError(t, err)
	assert.True(t, content == string(onDisk))
}

func (s *site) isCompleting(upload string) bool {
	s.session.ledger.mu.Lock()
	defer s.session.ledger.mu.Unlock()
	return s.session.ledger.completing[upload]
}

// versitygw makes the note of an object's ETag before the object: another request must not take it away between the two.
func TestANoteIsLeftToWhoeverIsWriting(t *testing.T) {
	s := startSite(t)
	ledger, note := s.session.ledger, filepath.Join(s.state, "attributes", BucketStage, "d1/a.tar.zst/meta/etag")
	require.NoError(t, ledger.begin("d1/a.tar.zst"))
	require.NoError(t, os.MkdirAll(filepath.Dir(note), 0o700))
	require.NoError(t, os.WriteFile(note, nil, 0o600))
	require.NoError(t, ledger.begin("d1/a.tar.zst"))
	assert.FileExists(t, note)
	_, err := ledger.sweep(time.Now().Add(2 * staleNote))
	require.NoError(t, err)
	assert.FileExists(t, note)
	ledger.end("d1/a.tar.zst")
	ledger.end("d1/a.tar.zst")
	require.NoError(t, ledger.begin("d1/a.tar.zst"))
	assert.NoFileExists(t, note, "nobody is writing, so it is about an object that never came to be")
	ledger.end("d1/a.tar.zst")
}

func TestASilentClientIsLetGo(t *testing.T) {
	s, opts := newSite(t)
	opts.silence = 2 * time.Second
	s.start(opts)
	put := s.slowPut("d1/a.tar.zst")
	eventually(t, func() bool { return strings.Contains(s.access.String(), "RequestTimeout") }, "nothing more has come")
	require.Error(t, put.finish())
	assert.Empty(t, s.staged())

	s.write("zip/large.zip", bytesOf(64<<20))
	body, _, _, err := s.eagle().GetObject(t.Context(), BucketZip, "large.zip", minio.GetObjectOptions{})
	require.NoError(t, err)
	defer body.Close()
	eventually(t, func() bool { return strings.Contains(s.access.String(), "large.zip") }, "nothing more was taken")
	_, err = io.Copy(io.Discard, body)
	require.Error(t, err, "and the client knows that it has not got the whole")
}

// A completion copies the parts, and may take longer than a client may be silent.
func TestVersitygwMayTakeItsTime(t *testing.T) {
	s, opts := newSite(t)
	opts.silence = 300 * time.Millisecond
	s.start(opts)
	upload, parts, _ := s.parts("d1/b.tar.zst", 1, 5)
	thaw := s.freeze()
	defer thaw()
	results := make(chan error, 2)
	go func() { results <- s.put("d1/a.tar.zst", "bundle") }()
	go func() { results <- s.complete(t.Context(), "d1/b.tar.zst", upload, parts) }()
	select {
	case err := <-results:
		require.Fail(t, "a request ended before versitygw had answered", "%v", err)
	case <-time.After(4 * opts.silence):
	}
	thaw()
	require.NoError(t, <-results)
	require.NoError(t, <-results)
}

func TestStopLetsRequestsEnd(t *testing.T) {
	s := startSite(t)
	put := s.slowPut("d1/a.tar.zst")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	eventually(t, func() bool {
		_, err := s.get(BucketZip, "branch-001/a.zip")
		return err != nil
	}, "no new requests are taken")
	require.NoError(t, put.finish())
	require.NoError(t, <-stopped)
	onDisk, err := os.ReadFile(s.bundle(put.key))
	require.NoError(t, err)
	assert.True(t, put.content == string(onDisk))
}

func TestVersitygwIsStartedAgainAndAgain(t *testing.T) {
	s := startSite(t)
	for range 3 {
		old := s.session.server.current().Pid()
		require.NoError(t, s.KillServer())
		s.awaken()
		assert.NotEqual(t, old, s.session.server.current().Pid())
	}
	assert.Contains(t, s.log.String(), "signal: killed")
}

func TestLeftoversAreRemovedWhenTheyAreOld(t *testing.T) {
	s := startSite(t)
	require.NoError(t, s.put("d1/kept.tar.zst", "kept"))
	require.NoError(t, s.put("d1/taken.tar.zst", "taken"))
	require.NoError(t, os.Remove(s.bundle("d1/taken.tar.zst")), "as tiger does")
	s.parts("d1/abandoned.tar.zst", 1, 5<<20)
	s.write("stage/bundles/"+scratchDir+"/0123.456", "of a file system without O_TMPFILE")
	notes := filepath.Join(s.state, "attributes", BucketStage)
	ledger := s.session.ledger

	removed, err := ledger.sweep(time.Now())
	require.NoError(t, err)
	assert.Zero(t, removed, "nothing is old")
	removed, err = ledger.sweep(time.Now().Add(staleNote + time.Minute))
	require.NoError(t, err)
	assert.Equal(t, 1, removed, "the notes about the one that is taken")
	assert.NoDirExists(t, filepath.Join(notes, "d1/taken.tar.zst/meta"))
	assert.DirExists(t, filepath.Join(notes, "d1/kept.tar.zst/meta"))
	removed, err = ledger.sweep(time.Now().Add(staleUpload + time.Minute))
	require.NoError(t, err)
	assert.Equal(t, []string{"d1", "d1/kept.tar.zst"}, s.staged())
	assert.Equal(t, 5, removed, "upload, file, and the notes about upload, its part and its key")
	for range 5 { // a directory goes when it has been empty for long
		_, err = ledger.sweep(time.Now().Add(staleUpload + time.Hour))
		require.NoError(t, err)
	}
	assert.NoDirExists(t, filepath.Join(notes, scratchDir))
	assert.FileExists(t, filepath.Join(notes, "meta/policy"))
	content, err := s.get(BucketStage, "d1/kept.tar.zst")
	require.NoError(t, err)
	assert.Equal(t, "kept", content)
}

func TestTigersJanitorMayRemoveEverything(t *testing.T) {
	s := startSite(t)
	require.NoError(t, s.put("d1/a.tar.zst", "a"))
	s.parts("d1/abandoned.tar.zst", 1, 5<<20)
	house, err := warehouse.Open(s.root)
	require.NoError(t, err)
	defer house.Close()
	_, err = house.SweepStage(func(string, time.Time) bool { return false })
	require.NoError(t, err)
	require.NoDirExists(t, s.bundle(""))
	require.NoError(t, s.put("d1/a.tar.zst", "b"))
	content, err := s.get(BucketStage, "d1/a.tar.zst")
	require.NoError(t, err)
	assert.Equal(t, "b", content)

	mark := time.Now()
	_, err = s.session.ledger.sweep(time.Now().Add(time.Second))
	require.NoError(t, err)
	_, err = house.SweepStage(func(_ string, changed time.Time) bool { return changed.After(mark) })
	require.NoError(t, err)
	assert.DirExists(t, s.bundle(scratchDir), "a gateway that runs keeps it fresh")
}
