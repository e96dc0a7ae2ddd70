package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/devstack"
	"talon/internal/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run executes the command line and returns its exit code and what it wrote to stderr.
func run(ctx context.Context, args ...string) (code int, stderr string) {
	var out, err bytes.Buffer
	code = execute(ctx, args, &out, &err)
	return code, err.String()
}

func certificates(t *testing.T) pki.Files {
	t.Helper()
	ca, err := pki.NewCA(t.TempDir())
	require.NoError(t, err)
	files, err := ca.IssueTo(t.TempDir(), pki.Request{Name: "gateway", Server: true, Client: true, Hosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	return files
}

// TestFrontAndItsHealth runs the command until it is told to stop, and asks for the health of Temporal behind it, with the front's own certificate.
func TestFrontAndItsHealth(t *testing.T) {
	cli, err := devstack.FindOrBuildCLI(t.Context(), devstack.CLIOptions{ToolsDir: filepath.Join("..", "..", "..", "..", "tools"), Log: os.Stderr})
	require.NoError(t, err)
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{
		CLI: cli, Headless: true, Log: filepath.Join(t.TempDir(), "temporal.log"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	files := certificates(t)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log, stderr := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, []string{
			"--listen", "127.0.0.1:0", "--upstream", server.Address(), "--log", "json",
			"--cert", files.Cert, "--key", files.Key, "--client-ca", files.CA,
		}, io.Discard, stderr)
	}()
	var line struct{ Msg, Address string }
	require.NoError(t, json.NewDecoder(log).Decode(&line))
	require.Equal(t, "temporalproxy listens", line.Msg)
	go func() { _, _ = io.Copy(io.Discard, log) }()

	check := []string{"check", "--address", line.Address, "--cert", files.Cert, "--key", files.Key, "--ca", files.CA}
	code, said := run(t.Context(), check...)
	require.Zero(t, code, said)
	require.NoError(t, server.Stop())
	code, said = run(t.Context(), check...)
	assert.Equal(t, exitSick, code)
	assert.Contains(t, said, "Temporal does not answer temporalproxy")

	stop()
	select {
	case code := <-ended:
		assert.Zero(t, code)
	case <-time.After(time.Minute):
		t.Fatal("the command does not stop")
	}
	require.NoError(t, stderr.Close())
	code, said = run(t.Context(), append(check, "--timeout", "2s")...)
	assert.Equal(t, exitSick, code)
	assert.Contains(t, said, "connection refused")
}

func TestCommandLinesThatCannotRun(t *testing.T) {
	files := certificates(t)
	good := []string{"--cert", files.Cert, "--key", files.Key, "--client-ca", files.CA}
	for want, args := range map[string][]string{
		`required flag(s) "cert", "client-ca", "key" not set`: {},
		"unknown flag: --certificate (see temporalproxy":      {"--certificate", files.Cert},
		`there is no log format "xml": use --log text`:        append(good, "--log", "xml"),
		"/nowhere/x.key":  append(good, "--key", "/nowhere/x.key"),
		"listen tcp":      append(good, "--listen", "256.0.0.1:1"),
		"unknown command": {"serve"},
	} {
		code, stderr := run(t.Context(), args...)
		assert.Equal(t, exitUnusable, code, want)
		assert.Contains(t, stderr, want)
	}
	code, stderr := run(t.Context(), "check", "--cert", "/nowhere/x.crt", "--key", files.Key, "--ca", files.CA)
	assert.Equal(t, exitSick, code)
	assert.Contains(t, stderr, "/nowhere/x.crt")
}
