package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"talon/internal/devstack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func secret(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// connect logs in as soon as the server is there.
func connect(t *testing.T, address, password string) *ftp.ServerConn {
	t.Helper()
	var conn *ftp.ServerConn
	require.Eventually(t, func() bool {
		var err error
		conn, err = ftp.Dial(address, ftp.DialWithTimeout(10*time.Second))
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	require.NoError(t, conn.Login("collector", password))
	return conn
}

// fetch returns the SHA-256 of all files below a directory, by their path below it.
func fetch(t *testing.T, conn *ftp.ServerConn, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for walker := conn.Walk(dir); walker.Next(); {
		require.NoError(t, walker.Err())
		if walker.Stat().Type != ftp.EntryTypeFile {
			continue
		}
		response, err := conn.Retr(walker.Path())
		require.NoError(t, err)
		sum := sha256.New()
		_, err = io.Copy(sum, response)
		require.NoError(t, err)
		require.NoError(t, response.Close())
		sums[strings.TrimPrefix(strings.TrimPrefix(walker.Path(), dir), "/")] = hex.EncodeToString(sum.Sum(nil))
	}
	return sums
}

// TestServesWhatItsManifestSays: every file that comes over FTP is in the manifest under zip/, and no other is.
func TestServesWhatItsManifestSays(t *testing.T) {
	port, err := devstack.FreePort()
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		args := []string{"--branch", "branch-003", "--listen", address, "--password-file", secret(t, "hunter2\n"), "--bulk", "1"}
		code <- execute(ctx, args, io.Discard, &stderr)
	}()
	conn := connect(t, address, "hunter2")
	served := fetch(t, conn, "/outgoing")
	require.NoError(t, conn.Quit())
	stop()
	assert.Zero(t, <-code)
	assert.NotContains(t, stderr.String(), "hunter2")

	var manifest bytes.Buffer
	require.Zero(t, execute(t.Context(), []string{"--branch", "branch-003", "--bulk", "1", "--manifest"}, &manifest, &stderr))
	listed := map[string]string{}
	for line := range strings.Lines(manifest.String()) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if name, ok := strings.CutPrefix(name, "zip/branch-003/"); ok {
			listed[name] = sum
		}
	}
	assert.Equal(t, listed, served)
	assert.Contains(t, listed, "bulk/000_20260630.zip")
}

func TestRefused(t *testing.T) {
	good := secret(t, "hunter2")
	for name, test := range map[string]struct {
		args  []string
		words string
	}{
		"no branch":      {[]string{"--password-file", good}, "the site has [branch-001"},
		"unknown branch": {[]string{"--branch", "branch-009", "--password-file", good}, `no branch "branch-009"`},
		"no password":    {[]string{"--branch", "branch-001"}, "--password-file is missing"},
		"no file":        {[]string{"--branch", "branch-002", "--password-file", "/nowhere/password"}, "/nowhere/password"},
		"empty file":     {[]string{"--branch", "branch-002", "--password-file", secret(t, "\n")}, "it must hold the password"},
		"half a range":   {[]string{"--branch", "branch-002", "--password-file", good, "--passive-from", "30000"}, "no range of ports"},
		"bad range":      {[]string{"--branch", "branch-002", "--password-file", good, "--passive-from", "2", "--passive-to", "1"}, "no range of ports"},
		"bad bulk":       {[]string{"--branch", "branch-002", "--password-file", good, "--bulk", "-1"}, "less than none"},
		"argument":       {[]string{"branch-001"}, `unexpected argument "branch-001"`},
		"bad address":    {[]string{"--branch", "branch-002", "--password-file", good, "--listen", "127.0.0.1:99999"}, "invalid port"},
	} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, 3, execute(t.Context(), test.args, &stdout, &stderr), name)
		assert.Empty(t, stdout.String(), name)
		assert.Contains(t, stderr.String(), test.words, name)
		assert.NotContains(t, stderr.String(), "hunter2", name)
	}
}
