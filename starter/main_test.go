package main

import (
	"bytes"
	"context"
	"flag"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write what is printed to the golden files in testdata")

func TestMain(m *testing.M) {
	time.Local = time.UTC // tables show local times
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

// start runs a command line against a Temporal of memory.
func (f *fakeTemporal) start(ctx context.Context, args ...string) call {
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, dial: func(context.Context) (client.Client, error) { f.dialled++; return f, nil }}
	code := a.execute(ctx, args)
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

const settings = `
defaults: {host: 127.0.0.1}
servers: {branch-001: {}, branch-002: {}, headquarters: {}}
schedule: {every: 20m, jitter: 5s}
`

// writeConfig writes a configuration with three servers, or the one given.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "talon.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// TestRefusedBeforeDialling: what can be known to be wrong is refused before anybody asks for Temporal.
func TestRefusedBeforeDialling(t *testing.T) {
	config := writeConfig(t, settings)
	broken := writeConfig(t, "servers:\n  a: {hots: x}\n")
	missing := filepath.Join(t.TempDir(), "nowhere")
	for name, test := range map[string]struct {
		args  []string
		words []string
	}{
		"unknown flag":           {[]string{"collect", "--wiat"}, []string{"unknown flag: --wiat", "see starter collect --help"}},
		"argument":               {[]string{"collect", "branch-001"}, []string{"collect takes no arguments", `"branch-001"`, "--help"}},
		"output":                 {[]string{"collect", "-o", "xml"}, []string{`no output format "xml"`, "table, json or csv"}},
		"command":                {[]string{"colect"}, []string{`unknown command "colect"`, "Did you mean this?", "collect"}},
		"schedule command":       {[]string{"schedule", "pasue"}, []string{`unknown command "pasue"`}},
		"near miss":              {[]string{"collect", "--config", config, "--server", "brnch-001"}, []string{`no server "brnch-001"`, "did you mean branch-001"}},
		"every unknown server":   {[]string{"collect", "--config", config, "--server", "head", "--server", "branch-003"}, []string{`"head"`, `"branch-003"`}},
		"configuration":          {[]string{"collect", "--config", broken}, []string{broken + ":2:7: ", "hots"}},
		"no configuration":       {[]string{"collect", "--config", missing}, []string{missing}},
		"one argument":           {[]string{"decompress", missing}, []string{"decompress needs ZIPDIR and UNZIPDIR: 1 given"}},
		"missing directory":      {[]string{"decompress", missing, missing}, []string{"there is no directory " + missing, "--remote"}},
		"file":                   {[]string{"decompress", config, missing}, []string{config + " is not a directory"}},
		"decompress output":      {[]string{"decompress", "--remote", missing, missing, "-o", "yaml"}, []string{`"yaml"`}},
		"no run":                 {[]string{"result"}, []string{"result needs RUN: 0 given"}},
		"result output":          {[]string{"result", "x", "-o", "text"}, []string{`"text"`}},
		"probe output":           {[]string{"probe", "-o", "csv"}, []string{`"csv"`, "table or json"}},
		"describe output":        {[]string{"schedule", "describe", "-o", "csv"}, []string{`"csv"`, "table or json"}},
		"schedule unknown":       {[]string{"schedule", "create", "--config", config, "--server", "branch-01"}, []string{"did you mean branch-001"}},
		"schedule configuration": {[]string{"schedule", "create", "--config", broken}, []string{broken + ":2:7: "}},
		"too often":              {[]string{"schedule", "create", "--every", "10s"}, []string{"--every 10s is too short", "a minute"}},
		"jitter":                 {[]string{"schedule", "create", "--every", "5m", "--jitter", "5m"}, []string{"--jitter 5m0s", "interval of 5m0s"}},
		"backfill what":          {[]string{"backfill"}, []string{"--last 6h", "--from T"}},
		"backfill both":          {[]string{"backfill", "--last", "1h", "--from", "2026-01-01"}, []string{"instead of --from"}},
		"backfill future":        {[]string{"backfill", "--from", "2026-01-01", "--to", "2999-01-01T00:00:00Z"}, []string{"the future cannot be made up for"}},
		"backfill backwards":     {[]string{"backfill", "--from", "2026-01-02", "--to", "2026-01-01"}, []string{"--from must be before --to"}},
		"backfill moment":        {[]string{"backfill", "--from", "yesterday"}, []string{`--from "yesterday" is no moment`, "2026-11-23"}},
		"backfill output":        {[]string{"backfill", "--last", "1h", "-o", "csv"}, []string{`"csv"`, "table or json"}},
		"status argument":        {[]string{"status", "tiger"}, []string{"status takes no arguments"}},
		"lag":                    {[]string{"status", "--lag", "0"}, []string{"--lag is a number of intervals"}},
		"schedule argument":      {[]string{"schedule", "delete", "collect"}, []string{"delete takes no arguments"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.start(t.Context(), test.args...).unusable(t, test.words...)
			assert.Zero(t, f.dialled)
		})
	}
}

// TestNoTemporal: every command says where it looked for Temporal and what to do.
func TestNoTemporal(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_CONFIG_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, args := range [][]string{
		{"collect", "--wait", "-o", "json"},
		{"decompress", t.TempDir(), t.TempDir()},
		{"result", "collect/x"},
		{"schedule", "create"},
		{"schedule", "describe"},
		{"status"},
		{"backfill", "--last", "1h"},
		{"probe", "-o", "json"},
	} {
		var stdout, stderr bytes.Buffer
		code := (&app{stdout: &stdout, stderr: &stderr, dial: dialTemporal}).execute(t.Context(), args)
		call{code, stdout.String(), stderr.String()}.unusable(t, "cannot reach Temporal at "+address, "TEMPORAL_ADDRESS")
	}
}

// TestEveryCommandHasAnExample: help that shows how is help.
func TestEveryCommandHasAnExample(t *testing.T) {
	commands := []*cobra.Command{(&app{}).command()}
	for i := 0; i < len(commands); i++ {
		c := commands[i]
		assert.Contains(t, c.Example, c.CommandPath(), "example of %s", c.CommandPath())
		assert.NotEmpty(t, c.Short, c.CommandPath())
		commands = append(commands, c.Commands()...)
	}
	assert.Greater(t, len(commands), 12)
}

func TestHelpAndVersion(t *testing.T) {
	f := newFake()
	for _, args := range [][]string{{}, {"--help"}, {"schedule"}, {"collect", "--help"}} {
		got := f.start(t.Context(), args...)
		assert.Zero(t, got.code, args)
		assert.Contains(t, got.stdout, "Examples:\n  starter ", args)
		assert.Empty(t, got.stderr, args)
	}
	assert.Regexp(t, regexp.MustCompile(`^starter version \S+, go1\.\d+`), f.start(t.Context(), "--version").stdout)
	assert.Zero(t, f.dialled)
}
