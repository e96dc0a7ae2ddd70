package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"

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

// startTemporal runs a Temporal server.
func startTemporal(t *testing.T) *devstack.Temporal {
	t.Helper()
	cli, err := devstack.FindOrBuildCLI(t.Context(), devstack.CLIOptions{ToolsDir: filepath.Join("..", "..", "..", "..", "tools"), Log: os.Stderr})
	require.NoError(t, err)
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{
		CLI: cli, Headless: true, Log: filepath.Join(t.TempDir(), "temporal.log"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	return server
}

// startProgram builds this command and runs it: the program has to be whole without what tests bring along, such as the SDK.
func startProgram(t *testing.T, args ...string) (program *devstack.Process, address string) {
	t.Helper()
	path, log := filepath.Join(t.TempDir(), "temporalproxy"), filepath.Join(t.TempDir(), "log")
	output, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, string(output))
	program, err = devstack.StartProcess(devstack.ProcessOptions{
		Name: "temporalproxy", Path: path, Args: append(args, "--listen", "127.0.0.1:0", "--log", "json"), Env: os.Environ(), LogFile: log,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, program.Kill()) })
	require.NoError(t, program.WaitForLog(t.Context(), "temporalproxy listens"), program.LogTail())
	written, err := os.ReadFile(log)
	require.NoError(t, err)
	var line struct{ Address string }
	require.NoError(t, json.NewDecoder(bytes.NewReader(written)).Decode(&line))
	return program, line.Address
}

// TestFrontAndItsHealth runs the program until it is told to stop, and asks for the health of Temporal behind it, with the front's own certificate.
func TestFrontAndItsHealth(t *testing.T) {
	server, files := startTemporal(t), certificates(t)
	program, address := startProgram(t, "--upstream", server.Address(), "--cert", files.Cert, "--key", files.Key, "--client-ca", files.CA)
	check := []string{"check", "--address", address, "--cert", files.Cert, "--key", files.Key, "--ca", files.CA}
	code, said := run(t.Context(), check...)
	require.Zero(t, code, said)
	assert.NoError(t, compressedCall(t, address, files))

	require.NoError(t, server.Stop())
	code, said = run(t.Context(), check...)
	assert.Equal(t, exitSick, code)
	assert.Contains(t, said, "Temporal does not answer temporalproxy")

	require.NoError(t, program.Stop(time.Minute))
	assert.Zero(t, program.ExitCode())
	code, said = run(t.Context(), append(check, "--timeout", "2s")...)
	assert.Equal(t, exitSick, code)
	assert.Contains(t, said, "connection refused")
}

// compressedCall makes a call as the SDK does: with gzip.
func compressedCall(t *testing.T, address string, files pki.Files) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)
	pem, err := os.ReadFile(files.CA)
	require.NoError(t, err)
	authorities := x509.NewCertPool()
	require.True(t, authorities.AppendCertsFromPEM(pem))
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: authorities,
	})))
	require.NoError(t, err)
	defer func() { assert.NoError(t, conn.Close()) }()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.UseCompressor(gzip.Name))
	return err
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
