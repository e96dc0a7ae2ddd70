package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

// extractSeveral is the command line for several archives.
func extractSeveral(ctx context.Context, archives []string, dest string, flags ...string) call {
	return start(ctx, slices.Concat([]string{"extract"}, flags, archives, []string{dest})...)
}

func zipOf(t *testing.T, name, content string) string {
	t.Helper()
	return writeFile(t, name, archivetest.Zip([]archivetest.File{file("x.txt", content)}))
}

// contents are all files below a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		found[name] = string(content)
		return err
	}))
	return found
}

// TestExtractSeveral: each archive has a directory of its own, also where two are called the same; the reports are in the
// order of the arguments.
func TestExtractSeveral(t *testing.T) {
	archives := []string{
		zipOf(t, "b.zip", "1"), zipOf(t, "a.tar.gz", "22"), zipOf(t, "b.zip", "333"), zipOf(t, "b.tar.gz", "4444"), zipOf(t, "b~2.zip", "55555"),
	}
	dest := filepath.Join(t.TempDir(), "new", "out")
	assert.Equal(t, call{stdout: "b.zip: complete, files: 1 (1 bytes), missing: 0\na.tar.gz: complete, files: 1 (2 bytes), missing: 0\n" +
		"b.zip: complete, files: 1 (3 bytes), missing: 0\nb.tar.gz: complete, files: 1 (4 bytes), missing: 0\n" +
		"b~2.zip: complete, files: 1 (5 bytes), missing: 0\n"}, extractSeveral(t.Context(), archives, dest))
	assert.Equal(t, map[string]string{
		"b/x.txt": "1", "a/x.txt": "22", "b~2/x.txt": "333", "b~3/x.txt": "4444", "b~2~2/x.txt": "55555",
	}, contents(t, dest))
}

// TestExtractSeveralJSON: each line is what the archive would have had for itself.
func TestExtractSeveralJSON(t *testing.T) {
	archives := []string{writeFile(t, "a.zip", nested()), writeFile(t, "none.zip", []byte("no archive at all"))}
	got := extractSeveral(t.Context(), archives, t.TempDir(), "--json")
	assert.Equal(t, 2, got.code)
	assert.Empty(t, got.stderr)
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	require.Len(t, lines, len(archives))
	for i, archive := range archives {
		assert.JSONEq(t, start(t.Context(), "extract", "--json", archive, t.TempDir()).stdout, lines[i])
	}
}

func TestExtractSeveralExitCodes(t *testing.T) {
	whole, partly, none := zipOf(t, "whole.zip", "x"), writeFile(t, "partly.zip", nested()), writeFile(t, "none.zip", []byte("no archive"))
	missing := filepath.Join(t.TempDir(), "missing.zip")
	for name, test := range map[string]struct {
		archives []string
		code     int
	}{
		"all":             {[]string{whole, whole}, 0},
		"none":            {[]string{none, none}, 1},
		"some":            {[]string{none, whole}, 2},
		"all partly":      {[]string{partly, partly}, 2},
		"whole or partly": {[]string{whole, partly}, 2},
		"not all tried":   {[]string{missing, whole}, 3},
		"nothing tried":   {[]string{missing, missing}, 3},
	} {
		assert.Equal(t, test.code, extractSeveral(t.Context(), test.archives, t.TempDir()).code, name)
	}
}

// TestExtractSeveralDespiteOne: what cannot be tried is named, and keeps nobody else from being extracted.
func TestExtractSeveralDespiteOne(t *testing.T) {
	dest := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dest, "full"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dest, "full", "mine.txt"), []byte("mine"), 0o600))
	missing, full, good := filepath.Join(dest, "missing.zip"), zipOf(t, "full.zip", "x"), zipOf(t, "good.zip", "x")
	got := extractSeveral(t.Context(), []string{missing, full, good}, dest)
	assert.Equal(t, call{
		code:   3,
		stdout: "good.zip: complete, files: 1 (1 bytes), missing: 0\n",
		stderr: "worker: " + missing + ": cannot read the archive file: stat " + missing + ": no such file or directory\n" +
			"worker: " + full + ": " + filepath.Join(dest, "full") + " is not empty: name a new directory\n",
	}, got)
	assert.Equal(t, map[string]string{"full/mine.txt": "mine", "good/x.txt": "x"}, contents(t, dest))
}

// engine is an Extractor in the test's own words.
type engine func(context.Context, archive.Request) (archive.Report, error)

func (e engine) Extract(ctx context.Context, request archive.Request) (archive.Report, error) {
	return e(ctx, request)
}

// TestExtractSeveralAtOnce: no archive is ready before two are at work.
func TestExtractSeveralAtOnce(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	meet := engine(func(_ context.Context, request archive.Request) (archive.Report, error) {
		both.Done()
		both.Wait()
		return archive.Report{Archive: filepath.Base(request.Archive)}, nil
	})
	requests := requestEach(archive.Request{}, []string{zipOf(t, "a.zip", "x"), zipOf(t, "b.zip", "x")}, t.TempDir())
	var stdout bytes.Buffer
	require.NoError(t, extractAll(t.Context(), meet, requests, &stdout, io.Discard, false))
	assert.Equal(t, "a.zip: complete, files: 0 (0 bytes), missing: 0\nb.zip: complete, files: 0 (0 bytes), missing: 0\n", stdout.String())
}

// TestExtractAPipe: nobody waits for the other end of a pipe (fifo(7)).
func TestExtractAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe.zip")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	start(t.Context(), "extract", pipe, t.TempDir()).unusable(t, "pipe.zip is not a regular file")
}

func TestExtractSeveralStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dest := t.TempDir()
	extractSeveral(ctx, []string{zipOf(t, "a.zip", "x"), zipOf(t, "b.zip", "x")}, dest).unusable(t, "context canceled")
	assert.Empty(t, contents(t, dest))
}

// TestExtractSeveralUnprinted: a report that nobody gets is no success.
func TestExtractSeveralUnprinted(t *testing.T) {
	closed, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	args := []string{"extract", zipOf(t, "a.zip", "x"), zipOf(t, "b.zip", "x"), t.TempDir()}
	assert.Equal(t, exitUnusable, execute(t.Context(), args, closed, io.Discard))
}
