package toolbuild

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/logtest"
)

// cli is the tool that these tests look for.
var cli = Tool{
	Name: "the Temporal CLI", Env: "TALON_TEMPORAL_CLI", Binary: "temporal", Takes: "about 4 minutes",
	Module: "github.com/temporalio/cli", Package: "github.com/temporalio/cli/cmd/temporal",
}

// patience bounds every wait for a condition in these tests.
const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 20*time.Millisecond, what)
}

// toolsModule is a module that pins a Temporal CLI which only says its name: its directory stands for the real one.
func toolsModule(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"go.mod": "module tools\n\ngo 1.26\n\ntool github.com/temporalio/cli/cmd/temporal\n\n" +
			"require (\n\tgithub.com/temporalio/cli " + version + " // indirect\n)\n\nreplace github.com/temporalio/cli => ./cli\n",
		"cli/go.mod":               "module github.com/temporalio/cli\n\ngo 1.26\n",
		"cli/cmd/temporal/main.go": "package main\n\nfunc main() { print(\"temporal " + version + "\") }\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// onlyOnPath makes PATH a directory with one program, and forgets any CLI the environment names.
func onlyOnPath(t *testing.T, program, target string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Symlink(target, filepath.Join(dir, program)))
	t.Setenv("PATH", dir)
	t.Setenv(cli.Env, "")
}

// scriptedGo puts a `go` on PATH that adds a line to counter and runs body, in which $binary is the -o argument.
func scriptedGo(t *testing.T, counter, body string) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	path := os.Getenv("PATH")
	script := filepath.Join(t.TempDir(), "go")
	text := "#!" + shell + "\nPATH='" + path + "'\necho built >> '" + counter + "'\nbinary=$7\n" + body + "\n"
	require.NoError(t, os.WriteFile(script, []byte(text), 0o755))
	onlyOnPath(t, "go", script)
}

func builds(t *testing.T, counter string) int {
	t.Helper()
	text, err := os.ReadFile(counter)
	require.NoError(t, err)
	return strings.Count(string(text), "built")
}

func TestFromTheEnvironmentComesFirst(t *testing.T) {
	onlyOnPath(t, "temporal", os.Args[0])
	t.Setenv(cli.Env, os.Args[0])
	path, err := FindOrBuild(t.Context(), cli, Options{})
	require.NoError(t, err)
	assert.Equal(t, os.Args[0], path)

	t.Setenv(cli.Env, filepath.Join(t.TempDir(), "none"))
	_, err = FindOrBuild(t.Context(), cli, Options{})
	assert.ErrorContains(t, err, cli.Env, "a wrong name is an error, not a reason to look elsewhere")
}

func TestOnPathComesBeforeABuild(t *testing.T) {
	onlyOnPath(t, "temporal", os.Args[0])
	path, err := FindOrBuild(t.Context(), cli, Options{})
	require.NoError(t, err)
	assert.Equal(t, "temporal", filepath.Base(path))
}

func TestIsBuiltOnceAVersion(t *testing.T) {
	goTool, err := exec.LookPath("go")
	require.NoError(t, err)
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		value, err := exec.Command(goTool, "env", name).Output()
		require.NoError(t, err)
		t.Setenv(name, strings.TrimSpace(string(value)))
	}
	onlyOnPath(t, "go", goTool)
	log := &logtest.Buffer{}
	opts := Options{ToolsDir: toolsModule(t, "v1.2.3"), CacheDir: filepath.Join(t.TempDir(), "cache"), Log: log}

	path, err := FindOrBuild(t.Context(), cli, opts)
	require.NoError(t, err)
	says, err := exec.Command(path).CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "temporal v1.2.3", string(says))
	assert.Contains(t, log.String(), "about 4 minutes, once")

	onlyOnPath(t, "nothing", os.Args[0])
	again, err := FindOrBuild(t.Context(), cli, opts)
	require.NoError(t, err, "the cache needs no compiler")
	assert.Equal(t, path, again)

	opts.ToolsDir = toolsModule(t, "v1.2.4")
	_, err = FindOrBuild(t.Context(), cli, opts)
	assert.ErrorIs(t, err, exec.ErrNotFound, "another version is not in the cache")
}

func TestBuildShowsThatItIsAlive(t *testing.T) {
	release, counter := filepath.Join(t.TempDir(), "release"), filepath.Join(t.TempDir(), "builds")
	scriptedGo(t, counter, "echo example.com/package\nwhile ! test -e '"+release+"'; do sleep 0.05; done\n: > $binary\nchmod +x $binary")
	log := &logtest.Buffer{}
	opts := Options{ToolsDir: toolsModule(t, "v1.0.0"), CacheDir: t.TempDir(), Log: log, report: 5 * time.Millisecond}

	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := FindOrBuild(t.Context(), cli, opts)
			results <- err
		}()
	}
	eventually(t, func() bool {
		return strings.Contains(log.String(), "still building") && strings.Contains(log.String(), "example.com/package")
	}, "a sign of life with the package that was compiled last")
	eventually(t, func() bool { return strings.Contains(log.String(), "waiting for it") }, "the other one waits")
	require.NoError(t, os.WriteFile(release, nil, 0o644))
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	assert.Equal(t, 1, builds(t, counter), "two that ask at the same moment share a build")
}

func TestBuildThatFailsLeavesNothing(t *testing.T) {
	counter := filepath.Join(t.TempDir(), "builds")
	scriptedGo(t, counter, "echo half > $binary\necho 'undefined: money' >&2\nexit 1")
	opts := Options{ToolsDir: toolsModule(t, "v1.0.0"), CacheDir: t.TempDir()}
	for attempt := 1; attempt <= 2; attempt++ {
		_, err := FindOrBuild(t.Context(), cli, opts)
		assert.ErrorContains(t, err, "undefined: money")
		assert.Equal(t, attempt, builds(t, counter), "a failure is not cached")
	}
	left, err := filepath.Glob(filepath.Join(opts.CacheDir, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(opts.CacheDir, "temporal-v1.0.0.lock")}, left)
}

func TestBuildEndsWithItsContext(t *testing.T) {
	counter := filepath.Join(t.TempDir(), "builds")
	scriptedGo(t, counter, "sleep 3600")
	ctx, cancel := context.WithCancel(t.Context())
	opts := Options{ToolsDir: toolsModule(t, "v1.0.0"), CacheDir: t.TempDir()}
	result := make(chan error)
	go func() {
		_, err := FindOrBuild(ctx, cli, opts)
		result <- err
	}()
	eventually(t, func() bool {
		_, err := os.Stat(counter)
		return err == nil
	}, "the build runs")
	cancel()
	assert.ErrorIs(t, <-result, context.Canceled)
}

func TestVersionMustBePinned(t *testing.T) {
	onlyOnPath(t, "nothing", os.Args[0])
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module tools\n"), 0o644))
	_, err := FindOrBuild(t.Context(), cli, Options{ToolsDir: dir, CacheDir: t.TempDir()})
	assert.ErrorIs(t, err, ErrNoVersion)
}

// The repository's own tools module must be one that is understood.
func TestVersionsOfThisRepository(t *testing.T) {
	opts := Options{ToolsDir: filepath.Join("..", "..", "tools"), CacheDir: t.TempDir()}
	for name, tool := range map[string]Tool{
		"temporal-v1.5.1":  cli,
		"versitygw-v1.8.0": {Binary: "versitygw", Module: "github.com/versity/versitygw"},
	} {
		b, err := newBuilder(tool, opts)
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(opts.CacheDir, name), b.target)
	}
}
