package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/goccy/go-yaml/ast"
)

// maxPEMFile is more than any bundle of certificates and less than a file that was named by mistake.
const maxPEMFile = 4 << 20

// TLSMaterial is what the PEM files of a server hold. However it is printed, logged or encoded, it is "***".
type TLSMaterial struct {
	Roots       *x509.CertPool   // the authorities to trust, and no others; nil: those of the system
	Certificate *tls.Certificate // what we show to the server; nil: nothing
}

// Format writes "***" for every verb: a certificate carries its private key.
func (TLSMaterial) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, masked) }

// MarshalText returns "***".
func (TLSMaterial) MarshalText() ([]byte, error) { return []byte(masked), nil }

// tlsVersions, the oldest first.
var tlsVersions = []struct {
	name    string
	version uint16
}{{"1.0", tls.VersionTLS10}, {"1.1", tls.VersionTLS11}, {"1.2", tls.VersionTLS12}, {"1.3", tls.VersionTLS13}}

// tlsVersion sets a version of TLS, which a reader may take for a fraction; "none" is 0, where that is allowed.
func (d *decoder) tlsVersion(target *uint16, none bool) setter {
	hint := `use "1.2" or "1.3"; for an old server, "1.0" or "1.1"`
	if none {
		hint = `use none, "1.2" or "1.3"`
	}
	return func(e entry) {
		text, ok := plainText(e.value)
		if node, fraction := e.value.(*ast.FloatNode); fraction {
			text, ok = node.Token.Value, true
		}
		if !ok {
			d.addWrongType(e, "a version of TLS", hint)
			return
		}
		if none && text == "none" {
			*target = 0
			return
		}
		for _, known := range tlsVersions {
			if known.name != text {
				continue
			}
			*target = known.version
			if known.version < tls.VersionTLS12 {
				d.warnings.add(e.at, fmt.Sprintf("%s: TLS %s is broken (RFC 8996)", e.key, text), `have the server updated, then use "1.2"`)
			}
			return
		}
		d.add(e.at, fmt.Sprintf("%s cannot be %.60q", e.key, text), hint)
	}
}

// localFile sets the path of a file of this host, absolute, and none by "".
func (d *decoder) localFile(target *string) setter {
	return func(e entry) {
		d.text(target, optional(checkLocalPath))(e)
		if *target != "" {
			*target = d.local(*target)
		}
	}
}

// tlsFiles names the PEM files of a server.
type tlsFiles struct{ ca, cert, key string }

// resolveTLS reads the PEM files of every server that uses TLS.
func (c *Config) resolveTLS(found *problems) {
	read := map[tlsFiles]*TLSMaterial{}
	for _, name := range c.ServerNames() {
		server := c.Servers[name]
		files := tlsFiles{server.TLSCA, server.TLSCert, server.TLSKey}
		if server.TLS == TLSNone || files == (tlsFiles{}) {
			continue
		}
		if _, known := read[files]; !known {
			read[files] = readTLS(server, found)
		}
		server.TLSMaterial = read[files]
		c.Servers[name] = server
	}
}

// readTLS returns nil if anything is wrong with the files of s.
func readTLS(s Server, found *problems) *TLSMaterial {
	before := len(found.found)
	add := func(at position, problem *Error) {
		if problem != nil {
			found.add(at, problem.Message, problem.Hint)
		}
	}
	material := &TLSMaterial{}
	if s.TLSCA != "" {
		_, authorities, problem := readCertificates(s.TLSCA)
		add(s.at.tlsCA, problem)
		material.Roots = x509.NewCertPool()
		for _, authority := range authorities {
			material.Roots.AddCert(authority)
		}
	}
	if s.TLSCert != "" {
		chain, _, problem := readCertificates(s.TLSCert)
		add(s.at.tlsCert, problem)
		key, keyProblem := readPEM(s.TLSKey)
		add(s.at.tlsKey, keyProblem)
		if problem == nil && keyProblem == nil {
			material.Certificate, problem = keyPair(chain, key, s.TLSKey)
			add(s.at.tlsKey, problem)
		}
	}
	if len(found.found) > before {
		return nil
	}
	return material
}

// keyPair puts certificate and key together. What crypto/tls says is not passed on: it quotes the file.
func keyPair(chain, key []byte, name string) (*tls.Certificate, *Error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, &Error{
			Message: fmt.Sprintf("file %q holds no private key of the certificate in tls_cert", name),
			Hint:    "name the PEM file with its key, not encrypted (-----BEGIN PRIVATE KEY-----)",
		}
	}
	return &pair, nil
}

// readCertificates returns a PEM file as text and the certificates in it, of which there is at least one.
func readCertificates(name string) ([]byte, []*x509.Certificate, *Error) {
	text, problem := readPEM(name)
	if problem != nil {
		return nil, nil, problem
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, &Error{
				Message: fmt.Sprintf("certificate %d in file %q cannot be read", len(all)+1, name),
				Hint:    "export it again, as PEM",
			}
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, nil, &Error{
			Message: fmt.Sprintf("file %q holds no certificate", name),
			Hint:    "name a PEM file with one (-----BEGIN CERTIFICATE-----)",
		}
	}
	return text, all, nil
}

func readPEM(name string) ([]byte, *Error) {
	text, err := readLimited(name, maxPEMFile)
	if err == nil {
		return text, nil
	}
	hint := "make it readable for the user that runs this program"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "create it, or correct the path (a relative one starts at the configuration file)"
	}
	return nil, &Error{Message: fmt.Sprintf("cannot read file %q (%v)", name, reason(err)), Hint: hint}
}

var errTooLarge = errors.New("it is too large")

// readLimited reads a file of at most limit bytes; a larger one is errTooLarge.
func readLimited(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = errTooLarge
	}
	return content, err
}

// reason is what the system says about a file, without repeating the path.
func reason(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err
	}
	return err
}
