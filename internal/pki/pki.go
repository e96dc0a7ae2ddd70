// Package pki is the private certificate authority of an installation: it issues the certificates with which Talon's hosts know each other. There are
// no revocation lists: certificates are short-lived, and a stolen key means a new authority.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Names of the authority's files in its directory.
const (
	CAFile    = "ca.crt" // certificate, for everybody who is to trust the authority
	CAKeyFile = "ca.key" // private key, for nobody but the authority
)

const (
	caYears  = 10
	skew     = time.Hour // clocks of hosts differ: what was issued a moment ago has to be valid there
	keyMode  = 0o600
	certMode = 0o644
	dirMode  = 0o700

	certBlock = "CERTIFICATE"
	keyBlock  = "PRIVATE KEY" // PKCS #8, RFC 5958
)

var (
	// ErrExists: the directory holds an authority, which is never overwritten: whatever it issued would be worthless.
	ErrExists = errors.New("there is a certificate authority already")
	// ErrNoCA: the directory holds no authority that could issue.
	ErrNoCA = errors.New("no certificate authority")
	// ErrRequest: no certificate can be issued for such a request; the error says why.
	ErrRequest = errors.New("certificate request")
)

// CA is a certificate authority. It is safe for concurrent use.
type CA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewCA makes an authority (ECDSA P-256, valid for ten years) in dir, which it creates if need be. ErrExists if there is one.
func NewCA(dir string) (*CA, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("directory of the authority: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, CAFile)); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s: issue from it, or choose another directory", ErrExists, dir)
	}
	ca, err := generateCA()
	if err != nil {
		return nil, err
	}
	key, err := encodeKey(ca.key)
	if err != nil {
		return nil, err
	}
	for _, file := range []file{{CAKeyFile, key, keyMode}, {CAFile, ca.PEM(), certMode}} {
		err := file.create(dir)
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w, or half of one, in %s (%s): choose another directory", ErrExists, dir, file.name)
		}
		if err != nil {
			return nil, err
		}
	}
	return ca, nil
}

func generateCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of the authority: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Talon CA " + now.UTC().Format("2006-01-02")},
		NotBefore: now.Add(-skew), NotAfter: now.AddDate(caYears, 0, 0),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	certificate, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return &CA{certificate, key}, nil
}

// sign issues the template for the public half of key. The serial number is random (RFC 5280, section 4.1.2.2).
func sign(template, parent *x509.Certificate, key, authority *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), authority)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", template.Subject, err)
	}
	return x509.ParseCertificate(der)
}

// OpenCA opens the authority in dir. ErrNoCA if there is none, or none that is whole and private.
func OpenCA(dir string) (*CA, error) {
	fail := func(problem string, arguments ...any) (*CA, error) {
		return nil, fmt.Errorf("%w in %s: %w", ErrNoCA, dir, fmt.Errorf(problem, arguments...))
	}
	certificate, err := readCertificate(filepath.Join(dir, CAFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fail("%w: make one with `pki init`", err)
	}
	if err != nil {
		return fail("%w", err)
	}
	keyFile := filepath.Join(dir, CAKeyFile)
	key, err := readKey(keyFile)
	if err != nil {
		return fail("%w", err)
	}
	info, err := os.Stat(keyFile)
	if err != nil {
		return fail("%w", err)
	}
	switch {
	case info.Mode().Perm()&0o077 != 0:
		return fail("others may read %s (mode %#o): chmod 600 it, and think of who had the chance", keyFile, info.Mode().Perm())
	case !certificate.IsCA:
		return fail("%s is not the certificate of an authority", CAFile)
	case !key.PublicKey.Equal(certificate.PublicKey):
		return fail("%s is not the key of %s", CAKeyFile, CAFile)
	}
	return &CA{certificate, key}, nil
}

// PEM returns the authority's certificate, for those who are to trust it.
func (c *CA) PEM() []byte { return encodeCertificate(c.certificate) }

// Pool returns the authority as the only one to trust.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.certificate)
	return pool
}

func encodeCertificate(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: certificate.Raw})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}
