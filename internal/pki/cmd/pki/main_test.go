package main

import (
	"bytes"
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func talonPKI(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(args, &out, &err)
	return code, out.String(), err.String()
}

func TestTwoHosts(t *testing.T) {
	ca, out := filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "out")
	code, _, stderr := talonPKI("init", ca)
	require.Zero(t, code, stderr)
	code, stdout, stderr := talonPKI("issue", ca, "gateway", "--server", "--host", "gateway", "--host", "127.0.0.1", "--out", out)
	require.Zero(t, code, stderr)
	files := strings.Fields(stdout)
	require.Len(t, files, 3)
	server, err := tls.LoadX509KeyPair(files[0], files[1])
	require.NoError(t, err)
	assert.Equal(t, []string{"gateway"}, server.Leaf.DNSNames)

	code, stdout, stderr = talonPKI("issue", ca, "eagle-2", "--client", "--role", "eagle", "--days", "90", "--out", out)
	require.Zero(t, code, stderr)
	files = strings.Fields(stdout)
	client, err := tls.LoadX509KeyPair(files[0], files[1])
	require.NoError(t, err)
	assert.Equal(t, []string{"eagle"}, client.Leaf.Subject.OrganizationalUnit)
}

func TestRefusals(t *testing.T) {
	ca, out := filepath.Join(t.TempDir(), "ca"), t.TempDir()
	code, _, stderr := talonPKI("issue", ca, "eagle", "--client", "--out", out)
	assert.Equal(t, exitUnusable, code)
	assert.Contains(t, stderr, "pki init")

	code, _, _ = talonPKI("init", ca)
	require.Zero(t, code)
	for want, args := range map[string][]string{
		"there is a certificate authority already": {"init", ca},
		"--days 0":                              {"issue", ca, "eagle", "--client", "--days", "0", "--out", out},
		"neither for a server nor for a client": {"issue", ca, "eagle", "--out", out},
		`required flag(s) "out"`:                {"issue", ca, "eagle", "--client"},
		"accepts 2 arg(s)":                      {"issue", ca},
		"see pki issue --help":                  {"issue", ca, "eagle", "--sever"},
	} {
		code, stdout, stderr := talonPKI(args...)
		assert.Equal(t, exitUnusable, code, want)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, want)
	}
}

func TestHelpShowsExamples(t *testing.T) {
	for _, command := range []string{"init", "issue"} {
		code, stdout, _ := talonPKI(command, "--help")
		assert.Zero(t, code)
		assert.Contains(t, stdout, "Examples:\n  pki "+command)
	}
}
