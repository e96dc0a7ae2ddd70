package ftpclient_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

const proxyPassword = "pr0xy-word"

// tunnels is a proxy on another address than the server's. It alone knows the server's name.
type tunnels struct {
	ln     net.Listener
	wg     sync.WaitGroup
	accept func(client net.Conn) (target string, proceed func() error, err error)

	mu      sync.Mutex
	targets []string
	open    map[net.Conn]bool
	closed  bool
}

// serverName is what the proxy calls 127.0.0.1.
const serverName = "branch-001.example"

func startProxy(t *testing.T, accept func(net.Conn) (string, func() error, error)) *tunnels {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.2:0")
	require.NoError(t, err)
	p := &tunnels{ln: ln, accept: accept, open: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		assert.NoError(t, ln.Close())
		p.mu.Lock()
		p.closed = true
		for conn := range p.open {
			_ = conn.Close() // ends its tunnel
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// hold has a connection closed with the proxy. It is false if that has happened already.
func (p *tunnels) hold(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	return !p.closed
}

func (p *tunnels) serve(client net.Conn) {
	defer client.Close()
	if !p.hold(client) {
		return
	}
	target, proceed, err := p.accept(client)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.targets = append(p.targets, target)
	p.mu.Unlock()
	server, err := net.Dial("tcp", strings.Replace(target, serverName, "127.0.0.1", 1))
	if err != nil {
		return
	}
	defer server.Close()
	if !p.hold(server) || proceed() != nil {
		return
	}
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
		both.Go(func() {
			_, _ = io.Copy(to, from) // however a connection ends, both halves do
			_ = to.(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

func (p *tunnels) tunnelled() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.targets...)
}

var errRefused = errors.New("refused")

// socks5 speaks RFC 1928, with the user and password of RFC 1929 if user is not "".
func socks5(user, password string) func(net.Conn) (string, func() error, error) {
	return func(client net.Conn) (string, func() error, error) {
		if err := greet(client, user, password); err != nil {
			return "", nil, err
		}
		head := make([]byte, 4) // version, command, reserved, kind of address
		if _, err := io.ReadFull(client, head); err != nil || head[1] != 1 {
			return "", nil, errRefused
		}
		host := make([]byte, net.IPv4len)
		if head[3] == 3 {
			name, err := sized(client)
			if err != nil {
				return "", nil, err
			}
			host = name
		} else if _, err := io.ReadFull(client, host); err != nil {
			return "", nil, err
		}
		port := make([]byte, 2)
		if _, err := io.ReadFull(client, port); err != nil {
			return "", nil, err
		}
		name := string(host)
		if head[3] == 1 {
			name = net.IP(host).String()
		}
		target := net.JoinHostPort(name, fmt.Sprint(int(port[0])<<8|int(port[1])))
		return target, func() error {
			_, err := client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
			return err
		}, nil
	}
}

func greet(client net.Conn, user, password string) error {
	version := make([]byte, 1)
	if _, err := io.ReadFull(client, version); err != nil {
		return err
	}
	methods, err := sized(client)
	if err != nil {
		return err
	}
	wanted := byte(0)
	if user != "" {
		wanted = 2
	}
	if !strings.Contains(string(methods), string(rune(wanted))) {
		_, _ = client.Write([]byte{5, 0xff})
		return errRefused
	}
	if _, err := client.Write([]byte{5, wanted}); err != nil || user == "" {
		return err
	}
	if _, err := io.ReadFull(client, version); err != nil {
		return err
	}
	gotUser, userErr := sized(client)
	gotPassword, passwordErr := sized(client)
	if err := errors.Join(userErr, passwordErr); err != nil {
		return err
	}
	if string(gotUser) != user || string(gotPassword) != password {
		_, _ = client.Write([]byte{1, 1})
		return errRefused
	}
	_, err = client.Write([]byte{1, 0})
	return err
}

// sized reads as many bytes as the first says.
func sized(r io.Reader) ([]byte, error) {
	length := make([]byte, 1)
	if _, err := io.ReadFull(r, length); err != nil {
		return nil, err
	}
	content := make([]byte, length[0])
	_, err := io.ReadFull(r, content)
	return content, err
}

// connectProxy speaks HTTP (RFC 9110 section 9.3.6), with Basic credentials if user is not "". It reads no byte ahead.
func connectProxy(user, password string) func(net.Conn) (string, func() error, error) {
	credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	return func(client net.Conn) (string, func() error, error) {
		var head strings.Builder
		for b := make([]byte, 1); !strings.HasSuffix(head.String(), "\r\n\r\n"); head.Write(b) {
			if _, err := io.ReadFull(client, b); err != nil {
				return "", nil, err
			}
		}
		lines := strings.Split(head.String(), "\r\n")
		var target string
		if _, err := fmt.Sscanf(lines[0], "CONNECT %s HTTP/1.1", &target); err != nil {
			return "", nil, err
		}
		if user != "" && !strings.Contains(head.String(), "\r\nProxy-Authorization: "+credentials+"\r\n") {
			_, _ = fmt.Fprintf(client, "HTTP/1.1 %d Proxy Authentication Required\r\n\r\n", http.StatusProxyAuthRequired)
			return "", nil, errRefused
		}
		return target, func() error {
			_, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
			return err
		}, nil
	}
}

var proxies = map[ftpclient.ProxyScheme]func(user, password string) func(net.Conn) (string, func() error, error){
	ftpclient.ProxySOCKS5: socks5, ftpclient.ProxyHTTP: connectProxy,
}

// through has a bed's connections made by a proxy, to a name that it alone knows.
func (b *bed) through(scheme ftpclient.ProxyScheme, p *tunnels) {
	b.opt.Host, b.opt.TLSName = serverName, "127.0.0.1"
	address := p.ln.Addr().(*net.TCPAddr)
	b.opt.Proxy = ftpclient.Proxy{Scheme: scheme, Host: address.IP.String(), Port: address.Port}
}

func eachProxy(t *testing.T, test func(t *testing.T, scheme ftpclient.ProxyScheme)) {
	t.Helper()
	for scheme := range proxies {
		t.Run(string(scheme), func(t *testing.T) {
			t.Parallel()
			test(t, scheme)
		})
	}
}

// TestProxy: the control connection and every data connection go through it, to the server and nowhere else.
func TestProxy(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, scheme ftpclient.ProxyScheme) {
		for name, user := range map[string]string{"open": "", "with credentials": "talon"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for _, without := range []string{"", "EPSV"} {
					eachModeWith(t, ftptest.Options{Without: []string{without}}, func(t *testing.T, b *bed) {
						p := startProxy(t, proxies[scheme](user, proxyPassword))
						b.through(scheme, p)
						b.opt.Proxy.User, b.opt.Proxy.Password = user, proxyPassword
						b.put(path, size)
						l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
						require.NoError(t, err)
						assert.Len(t, l.Entries, 1)
						b.collects(t, path)
						targets := p.tunnelled()
						assert.Len(t, targets, 3, "control, listing, file")
						assert.Equal(t, fmt.Sprintf("%s:%d", serverName, b.Port()), targets[0])
						for _, target := range targets[1:] {
							assert.True(t, strings.HasPrefix(target, serverName+":"), target)
						}
						b.pool.Close()
					})
				}
			})
		}
	})
}

func TestProxyRefusesCredentials(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, scheme ftpclient.ProxyScheme) {
		words := map[ftpclient.ProxyScheme]string{
			ftpclient.ProxySOCKS5: "username/password authentication failed",
			ftpclient.ProxyHTTP:   "the proxy answers 407 Proxy Authentication Required",
		}
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.put(path, size)
		b.through(scheme, startProxy(t, proxies[scheme]("talon", proxyPassword)))
		b.opt.Proxy.User, b.opt.Proxy.Password = "talon", "wr0ng-word"
		err := b.dialling(ctx)
		b.failed(t, err, ftpclient.ErrUnreachable, words[scheme])
		assert.Contains(t, err.Error(), fmt.Sprintf("through the %s proxy %s:%d", scheme, b.opt.Proxy.Host, b.opt.Proxy.Port))
		assert.NotContains(t, err.Error(), "wr0ng-word")
		assert.Zero(t, b.Connections())
		b.opt.Proxy.User = ""
		b.failed(t, b.dialling(ctx), ftpclient.ErrUnreachable, string(scheme)+" proxy")
		b.opt.Proxy.User, b.opt.Proxy.Password = "talon", proxyPassword
		b.collects(t, path)
		b.pool.Close()
	})
}

func TestProxyThatIsMute(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, scheme ftpclient.ProxyScheme) {
		asked := make(chan struct{}, 8)
		mute := func(client net.Conn) (string, func() error, error) {
			asked <- struct{}{}
			_, err := io.Copy(io.Discard, client)
			return "", nil, errors.Join(errRefused, err)
		}
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.through(scheme, startProxy(t, mute))
		b.othersAreServedMeanwhile(t, func() bool { return len(asked) > 0 }, b.dialling)
		b.hasty()
		err := b.dialling(ctx)
		b.failed(t, err, ftpclient.ErrUnreachable, string(scheme)+" proxy")
		assert.Regexp(t, "not logged in within 4s|i/o timeout", err.Error(), "whichever deadline came first")
	})
}

func TestProxyThatIsAway(t *testing.T) {
	t.Parallel()
	closed := ftptest.ClosedPort(t)
	eachProxy(t, func(t *testing.T, scheme ftpclient.ProxyScheme) {
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		b.opt.Proxy = ftpclient.Proxy{Scheme: scheme, Host: "127.0.0.1", Port: closed}
		b.failed(t, b.dialling(ctx), ftpclient.ErrUnreachable, fmt.Sprintf("through the %s proxy 127.0.0.1:%d", scheme, closed))
		assert.Zero(t, b.Connections(), "there is no way around it")
	})
}

// TestProxyThatLetsNoDataThrough: many proxies allow but a few ports.
func TestProxyThatLetsNoDataThrough(t *testing.T) {
	t.Parallel()
	eachProxy(t, func(t *testing.T, scheme ftpclient.ProxyScheme) {
		b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
		v := b.put(path, size)
		open := proxies[scheme]("", "")
		b.through(scheme, startProxy(t, func(client net.Conn) (string, func() error, error) {
			target, proceed, err := open(client)
			if err == nil && !strings.HasSuffix(target, fmt.Sprintf(":%d", b.Port())) {
				return "", nil, errRefused
			}
			return target, proceed, err
		}))
		b.fails(t, b.wanted(path), v, ftpclient.ErrBroken, string(scheme)+" proxy")
		assert.True(t, b.said("EPSV") && b.said("PASV"), "both ways were tried")
	})
}
