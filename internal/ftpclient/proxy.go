package ftpclient

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/net/proxy"
)

// ProxyScheme is how a proxy is spoken to.
type ProxyScheme string

// The two kinds of proxies that carry any TCP connection (RFC 1928; RFC 9110 section 9.3.6).
const (
	ProxySOCKS5 ProxyScheme = "socks5"
	ProxyHTTP   ProxyScheme = "http"
)

// Proxy is what control and data connections go through. The proxy resolves the server's name. The zero Proxy is none.
type Proxy struct {
	Scheme   ProxyScheme
	Host     string
	Port     int
	User     string
	Password string `json:"-"`
}

func (p Proxy) address() string { return net.JoinHostPort(p.Host, strconv.Itoa(p.Port)) }

// dialContext connects to an address, through the proxy if there is one. A proxy that refuses is an error of the network:
// the server may be as good as ever.
func (p Proxy) dialContext(ctx context.Context, timeout time.Duration, address string) (net.Conn, error) {
	direct := &net.Dialer{Timeout: timeout}
	if p.Scheme == "" {
		return direct.DialContext(ctx, "tcp", address)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := p.connect(ctx, direct, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s through the %s proxy %s: %w", address, p.Scheme, p.address(), err)}
	}
	return conn, nil
}

func (p Proxy) connect(ctx context.Context, direct *net.Dialer, address string) (net.Conn, error) {
	if p.Scheme == ProxyHTTP {
		return p.connectHTTP(ctx, direct, address)
	}
	var auth *proxy.Auth
	if p.User != "" {
		auth = &proxy.Auth{User: p.User, Password: p.Password}
	}
	dialer, err := proxy.SOCKS5("tcp", p.address(), auth, direct)
	if err != nil {
		return nil, err
	}
	return dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", address) // golang.org/x/net documents that it is one
}

// connectHTTP asks for a tunnel with CONNECT (RFC 9110 section 9.3.6). The server speaks first in FTP, so what follows the
// proxy's answer may have arrived with it: it stays in the reader.
func (p Proxy) connectHTTP(ctx context.Context, direct *net.Dialer, address string) (net.Conn, error) {
	conn, err := direct.DialContext(ctx, "tcp", p.address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends a wait for a mute proxy
	tunnel, err := p.requestTunnel(conn, address)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		_ = conn.Close() // the error at hand is the one to report
		return nil, err
	}
	return tunnel, nil
}

func (p Proxy) requestTunnel(conn net.Conn, address string) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if p.User != "" {
		credentials := base64.StdEncoding.EncodeToString([]byte(p.User + ":" + p.Password))
		request.Header.Set("Proxy-Authorization", "Basic "+credentials) // RFC 7617
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("the proxy answers %s", response.Status)
	}
	return &bufferedConn{Conn: conn, reader: reader}, nil
}

// bufferedConn is a connection of which something was read ahead.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements io.Reader.
func (c *bufferedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }
