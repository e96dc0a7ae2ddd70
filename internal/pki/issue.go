package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// DefaultLifetime of a certificate: the 397 days that web browsers used to take at most, a year and a month to renew it.
const DefaultLifetime = 397 * 24 * time.Hour

// Request describes a certificate.
type Request struct {
	// Name is the Common Name, and the name of the files: letters, digits, dot, dash and underscore.
	Name string
	// Role is the Organizational Unit, from which a program takes what the holder may do; "" is Name.
	Role string
	// Server and Client tell what it may be used for; one at least.
	Server, Client bool
	// Hosts are the names and addresses under which a server is reached, without ports.
	Hosts []string
	// NotBefore is when it becomes valid; zero is an hour ago, for the sake of clocks that are behind.
	NotBefore time.Time
	// Lifetime counts from NotBefore, or from now; 0 is DefaultLifetime.
	Lifetime time.Duration
	// NewKey replaces the key of an earlier certificate of that name. Otherwise IssueTo keeps it, and replaces one file only: no moment, and no crash,
	// leaves a certificate and a key that do not match.
	NewKey bool
}

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`) // 64: ub-common-name, RFC 5280, appendix A.1
	hostPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*$`)
)

// check returns an ErrRequest for a request that would give a certificate of no use, or files in the place of others.
func (r Request) check() error {
	bad := func(problem string, arguments ...any) error {
		return fmt.Errorf("%w: %s", ErrRequest, fmt.Sprintf(problem, arguments...))
	}
	switch {
	case !namePattern.MatchString(r.Name):
		return bad("name %.80q: use letters, digits, dots, dashes and underscores, 64 at most", r.Name)
	case r.Name == strings.TrimSuffix(CAFile, filepath.Ext(CAFile)):
		return bad("name %q: those are the files of the authority itself", r.Name)
	case !namePattern.MatchString(r.Role):
		return bad("role %.80q: use letters, digits, dots, dashes and underscores, 64 at most", r.Role)
	case !r.Server && !r.Client:
		return bad("%s is neither for a server nor for a client: say --server, --client or both", r.Name)
	case r.Server && len(r.Hosts) == 0:
		return bad("no client would accept server %s without a host name: add --host for each name and address it is reached by", r.Name)
	case r.Lifetime < 0:
		return bad("%s would end before it begins", r.Name)
	}
	for _, host := range r.Hosts {
		if net.ParseIP(host) == nil && !hostPattern.MatchString(host) {
			return bad("%.80q is neither a host name nor an IP address; give it without scheme and port", host)
		}
	}
	return nil
}

// template returns the certificate to be signed.
func (r Request) template() *x509.Certificate {
	begin, counted := r.NotBefore, r.NotBefore
	if begin.IsZero() {
		counted = time.Now()
		begin = counted.Add(-skew)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: r.Name, OrganizationalUnit: []string{r.Role}},
		NotBefore: begin, NotAfter: counted.Add(r.Lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if r.Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, host := range r.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

// Pair is a certificate with its private key.
type Pair struct {
	name        string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Issue returns a new certificate with a new key, kept nowhere. ErrRequest if it cannot be.
func (c *CA) Issue(r Request) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", r.Name, err)
	}
	return c.issue(r, key)
}

func (c *CA) issue(r Request, key *ecdsa.PrivateKey) (*Pair, error) {
	if r.Role == "" {
		r.Role = r.Name
	}
	if r.Lifetime == 0 {
		r.Lifetime = DefaultLifetime
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	template := r.template()
	if end := c.certificate.NotAfter; template.NotAfter.After(end) {
		return nil, fmt.Errorf("%w: %s would outlive the authority, which ends on %s: ask for fewer days, or make a new authority",
			ErrRequest, r.Name, end.Format(time.DateOnly))
	}
	certificate, err := sign(template, c.certificate, key, c.key)
	if err != nil {
		return nil, err
	}
	return &Pair{r.Name, certificate, key}, nil
}

// TLS returns the pair as crypto/tls takes it.
func (p *Pair) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.certificate.Raw}, PrivateKey: p.key, Leaf: p.certificate}
}

// Files are the paths of what a host needs.
type Files struct {
	Cert, Key string // the pair
	CA        string // the authority that it, and its peers, are from
}

// IssueTo issues a certificate into dir, which it creates if need be: NAME.crt, NAME.key (mode 0600) and the authority's certificate ca.crt. Files of
// an earlier certificate of that name are replaced, each in one step; see Request.NewKey.
func (c *CA) IssueTo(dir string, r Request) (Files, error) {
	files := Files{filepath.Join(dir, r.Name+".crt"), filepath.Join(dir, r.Name+".key"), filepath.Join(dir, CAFile)}
	pair, fresh, err := c.pairFor(files.Key, r)
	if err != nil {
		return Files{}, err
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return Files{}, fmt.Errorf("directory of the certificate: %w", err)
	}
	if err := c.placeAuthority(dir, files.CA); err != nil {
		return Files{}, err
	}
	if fresh {
		key, err := encodeKey(pair.key)
		if err != nil {
			return Files{}, err
		}
		if err := (file{r.Name + ".key", key, keyMode}).replace(dir); err != nil {
			return Files{}, err
		}
	}
	return files, file{r.Name + ".crt", encodeCertificate(pair.certificate), certMode}.replace(dir)
}

// pairFor issues a certificate for the key in the file or, without one, for a fresh key.
func (c *CA) pairFor(keyFile string, r Request) (pair *Pair, fresh bool, err error) {
	if !r.NewKey && namePattern.MatchString(r.Name) {
		key, err := readKey(keyFile)
		if err == nil {
			pair, err = c.issue(r, key)
			return pair, false, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, false, fmt.Errorf("key of the earlier certificate: %w; --new-key replaces it", err)
		}
	}
	pair, err = c.Issue(r)
	return pair, true, err
}

// placeAuthority puts the authority's certificate beside what it issued. A file that holds other authorities is the administrator's.
func (c *CA) placeAuthority(dir, path string) error {
	err := file{CAFile, c.PEM(), certMode}.create(dir)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(there, c.PEM()) {
		return fmt.Errorf("%w in %s, another one: while authorities change, append the new one's %s to the file there", ErrExists, path, CAFile)
	}
	return nil
}
