package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"unicode"
)

// masked is all that is ever shown of a secret.
const masked = "***"

// maxSecretFile is more than any password and less than a file that was named by mistake.
const maxSecretFile = 64 << 10

// Secret is a password: written in the file, or named there as an environment variable or a file. However it is printed,
// logged or encoded, it is "***". Copies share the value, so that resolving it once is enough. The zero Secret is "".
type Secret struct {
	// The pointer keeps the value out of reach of fmt even where it cannot call the methods below: in unexported fields.
	held *heldSecret
}

// heldSecret is either a value or a reference that has yet to be followed.
type heldSecret struct {
	value     string
	env, file string // at most one of them; file is absolute
	at        position
	known     bool // value can be revealed
}

// NewSecret returns a Secret that needs no resolving.
func NewSecret(value string) Secret {
	return Secret{&heldSecret{value: value, known: true}}
}

// Reveal returns the value. It panics on a reference that was not resolved: "" would be tried as a password.
func (s Secret) Reveal() string {
	if s.held == nil {
		return ""
	}
	if !s.held.known {
		panic("BUG: config.Secret.Reveal before it was resolved")
	}
	return s.held.value
}

// String returns "***".
func (Secret) String() string { return masked }

// GoString returns "***".
func (Secret) GoString() string { return masked }

// Format writes "***" for every verb, those included that fmt would not ask String for.
func (Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, masked) }

// LogValue returns "***".
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText returns "***".
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalJSON returns "***".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }

// MarshalYAML returns "***".
func (Secret) MarshalYAML() (any, error) { return masked, nil }

// ResolveServerSecrets reads the passwords of every server and of its proxy from where the file says they are, and the files of
// TLS. The error names, for each that cannot be had, the place in the file and what to do. Call it once, before the Config is
// shared.
func (c *Config) ResolveServerSecrets() error {
	found := problems{path: c.Path}
	c.resolve(c.serverSecrets(), &found)
	c.resolveTLS(&found)
	return found.err()
}

// ResolveExtractSecrets does the same for the passwords of archives: an eagle has no business with those of the servers, and
// a tiger opens no archive.
func (c *Config) ResolveExtractSecrets() error {
	found := problems{path: c.Path}
	c.resolve(c.archiveSecrets(), &found)
	return found.err()
}

func (c *Config) serverSecrets() []Secret {
	secrets := make([]Secret, 0, 2*len(c.Servers))
	for _, server := range c.Servers {
		secrets = append(secrets, server.Password, server.Proxy.Password)
	}
	return secrets
}

func (c *Config) archiveSecrets() []Secret {
	secrets := slices.Clone(c.Extract.Passwords)
	for _, server := range c.Servers {
		secrets = append(secrets, server.ArchivePasswords...)
	}
	return secrets
}

// ArchivePasswords are the passwords to try on the archives of a server, revealed: its own first. A name that is no server's
// has none of its own.
func (c *Config) ArchivePasswords(server string) []string {
	var revealed []string
	for _, password := range append(slices.Clone(c.Servers[server].ArchivePasswords), c.Extract.Passwords...) {
		if text := password.Reveal(); !slices.Contains(revealed, text) {
			revealed = append(revealed, text)
		}
	}
	return revealed
}

func (c *Config) resolve(secrets []Secret, found *problems) {
	tried := map[*heldSecret]bool{}
	for _, secret := range secrets {
		if secret.held == nil || secret.held.known || tried[secret.held] {
			continue
		}
		tried[secret.held] = true
		if problem := secret.held.resolve(); problem != nil {
			found.add(secret.held.at, problem.Message, problem.Hint)
		}
	}
}

// resolve follows the reference, once and for all; an Error without a place tells why it leads nowhere.
func (h *heldSecret) resolve() *Error {
	value, problem := h.read()
	if problem == nil {
		h.value, h.known = value, true
	}
	return problem
}

// read returns what the reference leads to now.
func (h *heldSecret) read() (string, *Error) {
	switch {
	case h.file != "":
		return readSecretFile(h.file)
	case h.env != "":
		return readEnv(h.env)
	}
	return h.value, nil
}

func readEnv(name string) (string, *Error) {
	value := os.Getenv(name)
	if value == "" {
		return "", &Error{
			Message: fmt.Sprintf("environment variable %s is not set, or is empty", name),
			Hint:    "set it where this program is started, or use {file: path}",
		}
	}
	return checkedSecret(value, "environment variable "+name)
}

// readSecretFile returns the content of a file without the line end that editors and echo leave behind.
func readSecretFile(name string) (string, *Error) {
	content, err := readLimited(name, maxSecretFile)
	if errors.Is(err, errTooLarge) {
		return "", &Error{
			Message: fmt.Sprintf("password file %q is too large for a password", name),
			Hint:    "name the file that holds nothing but the password",
		}
	}
	if err != nil {
		return "", unreadable(name, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if value == "" {
		return "", &Error{Message: fmt.Sprintf("password file %q is empty", name), Hint: "write the password into it"}
	}
	return checkedSecret(value, fmt.Sprintf("password file %q", name))
}

func unreadable(name string, err error) *Error {
	hint := "make it readable for the user that runs this program"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "create it, correct the path (a relative one starts at the configuration file), or use {env: NAME}"
	}
	return &Error{Message: fmt.Sprintf("cannot read password file %q (%v)", name, reason(err)), Hint: hint}
}

// checkedSecret refuses what would end the command that carries the password (CR, LF) or be cut off (NUL).
func checkedSecret(value, source string) (string, *Error) {
	if strings.ContainsFunc(value, unicode.IsControl) {
		return "", &Error{
			Message: source + " holds a line break or another control character within the password",
			Hint:    "keep nothing but the password there, in one line",
		}
	}
	return value, nil
}
