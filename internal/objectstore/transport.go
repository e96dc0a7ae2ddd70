package objectstore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

const (
	dialTimeout  = 10 * time.Second
	parallel     = 64       // connections at most; further calls wait for one
	socketBuffer = 64 << 10 // bytes in each direction, per connection
)

// newTransport makes HTTP/1.1 connections: over HTTP/2 all transfers would share one, and stall together.
func newTransport(ca *authorities, idle time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer(idle),
		TLSClientConfig:     &tls.Config{RootCAs: ca.pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: idle,
		MaxConnsPerHost:     parallel,
		MaxIdleConnsPerHost: parallel,
		IdleConnTimeout:     idle,
		WriteBufferSize:     socketBuffer,
		ReadBufferSize:      socketBuffer,
		DisableCompression:  true, // or an object called x.gz might come unpacked
	}
}

// authorities are the certificate authorities that an endpoint's certificate may be from.
type authorities struct {
	file string
	pem  []byte
	pool *x509.CertPool // nil: the system's
}

func readAuthorities(file string) (*authorities, error) {
	if file == "" {
		return &authorities{}, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	ca := &authorities{file: file, pem: pem, pool: x509.NewCertPool()}
	if !ca.pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file: %s holds no certificate in PEM form", file)
	}
	return ca, nil
}

// again reads the file again: nil if it says nothing new.
func (a *authorities) again() *authorities {
	fresh, err := readAuthorities(a.file)
	if err != nil || bytes.Equal(fresh.pem, a.pem) {
		return nil
	}
	return fresh
}

// observer sends requests for minio-go, and notes what minio-go keeps to itself.
type observer struct{ wire http.RoundTripper }

// observed is what became of the last request of an attempt.
type observed struct {
	status int         // 0: no answer
	header http.Header // of the answer
	err    error       // as the network gave it: minio-go replaces some by a text
}

type observedKey struct{}

// RoundTrip implements http.RoundTripper. The headers it adds are not signed, so a proxy may change them.
func (o observer) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Header.Set("Accept-Encoding", "identity") // for proxies that compress what they pass on
	req.Header.Set("Cache-Control", "no-cache")   // and for those that keep it
	resp, err := o.wire.RoundTrip(req)
	if seen, ok := req.Context().Value(observedKey{}).(*observed); ok {
		*seen = observed{err: err}
		if err == nil {
			seen.status, seen.header = resp.StatusCode, resp.Header
		}
	}
	return resp, err
}

// isUntrusted reports whether the network says that a certificate does not verify.
func isUntrusted(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}
