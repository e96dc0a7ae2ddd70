package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
)

var written = time.Date(2026, 11, 23, 5, 15, 0, 0, time.UTC)

func file(name, content string) archivetest.File {
	return archivetest.File{Name: name, Data: []byte(content), ModTime: written}
}

// nested is an archive with a file, an archive that is whole and one that is cut off.
func nested() []byte {
	return archivetest.Zip([]archivetest.File{
		file("readme.txt", "read me"),
		{Name: "inner.tar.gz", Data: archivetest.TarGz([]archivetest.File{file("x.txt", "x")}), ModTime: written},
		file("broken.tar.gz", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), // a header of gzip, and no more
		file("../evil.txt", "evil"),
	})
}

// TestExtractJSON: these names and shapes are what other programs read; nothing else is on stdout.
func TestExtractJSON(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "new", "out")
	got := start(t.Context(), "extract", "--json", writeFile(t, "a.zip", nested()), dest)
	assert.Equal(t, 2, got.code)
	assert.Empty(t, got.stderr)
	golden(t, "extract.json", got.stdout)
	content, err := os.ReadFile(filepath.Join(dest, "inner", "x.txt"))
	require.NoError(t, err)
	assert.Equal(t, "x", string(content))
	assert.NoFileExists(t, filepath.Join(filepath.Dir(dest), "evil.txt"))
}

// TestExtractText is the same for people.
func TestExtractText(t *testing.T) {
	got := start(t.Context(), "extract", writeFile(t, "a.zip", nested()), t.TempDir())
	assert.Equal(t, 2, got.code)
	assert.Empty(t, got.stderr)
	golden(t, "extract.txt", got.stdout)

	got = start(t.Context(), "extract", writeFile(t, "a.zip", archivetest.Zip([]archivetest.File{file("x", "1")})), t.TempDir())
	assert.Equal(t, call{stdout: "a.zip: complete, files: 1 (1 bytes), missing: 0\n"}, got)
}

func TestExtractExitCodes(t *testing.T) {
	whole := archivetest.Zip([]archivetest.File{file("x.txt", "x")})
	for name, test := range map[string]struct {
		content []byte
		code    int
	}{
		"whole.zip":  {whole, 0},
		"cut.zip":    {whole[:len(whole)/2], 1},
		"text.zip":   {[]byte("no archive at all"), 1},
		"partly.zip": {archivetest.Zip([]archivetest.File{file("x.txt", "x"), file("/../y.txt", "y")}), 2},
	} {
		got := start(t.Context(), "extract", "--json", writeFile(t, name, test.content), t.TempDir())
		assert.Equal(t, test.code, got.code, name)
		var report struct {
			Result  int
			Refused []any
			Files   []any
			Layers  map[string]any
		}
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &report), name)
		assert.Equal(t, test.code, report.Result, name)
		assert.NotNil(t, report.Refused, "%s: an empty list is a list", name)
		assert.NotNil(t, report.Files, "%s: an empty list is a list", name)
		assert.NotEmpty(t, report.Layers, name)
	}
}

func TestExtractRefused(t *testing.T) {
	archive := writeFile(t, "a.zip", nested())
	full := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(full, "mine.txt"), []byte("mine"), 0o600))
	missing := filepath.Join(t.TempDir(), "missing.zip")
	untouched := filepath.Join(full, "untouched")
	broken := writeFile(t, "talon.yaml", []byte("servers: {a: {host: b}}\nextract: {limits: {depht: 3}}\n"))
	for name, test := range map[string]struct {
		args  []string
		words []string
	}{
		"one argument":   {[]string{archive}, []string{"extract needs ARCHIVE and DEST: 1 given", "see worker extract --help"}},
		"no archive":     {[]string{missing, untouched}, []string{"cannot read the archive file", missing}},
		"directory":      {[]string{full, untouched}, []string{"cannot read the archive file"}},
		"not empty":      {[]string{archive, full}, []string{full + " is not empty: name a new directory"}},
		"file as dest":   {[]string{archive, archive}, []string{archive, "not a directory"}},
		"configuration":  {[]string{"--config", broken, archive, untouched}, []string{broken + ":2:20: ", "depht"}},
		"unknown option": {[]string{"--jason", archive, untouched}, []string{"unknown flag: --jason"}},
	} {
		t.Run(name, func(t *testing.T) {
			start(t.Context(), append([]string{"extract"}, test.args...)...).unusable(t, test.words...)
			assert.NoDirExists(t, untouched)
		})
	}
	content, err := os.ReadFile(filepath.Join(full, "mine.txt"))
	require.NoError(t, err)
	assert.Equal(t, "mine", string(content))
}

// TestExtractWithConfiguration: limits and passwords are those of the file, as on eagle; FTP passwords are not needed.
func TestExtractWithConfiguration(t *testing.T) {
	t.Setenv("TALON_TEST_ARCHIVE_PASSWORD", "hunter2")
	config := writeFile(t, "talon.yaml", []byte(`
servers: {a: {host: b, password: {env: TALON_TEST_NOT_SET}}}
extract: {passwords: [{env: TALON_TEST_ARCHIVE_PASSWORD}], limits: {depth: 1}}
`))
	locked := writeFile(t, "locked.7z", archivetest.SevenZipEncrypted([]archivetest.File{file("x.txt", "x")}, "hunter2"))
	assert.Equal(t, 1, start(t.Context(), "extract", locked, t.TempDir()).code)
	got := start(t.Context(), "extract", "--config", config, locked, t.TempDir())
	assert.Zero(t, got.code, got.stdout)
	assert.NotContains(t, got.stdout+got.stderr, "hunter2")

	deep := writeFile(t, "deep.zip", nested())
	got = start(t.Context(), "extract", "--config", config, deep, t.TempDir())
	assert.Equal(t, 2, got.code)
	assert.Contains(t, got.stdout, "deep.zip/inner.tar.gz: limit depth: more than 1 layers")
}

// TestExtractLeavesNothingBehind: neither beside DEST nor in it, where the children have their directory if nobody may write beside it.
func TestExtractLeavesNothingBehind(t *testing.T) {
	archive := writeFile(t, "a.zip", archivetest.Zip([]archivetest.File{file("x.txt", "x")}))
	parent := t.TempDir()
	beside := filepath.Join(parent, "out")
	require.Zero(t, start(t.Context(), "extract", archive, beside).code)
	assert.Equal(t, []string{"out"}, names(t, parent))
	assert.Equal(t, []string{"x.txt"}, names(t, beside))

	root, err := scratchFor("/proc/self")
	require.Error(t, err, "neither beside nor in it: %s", root)
	inside, err := scratchFor("/dev/shm") // another file system than that beside it
	if os.IsNotExist(err) {
		t.Skip("there is no /dev/shm")
	}
	require.NoError(t, err)
	defer os.Remove(inside)
	assert.Equal(t, "/dev/shm", filepath.Dir(inside))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

// TestExtractHostile: an archive that its child dies of or hangs at is a result as any other.
func TestExtractHostile(t *testing.T) {
	config := writeFile(t, "talon.yaml", []byte("servers: {a: {host: b}}\nextract: {limits: {idle_time: 1s, memory_bytes: 256MiB}}\n"))
	archive := writeFile(t, "a.zip", archivetest.Zip([]archivetest.File{
		{Name: "files.7z", Data: archivetest.SevenZipManyFiles()}, file("x.txt", "x"),
	}))
	dest := t.TempDir()
	got := start(t.Context(), "extract", "--config", config, archive, dest)
	assert.Equal(t, 2, got.code, got.stderr)
	assert.Equal(t, []string{"files.7z", "x.txt"}, names(t, dest))
}
