package config

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// ProxyScheme is the protocol that a proxy speaks.
type ProxyScheme string

// ProxySOCKS5 is RFC 1928, with the user and password of RFC 1929; ProxyHTTP is the CONNECT method of RFC 9110, section 9.3.6,
// with Basic credentials of RFC 7617.
const (
	ProxySOCKS5 ProxyScheme = "socks5"
	ProxyHTTP   ProxyScheme = "http"
)

// Proxy is what all connections to a server go through. The zero Proxy is none.
type Proxy struct {
	Scheme   ProxyScheme `yaml:"scheme,omitempty" json:"scheme,omitempty"`
	Host     string      `yaml:"host,omitempty" json:"host,omitempty"`
	Port     int         `yaml:"port,omitempty" json:"port,omitempty"`
	User     string      `yaml:"user,omitempty" json:"user,omitempty"` // "": no credentials
	Password Secret      `yaml:"password" json:"password"`
}

const proxyHint = `write none, "socks5://host:1080", "http://host:3128" or {url: …, user: …, password: {env: NAME}}`

// proxy sets none, a URL, or a URL with credentials. What is written replaces a proxy of the defaults as a whole.
func (d *decoder) proxy(target *Proxy) setter {
	return func(e entry) {
		*target = Proxy{}
		text, plain := plainText(e.value)
		_, mapping := e.value.(ast.MapNode)
		switch {
		case mapping:
			d.proxyWithCredentials(target, e)
		case !plain:
			d.addWrongType(e, "text or a mapping", proxyHint)
		case text != "none":
			d.proxyURL(target)(e)
		}
	}
}

func (d *decoder) proxyWithCredentials(target *Proxy, e entry) {
	before := len(d.found)
	d.mapping(e.value, []field{
		{"url", d.proxyURL(target)},
		{"user", d.text(&target.User, checkProxyUser)},
		{"password", d.secret(&target.Password)},
	})
	switch {
	case len(d.found) > before:
	case target.Host == "":
		d.add(e.at, "a proxy needs an address", proxyHint)
	case target.User == "" && target.Password.held != nil:
		d.add(e.at, "a password for a proxy needs a user", "write it with the key user, beside the password")
	}
}

// proxyURL sets scheme, host and port. No message quotes anything: whatever stands there may hold a password.
func (d *decoder) proxyURL(target *Proxy) setter {
	return func(e entry) {
		var text string
		d.text(&text, checkProxyURL)(e)
		if text == "" {
			return
		}
		address, port := splitProxyURL(text)
		target.Scheme, target.Host, target.Port = ProxyScheme(address.Scheme), address.Hostname(), port
	}
}

// splitProxyURL returns a nil URL for what is none, and port 0 for one that is missing or out of range.
func splitProxyURL(text string) (*url.URL, int) {
	address, err := url.Parse(text)
	if err != nil {
		return nil, 0
	}
	port, err := strconv.ParseUint(address.Port(), 10, 16)
	if err != nil {
		return address, 0
	}
	return address, int(port)
}

func checkProxyURL(text string) *Error {
	if strings.Contains(text, "@") {
		return &Error{
			Message: "this contains a user, or even a password",
			Hint:    "write {url: …, user: …, password: {env: NAME}}",
		}
	}
	address, port := splitProxyURL(text)
	switch {
	case address == nil || address.Opaque != "" || address.Host == "":
		return &Error{Message: "this is not the URL of a proxy", Hint: proxyHint}
	case address.Scheme != string(ProxySOCKS5) && address.Scheme != string(ProxyHTTP):
		return &Error{Message: "this is not a kind of proxy that can be used", Hint: "begin it with socks5:// or http://"}
	case strings.TrimSuffix(address.Path, "/") != "" || strings.ContainsAny(text, "?#"):
		return &Error{Message: "a proxy has no path", Hint: "end it after the port"}
	case port == 0:
		return &Error{Message: "the port is missing, or is none", Hint: `write it after the host: ":1080"`}
	}
	return checkHost(address.Hostname())
}

// checkProxyUser keeps within RFC 1929 (255 bytes) and RFC 7617 (a colon would end the user).
func checkProxyUser(text string) *Error {
	if len(text) > 255 || strings.Contains(text, ":") {
		return &Error{Message: "this is too long, or contains a colon", Hint: "write the user alone, the password with the key password"}
	}
	return checkCommandText(text)
}
