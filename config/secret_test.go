package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hunter = "hunter2"

// TestSecretsAreNeverPrinted prints a whole Config in every way there is, plain and resolved passwords in it.
func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Setenv("TALON_TEST_PASSWORD", hunter)
	config := mustLoad(t, `
servers:
  a: {host: h, password: hunter2, proxy: {url: "http://p:1", user: u, password: hunter2}}
  b: {host: h, password: {env: TALON_TEST_PASSWORD}, proxy: {url: "socks5://p:1", user: u, password: {env: TALON_TEST_PASSWORD}}}
extract: {passwords: [hunter2, {env: TALON_TEST_PASSWORD}]}
`)
	require.NoError(t, resolveAll(config))
	require.Equal(t, hunter, config.Servers["b"].Password.Reveal())
	require.Equal(t, hunter, config.Servers["b"].Proxy.Password.Reveal())

	secret := config.Servers["a"].Password
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
		assert.NotContains(t, fmt.Sprintf(verb, config), hunter, verb)
		assert.NotContains(t, fmt.Sprintf(verb, *config), hunter, verb)
		assert.Equal(t, masked, fmt.Sprintf(verb, secret), verb)
	}
	assert.NotContains(t, fmt.Sprintf("%+v %#v", struct{ hidden Secret }{secret}, struct{ hidden *Secret }{&secret}), hunter)
	assert.Contains(t, fmt.Sprintf("%+v", config.Servers["a"]), "Password:***")

	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&logged, nil), slog.NewTextHandler(&logged, nil)} {
		slog.New(handler).Info("loaded", "config", config, "server", config.Servers["a"], "password", secret, slog.Any("p", &secret))
	}
	assert.Contains(t, logged.String(), masked)
	encodings := map[string]string{"slog": logged.String()}
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal} {
		text, err := marshal(config)
		require.NoError(t, err)
		assert.Contains(t, string(text), "small_file", name)
		encodings[name] = string(text)
	}
	text, err := xml.Marshal(secret)
	require.NoError(t, err)
	encodings["xml"] = string(text)
	for name, text := range encodings {
		assert.Contains(t, text, masked, name)
		assert.NotContains(t, text, hunter, name)
	}
	assert.Equal(t, masked, secret.String())
	assert.Equal(t, masked, secret.GoString())
}

func TestRevealBeforeResolveIsABug(t *testing.T) {
	config := mustLoad(t, `servers: {a: {host: h, password: {env: TALON_TEST_PASSWORD}}}`)
	assert.Panics(t, func() { config.Servers["a"].Password.Reveal() })
	assert.Empty(t, Secret{}.Reveal())
	assert.Equal(t, hunter, NewSecret(hunter).Reveal())
}

func writeSecret(t *testing.T, directory, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600))
}

// resolveAll is what a worker with both roles does.
func resolveAll(c *Config) error {
	return errors.Join(c.ResolveServerSecrets(), c.ResolveExtractSecrets())
}

func TestResolveSecrets(t *testing.T) {
	directory := t.TempDir()
	writeSecret(t, directory, "unix", "hunter2\n")
	writeSecret(t, directory, "windows", "hunter2\r\n")
	writeSecret(t, directory, "spaces", " hunter 2 ")
	writeSecret(t, directory, "talon.yaml", `
defaults: {host: h, password: {file: unix}}
servers:
  inherited: {}
  windows: {password: {file: windows}}
  spaces: {password: {file: ./spaces}}
  variable: {password: {env: TALON_TEST_PASSWORD}}
  none: {password: ""}
extract: {passwords: [{file: unix}, plain]}
`)
	t.Setenv("TALON_TEST_PASSWORD", "from the environment")
	config, err := Load(filepath.Join(directory, "talon.yaml"))
	require.NoError(t, err)
	require.NoError(t, resolveAll(config))
	for name, want := range map[string]string{
		"inherited": hunter, "windows": hunter, "spaces": " hunter 2 ", "variable": "from the environment", "none": "",
	} {
		assert.Equal(t, want, config.Servers[name].Password.Reveal(), name)
	}
	assert.Equal(t, hunter, config.Extract.Passwords[0].Reveal())
	assert.Equal(t, "plain", config.Extract.Passwords[1].Reveal())
}

// TestArchivePasswords: a server's own come first, each once; an eagle has them without any password of a server.
func TestArchivePasswords(t *testing.T) {
	directory := t.TempDir()
	writeSecret(t, directory, "own", "sesame\n")
	writeSecret(t, directory, "talon.yaml", `
defaults: {host: h, password: {env: TALON_TEST_UNSET}, archive_passwords: [{env: TALON_TEST_PASSWORD}]}
servers:
  own: {archive_passwords: [{file: own}, {env: TALON_TEST_COMMON}]}
  inherited: {}
extract: {passwords: [{env: TALON_TEST_COMMON}]}
`)
	t.Setenv("TALON_TEST_PASSWORD", "from the defaults")
	t.Setenv("TALON_TEST_COMMON", "for all")
	config, err := Load(filepath.Join(directory, "talon.yaml"))
	require.NoError(t, err)
	require.NoError(t, config.ResolveExtractSecrets())
	assert.Equal(t, []string{"sesame", "for all"}, config.ArchivePasswords("own"))
	assert.Equal(t, []string{"from the defaults", "for all"}, config.ArchivePasswords("inherited"))
	assert.Equal(t, []string{"for all"}, config.ArchivePasswords("unknown"))
}

func TestSecretsThatCannotBeHad(t *testing.T) {
	directory := t.TempDir()
	writeSecret(t, directory, "empty", "\n")
	writeSecret(t, directory, "lines", "hunter2\nhunter3\n")
	writeSecret(t, directory, "large", strings.Repeat("hunter2", 10_000))
	writeSecret(t, directory, "talon.yaml", `
defaults: {host: h, password: {env: TALON_TEST_UNSET}}
servers:
  a: {}
  b: {}
  c: {password: {file: missing}}
  d: {password: {file: empty}}
  e: {password: {file: lines}}
  f: {password: {file: large}}
  g: {password: {file: .}}
  h: {password: {env: TALON_TEST_EMPTY}}
  i: {password: {env: TALON_TEST_LINES}}
extract: {passwords: [{env: TALON_TEST_UNSET}]}
`)
	t.Setenv("TALON_TEST_EMPTY", "")
	t.Setenv("TALON_TEST_LINES", "hunter2\nhunter3")
	t.Chdir(directory)
	config, err := Load("talon.yaml")
	require.NoError(t, err, "a host without the passwords can load the file")

	const source = "is not set, or is empty: set it where this program is started, or use {file: path}"
	const oneLine = "holds a line break or another control character within the password: keep nothing but the password there, in one line"
	want := strings.Join([]string{
		"talon.yaml:2:31: environment variable TALON_TEST_UNSET " + source,
		fmt.Sprintf("talon.yaml:6:17: cannot read password file %q (no such file or directory): create it, correct the path "+
			"(a relative one starts at the configuration file), or use {env: NAME}", filepath.Join(directory, "missing")),
		fmt.Sprintf("talon.yaml:7:17: password file %q is empty: write the password into it", filepath.Join(directory, "empty")),
		fmt.Sprintf("talon.yaml:8:17: password file %q %s", filepath.Join(directory, "lines"), oneLine),
		fmt.Sprintf("talon.yaml:9:17: password file %q is too large for a password: name the file that holds nothing but the password", filepath.Join(directory, "large")),
		fmt.Sprintf("talon.yaml:10:17: cannot read password file %q (is a directory): make it readable for the user that runs this program", directory),
		"talon.yaml:11:17: environment variable TALON_TEST_EMPTY " + source,
		"talon.yaml:12:17: environment variable TALON_TEST_LINES " + oneLine,
		"talon.yaml:13:23: environment variable TALON_TEST_UNSET " + source,
	}, "\n")
	assert.EqualError(t, resolveAll(config), want)
	assert.EqualError(t, config.ResolveExtractSecrets(), want[strings.LastIndex(want, "\n")+1:],
		"an eagle needs no password of a server")

	t.Setenv("TALON_TEST_UNSET", hunter)
	require.NoError(t, config.ResolveExtractSecrets(), "once the cause is gone it can be tried again")
}

// TestSlipsDoNotRepeatThePassword holds what fingers and YAML's special characters make of a password: refused or accepted
// with a warning, it is not shown.
func TestSlipsDoNotRepeatThePassword(t *testing.T) {
	for _, line := range []string{
		"password:hunter2", "password hunter2: x", "passwort:hunter2\n    user: x", "password: hunter2: x", "hunter2", "hunter2:",
		"password: &hunter2", "password: *hunter2", "password: !hunter2", "password: !!hunter2 5", "password: %hunter2",
		"password: |hunter2", "password: >hunter2", "password: @hunter2", "password: `hunter2`", "password: -hunter2",
		"password: - hunter2", `password: "hunter2\q"`, `password: "hun"hunter2`, "password: 'hunter2", "password: [hunter2",
		"password: {env: hunter2", "password: {env: hunter 2}", "password: {hunter2}", "password: {hunter2: x}",
		"password: {env: X, env: hunter2}", "password: {value: hunter2}", "password: [hunter2]", "password: !<hunter2> x",
		"{user: x, hunter2}", "{user: x, 'password:hunter2'}", "<<: hunter2", "? hunter2", "password: hunter2\n    password: hunter2",
		"host: ftp://u:hunter2@h", "host: u:hunter2@h", "proxy: http://u:hunter2@h:1", "proxy: {url: 'socks5://u:hunter2@h:1'}",
		"proxy: {url: 'http://h:1', user: u, password: hunter2}", "proxy: u:hunter2@h:1", "proxy: hunter2", "proxy: http://h:hunter2",
		"proxy: {url: 'http://h:1', user: 'u:hunter2'}", "proxy: {url: 'http://h:1', user: u, password: {hunter2: x}}",
		"tls_name: ftps://u:hunter2@h",
	} {
		t.Run(line, func(t *testing.T) {
			config, err := decode("talon.yaml", "/", []byte("servers:\n  a:\n    "+line+"\n"))
			if err != nil {
				assert.NotContains(t, err.Error(), "hunter")
				return
			}
			assert.NotContains(t, fmt.Sprintf("%+v %q", config, config.Warnings), "hunter")
		})
	}
}
