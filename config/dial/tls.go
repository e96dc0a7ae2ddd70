package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/contrib/envconfig"
)

// Environment variables of TLS, by which remedies name the settings; temporal.toml has them too.
const (
	certVariable = "TEMPORAL_TLS_CLIENT_CERT_PATH"
	keyVariable  = "TEMPORAL_TLS_CLIENT_KEY_PATH"
	caVariable   = "TEMPORAL_TLS_SERVER_CA_CERT_PATH"
	nameVariable = "TEMPORAL_TLS_SERVER_NAME"
)

// probeLimit bounds the look at a server that could not be reached.
const probeLimit = 3 * time.Second

// renew makes a client show the certificate that is in its files when it connects: programs outlive certificates, and servers end connections every few
// minutes. It is shown whatever authority the server asks for, or the server could only say that there was none.
func renew(config *tls.Config, files *envconfig.ClientConfigTLS, log *slog.Logger) {
	if config == nil || files == nil || files.ClientCertPath == "" {
		return
	}
	var last atomic.Pointer[tls.Certificate]
	last.Store(&config.Certificates[0])
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(files.ClientCertPath, files.ClientKeyPath)
		if err != nil {
			log.Warn("the certificate for Temporal cannot be read again; the one from before is shown", certVariable, files.ClientCertPath, "error", err)
			return last.Load(), nil
		}
		last.Store(&pair)
		return &pair, nil
	}
}

// tlsSettings says which files the settings of TLS name, for an error that does not.
func tlsSettings(files *envconfig.ClientConfigTLS) string {
	if files == nil {
		return ""
	}
	return fmt.Sprintf(" (%s is %q, %s is %q, %s is %q: PEM files; the first two go together)",
		certVariable, files.ClientCertPath, keyVariable, files.ClientKeyPath, caVariable, files.ServerCACertPath)
}

// tlsRemedy connects to the address once more, by TLS alone, and says what is wrong with that and what to do about it; "" if nothing is. What gRPC says is
// often no more than that the connection was cut: with TLS 1.3 a server refuses a client when the client believes it is connected.
func tlsRemedy(ctx context.Context, address string, config *tls.Config, limit time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if config == nil {
		return wantsTLS(ctx, conn)
	}
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	if config.ServerName == "" {
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err = secured.HandshakeContext(ctx); err == nil {
		_, err = secured.Read(make([]byte, 1)) // a server of gRPC speaks first, or refuses
	}
	return explain(err, config)
}

// wantsTLS tells whether a server that did not understand a client without TLS does speak TLS. Nothing is sent to it.
func wantsTLS(ctx context.Context, conn net.Conn) string {
	err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}).HandshakeContext(ctx)
	if err != nil && alert(err) == "" {
		return ""
	}
	return fmt.Sprintf("the server there speaks TLS: set %s to the certificate of its authority, and, for a server that asks who you are, %s and %s",
		caVariable, certVariable, keyVariable)
}

// explain turns an error of TLS into a remedy.
func explain(err error, config *tls.Config) string {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return ""
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server there does not speak TLS: unset the TEMPORAL_TLS_… variables (with an API key, set TEMPORAL_TLS=false), or correct TEMPORAL_ADDRESS"
	}
	if remedy := explainServer(err, config); remedy != "" {
		return remedy
	}
	return explainClient(err, config)
}

// explainServer is for a server's certificate that the client does not accept.
func explainServer(err error, config *tls.Config) string {
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the server's certificate is for %s, not for %s: reach it by such a name (TEMPORAL_ADDRESS), or set %s to one",
			namesOf(wrong.Certificate), wrong.Host, nameVariable)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if config.RootCAs == nil {
			return fmt.Sprintf("no authority of this system has signed the server's certificate: set %s to the certificate of the authority that has", caVariable)
		}
		return fmt.Sprintf("the authority in %s has not signed the server's certificate: set it to the one that has", caVariable)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return fmt.Sprintf("the server's certificate is valid from %s to %s: renew it there, or set the clock here",
				invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
		}
		return fmt.Sprintf("the server's certificate is not valid for a server (%v): issue another for it", invalid)
	}
	return ""
}

func namesOf(certificate *x509.Certificate) string {
	names := certificate.DNSNames
	for _, address := range certificate.IPAddresses {
		names = append(names, address.String())
	}
	if len(names) == 0 {
		return "no host at all"
	}
	return strings.Join(names, ", ")
}

// alerts are what servers say when they do not accept a client's certificate (RFC 8446, section 6.2; the texts are those of crypto/tls).
var alerts = []struct{ text, meaning string }{
	{"unknown certificate authority", "the server does not know the authority of the certificate in " + certVariable + ": issue one from its authority"},
	{"expired certificate", "the certificate in " + certVariable + " is not valid now: renew it, or set the clock"},
	{"certificate", "the server does not accept the certificate in " + certVariable + ": issue one for clients from its authority"}, // any other of this kind
}

// explainClient is for a server that refused the client.
func explainClient(err error, config *tls.Config) string {
	said := alert(err)
	anonymous := config.GetClientCertificate == nil && len(config.Certificates) == 0
	// Without a certificate, a server of TLS 1.3 says that one is required, one of TLS 1.2 that it is bad, and others just hang up.
	if anonymous && (said == "" || strings.Contains(said, "certificate") || strings.Contains(said, "handshake failure")) {
		return fmt.Sprintf("the server cuts the connection to a client without a certificate: set %s and %s", certVariable, keyVariable)
	}
	for _, known := range alerts {
		if strings.Contains(said, known.text) {
			return known.meaning
		}
	}
	return fmt.Sprintf("the server breaks off TLS (%v): check the TEMPORAL_TLS_… variables", err)
}

// alert returns the text of an alert from the other side, "" if the error is none.
func alert(err error) string {
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return remote.Err.Error()
	}
	return ""
}
