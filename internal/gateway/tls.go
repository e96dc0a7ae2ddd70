package gateway

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
)

// certificate is a certificate that is read again when its files change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              [2][]byte // what the files held when they were last looked at
	told              string    // what the log has been told about them
}

func openCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if _, err := c.load(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return c, nil
}

// load reads the files and tells whether they have changed. Certificate and key are two files, which nobody can replace at one moment: if
// they do not match, the next look finds both.
func (c *certificate) load() (changed bool, err error) {
	var seen [2][]byte
	for i, file := range []string{c.certFile, c.keyFile} {
		if seen[i], err = os.ReadFile(file); err != nil {
			return false, err
		}
	}
	if bytes.Equal(seen[0], c.seen[0]) && bytes.Equal(seen[1], c.seen[1]) {
		return false, nil
	}
	c.seen = seen
	pair, err := tls.X509KeyPair(seen[0], seen[1])
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return true, nil
}

// refresh takes a new certificate into use; what is wrong with it leaves the old one.
func (c *certificate) refresh() {
	changed, err := c.load()
	if err != nil && err.Error() != c.told {
		c.told = err.Error()
		c.log.Error("the new certificate cannot be used, the old one stays", "error", err)
	}
	if changed {
		c.told = ""
		c.log.Info("the certificate has changed", "not_after", c.current.Load().Leaf.NotAfter)
	}
}

// config lets new connections have the certificate that is current.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
