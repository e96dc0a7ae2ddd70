package ftpclient

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// charset turns the server's bytes into text for people. FTP has no way to tell the charset of names: RFC 2640 asks for
// UTF-8, Chinese servers commonly use GBK.
type charset struct {
	enc encoding.Encoding // nil for UTF-8
}

// newCharset accepts the names of the WHATWG encoding standard.
func newCharset(name string) (charset, error) {
	if name == "" {
		return charset{}, nil
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		return charset{}, fmt.Errorf("encoding %q: %w", name, err)
	}
	if canonical, err := htmlindex.Name(enc); err == nil && canonical == "utf-8" {
		return charset{}, nil
	}
	return charset{enc: enc}, nil
}

func (c charset) utf8() bool { return c.enc == nil }

// decode works part by part, so that a directory is shown the same way whatever its files are called. A part that is not
// valid in the charset stays as it is, and may not be valid UTF-8 then.
func (c charset) decode(raw string) string {
	if c.enc == nil || isASCII(raw) {
		return raw
	}
	parts := strings.Split(raw, "/")
	for i, part := range parts {
		text, err := c.enc.NewDecoder().String(part)
		if err == nil && !strings.ContainsRune(text, utf8.RuneError) {
			parts[i] = text
		}
	}
	return strings.Join(parts, "/")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Encode returns the bytes by which the server knows a name that people wrote. A name that its charset cannot express is an error.
func (o Options) Encode(name string) (string, error) {
	names, err := newCharset(o.Encoding)
	if err != nil || names.utf8() || isASCII(name) {
		return name, err
	}
	raw, err := names.enc.NewEncoder().String(name)
	if err != nil {
		return "", fmt.Errorf("server %s: %q cannot be written in %s: %w", o.Name, name, o.Encoding, err)
	}
	return raw, nil
}

// Decode is what a name says in an encoding (see Options.Encoding); ok is false if it is not valid there, or not in use.
func Decode(encoding, raw string) (text string, ok bool) {
	names, err := newCharset(encoding)
	if err != nil {
		return raw, false
	}
	if names.utf8() {
		return raw, utf8.ValidString(raw)
	}
	text, err = names.enc.NewDecoder().String(raw)
	return text, err == nil && !strings.ContainsRune(text, utf8.RuneError)
}
