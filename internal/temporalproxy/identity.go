package temporalproxy

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// identity is the front's certificate, the authorities of its callers, and the seals that come with them. It reads its files again when they change.
type identity struct {
	files    [3]string // certificate, key, authorities
	refusals *refusals

	mu     sync.Mutex
	stamps [3]stamp
	config *tls.Config
	seals  []sealer // the current one first
}

// keptSeals is how many former keys still open seals: of activities that were at work when the key changed.
const keptSeals = 2

// stamp tells whether a file has changed, without reading it.
type stamp struct {
	info     os.FileInfo
	modified time.Time
}

func (s stamp) same(t stamp) bool {
	return os.SameFile(s.info, t.info) && s.modified.Equal(t.modified) && s.info.Size() == t.info.Size()
}

func loadIdentity(options Options, refusals *refusals) (*identity, error) {
	i := &identity{files: [3]string{options.Cert, options.Key, options.ClientCA}, refusals: refusals}
	stamps, err := i.look()
	if err != nil {
		return nil, err
	}
	if err := i.load(stamps); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *identity) look() (stamps [3]stamp, err error) {
	for n, file := range i.files {
		info, err := os.Stat(file)
		if err != nil {
			return stamps, err
		}
		stamps[n] = stamp{info, info.ModTime()}
	}
	return stamps, nil
}

// load reads the files. Stamps are taken before: a file that changes meanwhile is read again.
func (i *identity) load(stamps [3]stamp) error {
	pair, err := tls.LoadX509KeyPair(i.files[0], i.files[1])
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", i.files[0], i.files[1], err)
	}
	pem, err := os.ReadFile(i.files[2])
	if err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s: no certificate of an authority in it (PEM)", i.files[2])
	}
	seal, err := newSealer(pair)
	if err != nil {
		return fmt.Errorf("key %s: %w", i.files[1], err)
	}
	i.stamps = stamps
	i.config = &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities,
		SessionTicketsDisabled: true, // every connection is judged anew, whatever may be wrong with resumed ones (as in CVE-2025-68121)
	}
	if len(i.seals) == 0 || !i.seals[0].same(seal) {
		i.seals = append([]sealer{seal}, i.seals[:min(len(i.seals), keptSeals)]...)
	}
	return nil
}

// current returns the configuration for one handshake. New files that are of no use leave the old ones in force.
func (i *identity) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	stamps, err := i.look()
	if err == nil && !i.changed(stamps) {
		return i.config, nil
	}
	if err == nil {
		err = i.load(stamps)
	}
	if err != nil {
		i.refusals.warn("the certificates have changed and cannot be used; those from before stay in force", "error", err)
	} else {
		i.refusals.log.Info("the certificates have changed; the new ones are in force", "certificate", i.files[0])
	}
	return i.config, nil
}

func (i *identity) changed(stamps [3]stamp) bool {
	for n := range stamps {
		if !stamps[n].same(i.stamps[n]) {
			return true
		}
	}
	return false
}

// sealers returns the seals in force, the one to seal with first.
func (i *identity) sealers() []sealer {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seals
}

// credentials returns what makes gRPC ask for certificates, and tells of those who had none that counts.
func (i *identity) credentials() credentials.TransportCredentials {
	return &judge{credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, GetConfigForClient: i.current,
	}), i.refusals}
}

// judge logs handshakes that failed: gRPC would close the connection without a word.
type judge struct {
	credentials.TransportCredentials
	refusals *refusals
}

// ServerHandshake authenticates a caller.
func (j *judge) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := j.TransportCredentials.ServerHandshake(conn)
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, context.Canceled): // a port that is only looked at
	default:
		j.refusals.warn("refused a connection", "from", conn.RemoteAddr().String(), "reason", err)
	}
	return secured, info, err
}

// Clone is part of the interface.
func (j *judge) Clone() credentials.TransportCredentials {
	return &judge{j.TransportCredentials.Clone(), j.refusals}
}

// sealKey derives a key from the private key of a certificate.
func sealKey(pair tls.Certificate) ([]byte, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("no key can be derived from it: %w", err)
	}
	return hkdf.Key(sha256.New, secret, nil, "talon temporalproxy: seal of task tokens", sha256.Size)
}
