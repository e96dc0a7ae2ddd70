// Package compose is what docker-compose.yml needs beside Talon's own programs: Setup makes the certificates, keys and passwords with which the
// containers know each other.
package compose

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"talon/internal/pki"
)

const (
	// renewal is how long before its end a certificate is issued anew: the setup runs with every `up`, which comes by more often than that.
	renewal = 90 * 24 * time.Hour
	// secretMode lets the setup, which owns the files, write, and their group read, which is that of the directory: the consumer's.
	secretMode = 0o640
	// shortest is a length, in bytes, that no secret made here is below.
	shortest = 16
)

// Names of files in the directories of the consumers.
const (
	authorityDir = "ca"             // mounted nowhere but in the setup
	eagleKeyFile = "eagle-s3.key"   // access:secret, of gateway and eagle
	passwordFile = "password"       // of an FTP server
	passwordsOf  = "%s.password"    // of an FTP server, with tiger
	temporalName = "temporal-front" // is also a client: of its own health check
)

// ErrNoDirectory tells that a consumer's volume is not mounted: what is written elsewhere nobody would read, and nobody would miss.
var ErrNoDirectory = errors.New("there is no directory for the secrets of a container")

// certificates are who gets which, each in a directory of its name. The name is also the role, which the front of Temporal looks at.
var certificates = []pki.Request{
	{Name: temporalName, Server: true, Client: true, Hosts: []string{temporalName, "localhost"}},
	{Name: "gateway", Server: true, Hosts: []string{"gateway", "localhost"}},
	{Name: "tiger", Client: true},
	{Name: "eagle", Client: true},
	{Name: "starter", Client: true},
}

// shared is a secret that two containers know: it is made for the first and copied to the second.
type shared struct {
	first, second string // paths below the root
	format        string // with a random text in place of %s
}

func secrets(branches []string) []shared {
	all := []shared{{filepath.Join("gateway", eagleKeyFile), filepath.Join("eagle", eagleKeyFile), "eagle:%s"}}
	for _, branch := range branches {
		all = append(all, shared{filepath.Join(branch, passwordFile), filepath.Join("tiger", fmt.Sprintf(passwordsOf, branch)), "%s"})
	}
	return all
}

// setup is a run of Setup.
type setup struct {
	root string
	w    io.Writer
	ca   *pki.CA
}

// Setup makes what is missing below root, where each consumer has a directory of its name, and tells w about it: an authority, a certificate for each
// that needs one, eagle's key for the gateway, and the password of each branch's FTP server. What is there is kept; a certificate near its end is
// renewed, with the same key. ErrNoDirectory if a consumer's directory is missing.
func Setup(root string, branches []string, w io.Writer) error {
	s := &setup{root: root, w: w}
	if err := s.openAuthority(); err != nil {
		return err
	}
	for _, request := range certificates {
		if err := s.issue(request); err != nil {
			return fmt.Errorf("certificate of %s: %w", request.Name, err)
		}
	}
	for _, secret := range secrets(branches) {
		if err := s.share(secret); err != nil {
			return fmt.Errorf("secret %s: %w", secret.first, err)
		}
	}
	return nil
}

// dir is the directory of a consumer, which has to be there.
func (s *setup) dir(consumer string) (string, error) {
	dir := filepath.Join(s.root, consumer)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%w: mount a volume at %s", ErrNoDirectory, dir)
	}
	return dir, nil
}

func (s *setup) openAuthority() error {
	dir, err := s.dir(authorityDir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, pki.CAFile)); err == nil {
		s.ca, err = pki.OpenCA(dir)
		return err
	}
	// A key without a certificate, which comes second, has signed nothing: a setup was interrupted.
	if err := os.Remove(filepath.Join(dir, pki.CAKeyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fmt.Fprintln(s.w, "made a certificate authority")
	s.ca, err = pki.NewCA(dir)
	return err
}

// issue issues a certificate unless a good one is there.
func (s *setup) issue(request pki.Request) error {
	dir, err := s.dir(request.Name)
	if err != nil {
		return err
	}
	key := filepath.Join(dir, request.Name+".key")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, request.Name+".crt"), key)
	why := "there was none, or none of use"
	if err == nil {
		why = s.objection(pair.Leaf, request.Hosts)
	}
	if why != "" {
		request.NewKey = err != nil
		if _, err := s.ca.IssueTo(dir, request); err != nil {
			return fmt.Errorf("%w; or begin anew with `docker compose down --volumes`, which also deletes what was collected", err)
		}
		fmt.Fprintf(s.w, "issued a certificate for %s: %s\n", request.Name, why)
	}
	return entrust(key) // also if an interrupted setup had not come to it
}

// objection says why a certificate has to be issued anew, or "".
func (s *setup) objection(certificate *x509.Certificate, hosts []string) string {
	if end := certificate.NotAfter; end.Before(time.Now().Add(renewal)) {
		return "the old one ends on " + end.Format(time.DateOnly)
	}
	options := x509.VerifyOptions{Roots: s.ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := certificate.Verify(options); err != nil {
		return "the old one is not of this authority"
	}
	for _, host := range hosts {
		if certificate.VerifyHostname(host) != nil {
			return "the old one is not for " + host
		}
	}
	return ""
}

// share makes the secret if it is missing, and copies it where it is missing or another.
func (s *setup) share(secret shared) error {
	for _, file := range []string{secret.first, secret.second} {
		if _, err := s.dir(filepath.Dir(file)); err != nil {
			return err
		}
	}
	first, second := filepath.Join(s.root, secret.first), filepath.Join(s.root, secret.second)
	text, err := os.ReadFile(first)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(text) < shortest {
		text = fmt.Appendf(nil, secret.format+"\n", rand.Text())
		if err := replace(first, text); err != nil {
			return err
		}
		fmt.Fprintf(s.w, "made the secret %s\n", secret.first)
	}
	if copied, err := os.ReadFile(second); err == nil && bytes.Equal(copied, text) {
		return nil
	}
	return replace(second, text)
}

// replace writes a file in one step: whoever reads it sees a whole secret.
func replace(file string, content []byte) error {
	temporary := file + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	if err := entrust(temporary); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}

// entrust lets the group of the directory read a file. A user may give files to a group that it is a member of (chown(2)).
func entrust(file string) error {
	info, err := os.Stat(filepath.Dir(file))
	if err != nil {
		return err
	}
	group := info.Sys().(*syscall.Stat_t).Gid
	if err := os.Chown(file, -1, int(group)); err != nil {
		return fmt.Errorf("%w: the setup has to be in group %d", err, group)
	}
	return os.Chmod(file, secretMode)
}
