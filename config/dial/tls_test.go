package dial

import (
	"crypto/tls"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"talon/internal/logtest"
	"talon/internal/pki"
)

// Settings of TLS in the order of these tests' tables.
type tlsFiles struct{ cert, key, ca, name string }

func (f tlsFiles) set(t *testing.T, address string) {
	t.Helper()
	clean(t)
	t.Setenv("TEMPORAL_ADDRESS", address)
	for variable, value := range map[string]string{certVariable: f.cert, keyVariable: f.key, caVariable: f.ca, nameVariable: f.name} {
		if value != "" {
			t.Setenv(variable, value)
		}
	}
}

func authority(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA(t.TempDir())
	require.NoError(t, err)
	return ca
}

func issue(t *testing.T, ca *pki.CA, request pki.Request) tlsFiles {
	t.Helper()
	files, err := ca.IssueTo(t.TempDir(), request)
	require.NoError(t, err)
	return tlsFiles{files.Cert, files.Key, files.CA, ""}
}

// serveTLS runs a server that asks for certificates of ca, and returns its address.
func serveTLS(t *testing.T, ca *pki.CA, request pki.Request, change func(*tls.Config), options ...grpc.ServerOption) string {
	t.Helper()
	pair, err := ca.Issue(request)
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}
	if change != nil {
		change(config)
	}
	fake := &fakeServer{started: make(chan *workflowservice.StartWorkflowExecutionRequest, 1), authorization: make(chan []string, 9)}
	server, listener := grpc.NewServer(append(options, grpc.Creds(credentials.NewTLS(config)))...), listen(t)
	workflowservice.RegisterWorkflowServiceServer(server, fake)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func TestTroubleWithTLSSaysWhatToSet(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // after the servers have stopped
	ca, other := authority(t), authority(t)
	past, day := time.Now().Add(-48*time.Hour), 24*time.Hour
	gateway := pki.Request{Name: "gateway", Server: true, Hosts: []string{"127.0.0.1", "gateway"}}
	expired := gateway
	expired.NotBefore, expired.Lifetime = past, day
	door, old := serveTLS(t, ca, gateway, nil), serveTLS(t, ca, gateway, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	named := serveTLS(t, ca, pki.Request{Name: "gateway", Server: true, Hosts: []string{"gateway", "10.0.0.5"}}, nil)
	clients := serveTLS(t, ca, pki.Request{Name: "x", Client: true, Hosts: []string{"127.0.0.1"}}, nil)
	_, plain := serve(t, nil)
	good := issue(t, ca, pki.Request{Name: "eagle", Client: true})
	foreign := issue(t, other, pki.Request{Name: "eagle", Client: true})
	foreign.ca = good.ca
	stale := issue(t, ca, pki.Request{Name: "eagle", Client: true, NotBefore: past, Lifetime: day})
	serving := issue(t, ca, pki.Request{Name: "eagle", Server: true, Hosts: []string{"eagle"}})

	for name, test := range map[string]struct {
		address string
		files   tlsFiles
		want    string
	}{
		"none set":                 {door, tlsFiles{}, "speaks TLS: set TEMPORAL_TLS_SERVER_CA_CERT_PATH"},
		"no certificate":           {door, tlsFiles{ca: good.ca}, "without a certificate: set TEMPORAL_TLS_CLIENT_CERT_PATH and"},
		"no certificate, TLS 1.2":  {old, tlsFiles{ca: good.ca}, "without a certificate: set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"},
		"of another authority":     {door, foreign, "does not know the authority of the certificate in TEMPORAL_TLS_CLIENT_CERT_PATH"},
		"of another, TLS 1.2":      {old, foreign, "does not know the authority of the certificate in TEMPORAL_TLS_CLIENT_CERT_PATH"},
		"expired":                  {door, stale, "the certificate in TEMPORAL_TLS_CLIENT_CERT_PATH is not valid now: renew it"},
		"for servers":              {door, serving, "does not accept the certificate in TEMPORAL_TLS_CLIENT_CERT_PATH: issue one for clients"},
		"no authority":             {door, tlsFiles{good.cert, good.key, "", ""}, "set TEMPORAL_TLS_SERVER_CA_CERT_PATH to the certificate of the authority that has"},
		"wrong authority":          {serveTLS(t, other, gateway, nil), good, "the authority in TEMPORAL_TLS_SERVER_CA_CERT_PATH has not signed"},
		"server of other name":     {named, good, "is for gateway, 10.0.0.5, not for 127.0.0.1: reach it by such a name (TEMPORAL_ADDRESS)"},
		"other name set":           {door, tlsFiles{good.cert, good.key, good.ca, "tiger"}, "is for gateway, 127.0.0.1, not for tiger"},
		"server expired":           {serveTLS(t, ca, expired, nil), good, "the server's certificate is valid from " + past.UTC().Format(time.RFC3339)},
		"server shows a client's":  {clients, good, "is not valid for a server"},
		"server without TLS":       {plain, good, "does not speak TLS: unset the TEMPORAL_TLS_"},
		"server that is not there": {refusedAddress(t), good, "start it (`make run`"},
	} {
		t.Run(name, func(t *testing.T) {
			test.files.set(t, test.address)
			_, err := Client(t.Context(), Options{Logger: quiet()})
			require.ErrorIs(t, err, ErrUnreachable)
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, test.address)
		})
	}
}

func TestServerOfAnotherNameIsReachedByItsName(t *testing.T) {
	ca := authority(t)
	files := issue(t, ca, pki.Request{Name: "eagle", Client: true})
	files.name = "gateway"
	files.set(t, serveTLS(t, ca, pki.Request{Name: "gateway", Server: true, Hosts: []string{"gateway"}}, nil))
	connected, err := Client(t.Context(), Options{Logger: quiet()})
	require.NoError(t, err)
	connected.Close()
}

func TestFilesOfTLSAreNamed(t *testing.T) {
	good, other := issue(t, authority(t), pki.Request{Name: "eagle", Client: true}), issue(t, authority(t), pki.Request{Name: "eagle", Client: true})
	for want, files := range map[string]tlsFiles{
		certVariable + ` is "` + good.cert + `", ` + keyVariable + ` is ""`: {cert: good.cert},
		`"` + other.key + `"`:                 {cert: good.cert, key: other.key},
		"/nowhere/x.key":                      {cert: good.cert, key: "/nowhere/x.key"},
		caVariable + ` is "` + good.key + `"`: {ca: good.key},
	} {
		files.set(t, "127.0.0.1:1")
		_, err := Client(t.Context(), Options{Logger: quiet()})
		require.ErrorContains(t, err, want)
		assert.NotErrorIs(t, err, ErrUnreachable)
	}
}

// TestServersThatHangUp cut the connection without saying why.
func TestServersThatHangUp(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // after the servers have stopped
	listener, done := listen(t), make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	good := issue(t, authority(t), pki.Request{Name: "eagle", Client: true})
	for want, files := range map[string]tlsFiles{
		"start it":              {},
		"without a certificate": {ca: good.ca},
		"the server breaks off": good,
	} {
		files.set(t, listener.Addr().String())
		_, err := Client(t.Context(), Options{Logger: quiet()})
		require.ErrorIs(t, err, ErrUnreachable)
		assert.ErrorContains(t, err, want)
	}
	require.NoError(t, listener.Close())
	<-done
}

// TestRenewedCertificate renews the files while a client lives: its next connection shows the new certificate, or the last good one if that is of no
// use.
func TestRenewedCertificate(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // after the servers have stopped
	ca, dir := authority(t), t.TempDir()
	request := pki.Request{Name: "eagle", Client: true}
	files, err := ca.IssueTo(dir, request)
	require.NoError(t, err)
	shown := make(chan string, 1000)
	address := serveTLS(t, ca, pki.Request{Name: "gateway", Server: true, Hosts: []string{"127.0.0.1"}}, func(c *tls.Config) {
		c.VerifyConnection = func(state tls.ConnectionState) error {
			shown <- state.PeerCertificates[0].SerialNumber.String()
			return nil
		}
	}, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 20 * time.Millisecond})) // so that the client connects again and again
	tlsFiles{files.Cert, files.Key, files.CA, ""}.set(t, address)
	log := &logtest.Buffer{}
	connected, err := Client(t.Context(), Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	defer connected.Close()

	first := <-shown
	_, err = ca.IssueTo(dir, request)
	require.NoError(t, err)
	var second string
	require.Eventually(t, func() bool { second = <-shown; return second != first }, timeout, time.Millisecond)
	require.NoError(t, os.WriteFile(files.Cert, []byte("nonsense"), 0o600))
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "cannot be read again") }, timeout, time.Millisecond)
	drain(shown)
	assert.Equal(t, second, <-shown)
}

func drain(waiting chan string) {
	for {
		select {
		case <-waiting:
		default:
			return
		}
	}
}
