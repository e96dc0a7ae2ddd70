package temporalproxy

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"talon/internal/pki"
)

// greet opens a connection and waits until the front has judged it: with TLS 1.3 a client learns that only when it reads.
func greet(f *front, config *tls.Config) (*tls.Conn, error) {
	config = config.Clone()
	if config.RootCAs == nil {
		config.RootCAs = f.ca.Pool()
	}
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", f.address, config)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the first byte of the settings of HTTP/2
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func TestWhoIsNotLetIn(t *testing.T) {
	f := startFront(t, "127.0.0.1:1")
	theirs, err := pki.NewCA(t.TempDir())
	require.NoError(t, err)
	issue := func(ca *pki.CA, request pki.Request) []tls.Certificate {
		pair, err := ca.Issue(request)
		require.NoError(t, err)
		return []tls.Certificate{pair.TLS()}
	}
	day := 24 * time.Hour
	good := issue(f.ca, pki.Request{Name: "eagle", Client: true})
	with := func(pairs []tls.Certificate) *tls.Config { return &tls.Config{Certificates: pairs} }
	expired := pki.Request{Name: "eagle", Client: true, NotBefore: time.Now().Add(-2 * day), Lifetime: day}
	early := pki.Request{Name: "eagle", Client: true, NotBefore: time.Now().Add(day)}
	serving := pki.Request{Name: "tiger", Server: true, Hosts: []string{"tiger"}}
	old := &tls.Config{Certificates: good, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	for name, test := range map[string]struct {
		config       *tls.Config
		want, logged string
	}{
		"no certificate":       {&tls.Config{}, "certificate required", "client didn't provide a certificate"},
		"of another authority": {forced(issue(theirs, pki.Request{Name: "eagle", Client: true})), "unknown certificate authority", "unknown authority"},
		"expired":              {with(issue(f.ca, expired)), "expired certificate", "has expired or is not yet valid"},
		"not yet valid":        {with(issue(f.ca, early)), "expired certificate", "has expired or is not yet valid"},
		"for servers only":     {with(issue(f.ca, serving)), "bad certificate", "incompatible key usage"},
		"TLS 1.1":              {old, "protocol version", "unsupported versions"},
		"distrusts the front":  {&tls.Config{Certificates: good, RootCAs: theirs.Pool()}, "signed by unknown authority", "bad certificate"},
		"takes another name":   {&tls.Config{Certificates: good, ServerName: "tiger"}, "certificate is valid for localhost, not tiger", "bad certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := greet(f, test.config)
			require.ErrorContains(t, err, test.want)
			eventually(t, func() bool { return strings.Contains(f.log.String(), test.logged) }, "it is in the log: "+test.logged)
		})
	}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			conn, err := greet(f, &tls.Config{Certificates: good, MaxVersion: version})
			require.NoError(t, err)
			assert.Equal(t, version, conn.ConnectionState().Version)
			require.NoError(t, conn.Close())
		})
	}
}

// forced makes a client send a certificate that is of none of the authorities that the server asks for; Go would withhold it.
func forced(pairs []tls.Certificate) *tls.Config {
	return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pairs[0], nil }}
}

func TestRoleNeedsExactlyOneUnit(t *testing.T) {
	for _, units := range [][]string{nil, {"tiger", "eagle"}, {"eagle", "eagle"}, {"Tiger"}, {"tiger "}} {
		certificate := &x509.Certificate{Subject: pkix.Name{CommonName: "tiger", OrganizationalUnit: units}}
		assert.Equal(t, other, callerFrom(certificate).role, "%q", units)
	}
	assert.Equal(t, Eagle, callerFrom(&x509.Certificate{Subject: pkix.Name{CommonName: "tiger", OrganizationalUnit: []string{"eagle"}}}).role)
}

// TestNewCertificate replaces the front's certificate while it runs.
func TestNewCertificate(t *testing.T) {
	f := startFront(t, upstream(t))
	pair := f.pair(t, Eagle)
	old := f.conn(t, pair)
	require.NoError(t, invoke(t.Context(), old, grpc_health_v1.Health_Check_FullMethodName, nil))
	before := serial(t, f, pair)

	_, err := f.ca.IssueTo(filepath.Dir(f.files.Cert), gateway())
	require.NoError(t, err)
	after := serial(t, f, pair)
	assert.NotEqual(t, before, after)
	require.NoError(t, invoke(t.Context(), old, grpc_health_v1.Health_Check_FullMethodName, nil), "what was connected stays so")

	// Half of a change, or nonsense, changes nothing.
	require.NoError(t, os.WriteFile(f.files.Cert, []byte("nonsense"), 0o600))
	assert.Equal(t, after, serial(t, f, pair))
	require.NoError(t, os.Remove(f.files.Cert))
	assert.Equal(t, after, serial(t, f, pair))
	assert.True(t, strings.Contains(f.log.String(), "those from before stay in force"))
	_, err = f.ca.IssueTo(filepath.Dir(f.files.Cert), gateway())
	require.NoError(t, err)
	assert.NotEqual(t, after, serial(t, f, pair))
}

// serial returns the serial number of the certificate that the front shows.
func serial(t *testing.T, f *front, pair tls.Certificate) string {
	t.Helper()
	conn, err := greet(f, &tls.Config{Certificates: []tls.Certificate{pair}})
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestNewAuthority replaces the authority of the callers: whoever comes with a certificate of the old one is refused, even with a session to resume.
func TestNewAuthority(t *testing.T) {
	f := startFront(t, "127.0.0.1:1")
	sessions := tls.NewLRUClientSessionCache(8)
	config := &tls.Config{Certificates: []tls.Certificate{f.pair(t, Eagle)}, ClientSessionCache: sessions}
	conn, err := greet(f, config)
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	successor, err := pki.NewCA(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.files.CA, successor.PEM(), 0o600))
	_, err = greet(f, config)
	require.ErrorContains(t, err, "certificate")
	pair, err := successor.Issue(pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
	conn, err = greet(f, &tls.Config{Certificates: []tls.Certificate{pair.TLS()}})
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// TestSealsSurviveANewKey: what an eagle was handed before the front's key changed still counts, for a while.
func TestSealsSurviveANewKey(t *testing.T) {
	f := startFront(t, "127.0.0.1:1")
	eagle, token := caller{role: Eagle, name: "eagle-1"}, []byte("token")
	sealed := f.identity.sealers()[0].seal(eagle, token)
	request := gateway()
	request.NewKey = true
	for change := range 3 {
		opened, ok := open(f.identity.sealers(), eagle, sealed)
		require.True(t, ok, "after %d changes", change)
		require.Equal(t, token, opened)
		_, err := f.ca.IssueTo(filepath.Dir(f.files.Cert), request)
		require.NoError(t, err)
		_, err = f.identity.current(nil)
		require.NoError(t, err)
	}
	_, ok := open(f.identity.sealers(), eagle, sealed)
	assert.False(t, ok)
}

func TestFilesOfNoUse(t *testing.T) {
	f := startFront(t, "127.0.0.1:1")
	nonsense := filepath.Join(t.TempDir(), "nonsense.pem")
	require.NoError(t, os.WriteFile(nonsense, []byte("hunter2"), 0o600))
	stranger, err := f.ca.IssueTo(t.TempDir(), pki.Request{Name: "eagle", Client: true})
	require.NoError(t, err)
	for want, change := range map[string]func(*Options){
		"/nowhere/cert":                        func(o *Options) { o.Cert = "/nowhere/cert" },
		"nonsense.pem":                         func(o *Options) { o.Cert = nonsense },
		"private key does not match":           func(o *Options) { o.Key = stranger.Key },
		"no certificate of an authority in it": func(o *Options) { o.ClientCA = nonsense },
		"give host and port":                   func(o *Options) { o.Upstream = "\x00" },
	} {
		options := f.options
		change(&options)
		_, err := New(options)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

// TestCertificateThatEndsWhileConnected: a connection lives longer than the moment that its certificate was looked at.
func TestCertificateThatEndsWhileConnected(t *testing.T) {
	chain := func(end time.Time) [][]*x509.Certificate {
		return [][]*x509.Certificate{{{
			Subject: pkix.Name{CommonName: "eagle-1", OrganizationalUnit: []string{"eagle"}}, NotAfter: end,
		}}}
	}
	call := func(state tls.ConnectionState) (caller, error) {
		return callerOf(peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{}, AuthInfo: credentials.TLSInfo{State: state}}))
	}
	who, err := call(tls.ConnectionState{VerifiedChains: chain(time.Now().Add(time.Hour))})
	require.NoError(t, err)
	assert.Equal(t, caller{role: Eagle, name: "eagle-1", unit: `["eagle"]`}, who)

	_, err = call(tls.ConnectionState{VerifiedChains: chain(time.Now().Add(-time.Second))})
	assert.Equal(t, codes.Unauthenticated, status.Code(err))
	assert.ErrorContains(t, err, "the certificate of eagle-1 ended on")
	_, err = call(tls.ConnectionState{PeerCertificates: chain(time.Now().Add(time.Hour))[0]})
	assert.Equal(t, codes.Unauthenticated, status.Code(err), "shown, but not verified")
	_, err = callerOf(t.Context())
	assert.Equal(t, codes.Unauthenticated, status.Code(err))
}
