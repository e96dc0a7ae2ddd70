package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/archive/archivetest"
	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

// TestServerNames: --server limits a run; a name that is not in the configuration is refused, with the names that are near.
func TestServerNames(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.addSite("branch-001"), s.addSite("branch-002")
	a.put("x.csv", text("a", 100))
	b.serve("x.csv", text("b", 100), written)
	s.configure("")
	s.start()
	result := s.collect(complete, "--server", "branch-001")
	assert.Len(t, result.Servers, 1)
	s.requireFiles(result)
	s.requireWarehouse()
	before := s.workflows("WorkflowType = 'CollectWorkflow'")

	refused := s.starter("collect", "--wait", "--config", s.config, "--server", "brnch-001").code(unusable)
	assert.Contains(t, refused.stderr.String(), "did you mean branch-001")
	assert.Empty(t, refused.stdout.String())
	assert.Equal(t, before, s.workflows("WorkflowType = 'CollectWorkflow'"), "refused before anything was started")

	refused = s.starter("collect", "--wait", "-o", "json", "--server", "branch-001", "--server", "branch-02").code(unusable)
	assert.Contains(t, refused.stderr.String(), "did you mean branch-002")
	assert.Empty(t, refused.stdout.String())
	s.requireWarehouse()
}

// TestNoTemporal: both programs say where they looked for Temporal.
func TestNoTemporal(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.addSite("a")
	s.configure("")
	address := "127.0.0.1:" + strconv.Itoa(ftptest.ClosedPort(t))
	s.env = []string{"TEMPORAL_ADDRESS=" + address}
	for _, args := range [][]string{{"collect", "--wait"}, {"result", "collect/x"}, {"schedule", "describe"}, {"decompress", s.dir, s.dir}} {
		assert.Contains(t, s.starter(args...).code(unusable).stderr.String(), address)
	}
	code, said := s.failingWorker(s.config)
	assert.Equal(t, unusable, code)
	assert.Contains(t, said, address)
}

// failingWorker runs a worker that is expected to end by itself.
func (s *stack) failingWorker(config string) (code int, said string) {
	s.t.Helper()
	log := filepath.Join(s.dir, "logs", "failing.log")
	process, err := devstack.StartProcess(devstack.ProcessOptions{
		Name: "worker", Path: workerProgram, Args: []string{"--config", config, "--role", "all"}, Env: s.environ(), LogFile: log,
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { assert.NoError(s.t, process.Kill()) })
	await(s, "end of the worker", process.Done())
	written, err := os.ReadFile(log)
	require.NoError(s.t, err)
	return process.ExitCode(), string(written)
}

// TestBadConfiguration: a mistake is told with its place, and nothing is started or created.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.addSite("a")
	s.configure("collect:\n  widnow: 5")
	place := s.config + ":4:3: "
	code, said := s.failingWorker(s.config)
	assert.Equal(t, unusable, code)
	assert.Contains(t, said, place)
	assert.Contains(t, said, "widnow")
	assert.NoDirExists(t, s.root)
	for _, args := range [][]string{{"collect", "--config", s.config}, {"schedule", "create", "--config", s.config}} {
		refused := s.starter(args...).code(unusable)
		assert.Contains(t, refused.stderr.String(), place)
	}
	assert.Zero(t, s.workflows(""))
	code, said = s.failingWorker(filepath.Join(s.dir, "absent.yaml"))
	assert.Equal(t, unusable, code)
	assert.Contains(t, said, "absent.yaml")
}

// TestTwoFileSystems: a directory on another file system than the warehouse cannot be published into.
func TestTwoFileSystems(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	other := otherDevice(t, s.dir)
	a := s.addSite("a")
	a.serve("x.csv", text("x", 100), written)
	s.configure("")
	s.start()
	refused := s.starter("collect", "--wait", "--buffer", other).code(unusable)
	assert.Contains(t, refused.stderr.String(), "two file systems")
	assert.Contains(t, refused.stderr.String(), other)
	source := filepath.Join(s.dir, "archives")
	require.NoError(t, os.Mkdir(source, 0o755))
	refused = s.starter("decompress", "--wait", source, other).code(unusable)
	assert.Contains(t, refused.stderr.String(), "two file systems")
	left, err := os.ReadDir(other)
	require.NoError(t, err)
	assert.Empty(t, left)

	require.NoError(t, s.tiger.Stop(stopGrace))
	require.NoError(t, os.Remove(filepath.Join(s.root, "unzip")))
	require.NoError(t, os.Symlink(other, filepath.Join(s.root, "unzip")))
	code, said := s.failingWorker(s.config)
	assert.Equal(t, unusable, code)
	assert.Contains(t, said, "two file systems")
}

// otherDevice makes a directory on another device than dir, or skips the test.
func otherDevice(t *testing.T, dir string) string {
	t.Helper()
	const memory = "/dev/shm"
	var here, there unix.Stat_t
	require.NoError(t, unix.Stat(dir, &here))
	if err := unix.Stat(memory, &there); err != nil || here.Dev == there.Dev || unix.Access(memory, unix.W_OK) != nil {
		t.Skipf("%s is not another, writable file system than %s", memory, dir)
	}
	other, err := os.MkdirTemp(memory, "talon-e2e-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(other)) })
	return other
}

// TestDecompressDirectory has a directory of archives decompressed, without and with its subdirectory, into the same place.
func TestDecompressDirectory(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.addSite("a")
	s.configure("")
	source, target := filepath.Join(s.dir, "archives"), filepath.Join(s.dir, "extracted")
	missing := s.starter("decompress", "--wait", source, target).code(unusable)
	assert.Contains(t, missing.stderr.String(), source)
	assert.Zero(t, s.workflows(""), "refused before anything was started")

	want := tree{}
	for _, stem := range []string{"file1", "file2", "sub/file4"} {
		files := withInner(stem, want)
		writeFile(t, filepath.Join(source, stem+".zip"), packZip(files...))
	}
	writeFile(t, filepath.Join(source, "file3.tar.gz"), archivetest.TarGz(withInner("file3", want)))
	writeFile(t, filepath.Join(source, "readme.txt"), []byte("no archive"))
	s.start()

	all := maps.Clone(want)
	maps.DeleteFunc(want, func(name, _ string) bool { return strings.HasPrefix(name, "sub/") })
	flat := s.decompress(source, target)
	assert.Equal(t, []string{"file1.zip", "file2.zip", "file3.tar.gz"}, slices.Sorted(maps.Keys(flat.Archives)))
	requireTree(t, target, want)
	deep := s.decompress("--recursive", source, target)
	assert.Equal(t, []string{"file1.zip", "file2.zip", "file3.tar.gz", "sub/file4.zip"}, slices.Sorted(maps.Keys(deep.Archives)))
	requireTree(t, target, all)
	s.requireWarehouse() // which this is no part of

	var later decompressResult
	s.starter("result", deep.Run, "-o", "json").code(complete).decode(&later)
	assert.Equal(t, deep, later)
}

// withInner returns the files of an archive that unpacks into the directory stem: a document, and an archive with another.
func withInner(stem string, want tree) []archivetest.File {
	outer, inner := member("doc.txt", text(stem, 500)), member("deep.txt", text("deep in "+stem, 700))
	want[stem+"/doc.txt"], want[stem+"/inner/deep.txt"] = digest(outer.Data), digest(inner.Data)
	return []archivetest.File{outer, member("inner.tar.gz", archivetest.TarGz([]archivetest.File{inner}))}
}

// decompress runs a whole decompression and checks the rows of its archives.
func (s *stack) decompress(args ...string) decompressResult {
	s.t.Helper()
	var result decompressResult
	s.starter(append([]string{"decompress", "--wait", "-o", "json"}, args...)...).code(complete).decode(&result)
	assert.Equal(s.t, len(result.Archives), result.Total)
	assert.Equal(s.t, len(result.Archives), result.Succeeded)
	for name, row := range result.Archives {
		assert.Equal(s.t, map[string]layer{name: {Archives: 1, Files: 1}, name + "/inner.tar.gz": {Files: 1}}, row.Layers)
		assert.Equal(s.t, 2, row.Received, name)
		assert.Equal(s.t, "eagle-host", row.Host, name)
		assert.False(s.t, row.EndTime.Before(row.StartTime) || row.StartTime.IsZero(), name)
	}
	return result
}

func requireTree(t *testing.T, dir string, want tree) {
	t.Helper()
	found := tree{}
	require.NoError(t, hashBelow(dir, dir, found))
	require.Equal(t, want, found)
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, data, 0o644))
}
