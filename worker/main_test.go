package main

import (
	"bytes"
	"context"
	"flag"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/archive/sandbox"
)

var update = flag.Bool("update", false, "write what is printed to the golden files in testdata")

func TestMain(m *testing.M) {
	sandbox.RunIfChild()
	goleak.VerifyTestMain(m)
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// call is what a command line came to.
type call struct {
	code           int
	stdout, stderr string
}

func start(ctx context.Context, args ...string) call {
	var stdout, stderr bytes.Buffer
	code := execute(ctx, args, &stdout, &stderr)
	return call{code, stdout.String(), stderr.String()}
}

// unusable demands that the program refused to run: exit code 3, nothing on stdout, and these words on stderr.
func (c call) unusable(t *testing.T, words ...string) {
	t.Helper()
	assert.Equal(t, 3, c.code)
	assert.Empty(t, c.stdout)
	for _, word := range words {
		assert.Contains(t, c.stderr, word)
	}
}

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	return file
}

// unreachable points the program to an address at which there is no Temporal, and returns it.
func unreachable(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_CONFIG_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return address
}

const settings = `
defaults: {host: 127.0.0.1, password: {env: TALON_TEST_PASSWORD}}
servers: {branch-001: {}}
`

func TestRefused(t *testing.T) {
	config := writeFile(t, "talon.yaml", []byte(settings))
	broken := writeFile(t, "talon.yaml", []byte("servers:\n  a: {hots: x}\n"))
	noWarehouse := writeFile(t, "talon.yaml", []byte("warehouse: {root: talon.yaml}\nservers: {a: {host: h}}\n"))
	missing := filepath.Join(t.TempDir(), "nowhere.yaml")
	t.Setenv("TALON_TEST_PASSWORD", "")
	require.NoError(t, os.Unsetenv("TALON_TEST_PASSWORD"))
	for name, test := range map[string]struct {
		args  []string
		words []string
	}{
		"role":             {[]string{"--config", config, "--role", "falcon"}, []string{`no role "falcon"`, "tiger, eagle or all"}},
		"log format":       {[]string{"--config", config, "--log", "xml"}, []string{`no log format "xml"`, "text or json"}},
		"flag":             {[]string{"--rolle", "tiger"}, []string{"unknown flag: --rolle", "see worker --help"}},
		"command":          {[]string{"extrakt"}, []string{`unknown command "extrakt"`, "Did you mean this?", "extract"}},
		"no configuration": {[]string{"--config", missing}, []string{missing}},
		"configuration":    {[]string{"--config", broken}, []string{broken + ":2:7: ", "hots", "host"}},
		"warehouse":        {[]string{"--config", noWarehouse}, []string{noWarehouse + ":1:19: ", "warehouse.root"}},
		"password":         {[]string{"--config", config, "--role", "tiger"}, []string{"TALON_TEST_PASSWORD", config + ":2:"}},
	} {
		t.Run(name, func(t *testing.T) { start(t.Context(), test.args...).unusable(t, test.words...) })
	}
}

// TestNoTemporal: a worker says where it looked for Temporal, and closes what it had opened. An eagle needs no FTP password for it.
func TestNoTemporal(t *testing.T) {
	address := unreachable(t)
	config := writeFile(t, "talon.yaml", []byte(settings))
	start(t.Context(), "--config", config, "--role", "eagle").unusable(t, "cannot reach Temporal at "+address, "TEMPORAL_ADDRESS")
	t.Setenv("TALON_TEST_PASSWORD", "hunter2")
	for _, role := range []string{"tiger", "all"} {
		got := start(t.Context(), "--config", config, "--role", role, "--log", "json")
		got.unusable(t, "cannot reach Temporal at "+address)
		assert.NotContains(t, got.stderr, "hunter2")
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, example := range map[string]string{"": "worker --config talon.yaml --role tiger", "extract": "worker extract --json"} {
		line := []string{"--help"}
		if args != "" {
			line = []string{args, "--help"}
		}
		got := start(t.Context(), line...)
		assert.Zero(t, got.code)
		assert.Contains(t, got.stdout, "Examples:\n  worker ")
		assert.Contains(t, got.stdout, example)
		assert.Empty(t, got.stderr)
	}
	assert.Regexp(t, `^worker version \S+, go1\.\d+`, start(t.Context(), "--version").stdout)
}
