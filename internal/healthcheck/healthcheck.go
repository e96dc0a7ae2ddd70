// Package healthcheck asks a server once whether it is well, in the server's own protocol. Images made from scratch have neither a shell nor curl.
package healthcheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

var (
	// ErrUnhealthy: the server answered, but not that it is well.
	ErrUnhealthy = errors.New("unhealthy")
	// ErrURL: the URL says nothing that can be checked.
	ErrURL = errors.New("not a URL to check")
)

// maxReply bounds what is read of an answer, in bytes.
const maxReply = 4 << 10

// Options are what https and grpcs need. All files are PEM.
type Options struct {
	CA        string // authorities to trust instead of the system's; "" is the system's
	Cert, Key string // certificate to show, with its private key; "" is none
}

// Check returns nil if the server at the URL is well, before ctx ends:
//
//	http://HOST:PORT/PATH, https://…   the answer to GET has a status of 2xx; redirections are not followed
//	grpc://HOST:PORT/SERVICE, grpcs://… the service is SERVING (grpc.health.v1); without SERVICE it is the server as a whole
//	ftp://HOST:PORT                    the greeting is 220 (RFC 959, section 5.4)
//	tcp://HOST:PORT                    a connection can be opened
//
// The error wraps ErrUnhealthy with what the server said, or ErrURL, or is that of the connection.
func Check(ctx context.Context, rawURL string, options Options) error {
	target, err := url.Parse(rawURL)
	if err != nil || target.Port() == "" {
		return fmt.Errorf("%w: %q: write SCHEME://HOST:PORT", ErrURL, rawURL)
	}
	switch target.Scheme {
	case "http", "https":
		return checkHTTP(ctx, target, options)
	case "grpc", "grpcs":
		return checkGRPC(ctx, target, options)
	case "ftp":
		return checkFTP(ctx, target)
	case "tcp":
		return checkTCP(ctx, target)
	default:
		return fmt.Errorf("%w: %q: the schemes are http, https, grpc, grpcs, ftp and tcp", ErrURL, rawURL)
	}
}

// tlsConfig is for https and grpcs; nil for the others, which have no use for files.
func (o Options) tlsConfig(encrypted bool) (*tls.Config, error) {
	if !encrypted {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it (PEM)", o.CA)
		}
	}
	if o.Cert != "" || o.Key != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func checkHTTP(ctx context.Context, target *url.URL, options Options) error {
	config, err := options.tlsConfig(target.Scheme == "https")
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true} // and no proxy: it is this server that is asked
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return nil
	}
	reply, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	return errors.Join(fmt.Errorf("%w: %s: %s", ErrUnhealthy, response.Status, strings.TrimSpace(string(reply))), err)
}

func checkGRPC(ctx context.Context, target *url.URL, options Options) error {
	config, err := options.tlsConfig(target.Scheme == "grpcs")
	if err != nil {
		return err
	}
	transport := insecure.NewCredentials()
	if config != nil {
		transport = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient("passthrough:///"+target.Host, grpc.WithTransportCredentials(transport), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer conn.Close()
	service := strings.TrimPrefix(target.Path, "/")
	reply, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return err
	}
	if reply.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("%w: %q is %s", ErrUnhealthy, service, reply.GetStatus())
	}
	return nil
}

func checkFTP(ctx context.Context, target *url.URL) error {
	conn, err := dial(ctx, target)
	if err != nil {
		return err
	}
	defer conn.Close()
	greeting, err := bufio.NewReader(io.LimitReader(conn, maxReply)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("no greeting: %w", err)
	}
	if !strings.HasPrefix(greeting, "220 ") && !strings.HasPrefix(greeting, "220-") {
		return fmt.Errorf("%w: %q", ErrUnhealthy, strings.TrimSpace(greeting))
	}
	_, err = io.WriteString(conn, "QUIT\r\n")
	return err
}

func checkTCP(ctx context.Context, target *url.URL) error {
	conn, err := dial(ctx, target)
	if err != nil {
		return err
	}
	return conn.Close()
}

// dial opens a connection that ends with ctx.
func dial(ctx context.Context, target *url.URL) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target.Host)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		return conn, conn.SetDeadline(deadline)
	}
	return conn, nil
}
