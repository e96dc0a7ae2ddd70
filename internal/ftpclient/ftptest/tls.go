package ftptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// TLSMode says whether and how a server encrypts.
type TLSMode int

// The three kinds of servers (RFC 4217; implicit TLS is the older practice on port 990).
const (
	TLSNone TLSMode = iota
	TLSExplicit
	TLSImplicit
)

// Identity is a certificate with its key, for a server or a client.
type Identity struct {
	Certificate     tls.Certificate // Leaf is set
	CertPEM, KeyPEM []byte          // the same as files would hold it
}

// Config is a server's (or a client's) TLS configuration with this certificate.
func (i Identity) Config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{i.Certificate}}
}

// Pool trusts this very certificate, and what it issued if it is an authority's.
func (i Identity) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.Certificate.Leaf)
	return pool
}

// Fingerprint is the SHA-256 of the certificate's DER form in hexadecimal.
func (i Identity) Fingerprint() string {
	sum := sha256.Sum256(i.Certificate.Leaf.Raw)
	return hex.EncodeToString(sum[:])
}

// Authority issues certificates.
type Authority struct{ Identity }

// NewAuthority makes a certificate authority that nobody trusts yet: its Pool does.
func NewAuthority() (*Authority, error) {
	id, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	}, nil)
	return &Authority{id}, err
}

// Valid is a server's certificate for 127.0.0.1, ::1 and localhost.
func (a *Authority) Valid() (Identity, error) { return issue(serverTemplate(), a) }

// Expired is one that ended a minute ago.
func (a *Authority) Expired() (Identity, error) {
	t := serverTemplate()
	t.NotAfter = time.Now().Add(-time.Minute)
	return issue(t, a)
}

// WrongName is one of another host.
func (a *Authority) WrongName() (Identity, error) {
	t := serverTemplate()
	t.IPAddresses, t.DNSNames = nil, []string{"ftp.example.org"}
	return issue(t, a)
}

// Client is a client's certificate of that common name.
func (a *Authority) Client(name string) (Identity, error) {
	return issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotAfter: time.Now().Add(time.Hour),
	}, a)
}

// SelfSigned is a server's certificate that no authority issued.
func SelfSigned() (Identity, error) { return issue(serverTemplate(), nil) }

func serverTemplate() *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotAfter: time.Now().Add(time.Hour),
	}
}

// issue signs with the template's own key if there is no authority.
func issue(template *x509.Certificate, by *Authority) (Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Identity{}, err
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return Identity{}, err
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Certificate.Leaf, by.Certificate.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return Identity{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
	id.Certificate, err = tls.X509KeyPair(id.CertPEM, id.KeyPEM)
	if err == nil && id.Certificate.Leaf == nil { // GODEBUG x509keypairleaf=0
		id.Certificate.Leaf, err = x509.ParseCertificate(der)
	}
	return id, err
}

// sessionTLS is the configuration of one control connection. Its tickets are sealed with a key of its own, so that a data
// connection which resumes at all resumes this very session.
func (s *Server) sessionTLS() *tls.Config {
	s.mu.Lock()
	config := s.tls.Clone()
	s.mu.Unlock()
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand
	config.SetSessionTicketKeys([][32]byte{key})
	if s.opt.ClientCA != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, s.opt.ClientCA
	}
	return config
}

// SetTLS changes the certificate (or what else the configuration holds) for control connections to come.
func (s *Server) SetTLS(config *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tls = config
}
