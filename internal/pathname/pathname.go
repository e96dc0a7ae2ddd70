// Package pathname turns names that strangers chose into relative paths that are safe to create, and derives the
// neighbours of such a path: the next version beside it and the directory an archive unpacks into. It is a leaf: it
// imports nothing of Talon and touches no file system.
package pathname

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of Linux file systems (NAME_MAX and PATH_MAX), with room left in a component for a "~N" version mark.
const (
	MaxComponent = 240 // bytes
	MaxPath      = 3800
)

// ErrUnsafe marks a name that is refused because no safe relative path stands for it. Callers report it as the reason
// code "unsafe_name".
var ErrUnsafe = errors.New("unsafe name")

// Clean returns name as a slash-separated relative path below a root. Leading slashes, empty and "." components are
// dropped; bytes that are not UTF-8 become %XX so that two different raw names stay different. A "..", a NUL, a control
// character, an empty result or an over-long one is refused with ErrUnsafe. Portable does more, for names that nobody
// will ask for again.
func Clean(name string) (string, error) {
	parts, err := split(name)
	if err != nil {
		return "", err
	}
	for _, part := range parts {
		if len(part) > MaxComponent {
			return "", fmt.Errorf("%w: a component of %.60q… is longer than %d bytes", ErrUnsafe, name, MaxComponent)
		}
	}
	return join(name, parts)
}

// split returns the components of a name in valid UTF-8. There may be none.
func split(name string) ([]string, error) {
	var parts []string
	for part := range strings.SplitSeq(escapeInvalid(name), "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return nil, fmt.Errorf("%w: %q climbs out of its directory", ErrUnsafe, name)
		case strings.ContainsFunc(part, unicode.IsControl):
			return nil, fmt.Errorf("%w: %q contains a control character", ErrUnsafe, name)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// join makes a path of the components that came of a name.
func join(name string, parts []string) (string, error) {
	joined := strings.Join(parts, "/")
	if joined == "" || len(joined) > MaxPath {
		return "", fmt.Errorf("%w: %.60q is empty or longer than %d bytes", ErrUnsafe, name, MaxPath)
	}
	return joined, nil
}

func escapeInvalid(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && size == 1 {
			escape(&b, name[i:i+1])
		} else {
			b.WriteString(name[i : i+size])
		}
		i += size
	}
	return b.String()
}

// compressors are the extensions that wrap one stream; before them ".tar" belongs to the extension.
var compressors = map[string]bool{
	".gz": true, ".bz2": true, ".xz": true, ".zst": true, ".lz4": true, ".br": true, ".sz": true, ".lz": true, ".zz": true,
}

// containers are the extensions of archives that are cut into volumes.
var containers = map[string]bool{".zip": true, ".7z": true, ".rar": true}

// SplitExt splits p before its extension; ".tar.gz" and its kin count as one extension, and so do those of volumes:
// ".part1.rar", ".7z.001", ".tar.gz.001". A name that is nothing but an extension (".profile") has none.
func SplitExt(p string) (stem, ext string) {
	stem = strings.TrimSuffix(p, path.Ext(p))
	for before := path.Ext(stem); belongs(before, p[len(stem):]); before = path.Ext(stem) {
		stem = strings.TrimSuffix(stem, before)
	}
	if path.Base(stem) == "." || strings.HasSuffix(stem, "/") || stem == "" {
		return p, ""
	}
	return stem, p[len(stem):]
}

// belongs says whether an extension is the first part of one that goes on with ext.
func belongs(before, ext string) bool {
	before, ext = strings.ToLower(before), strings.ToLower(ext)
	last := path.Ext(ext)
	piece := len(last) > 3 && isNumber(last[1:])
	switch {
	case ext == ".rar":
		return strings.HasPrefix(before, ".part") && isNumber(before[len(".part"):])
	case before == ".tar":
		return piece && last == ext || compressors[ext] || piece && compressors[strings.TrimSuffix(ext, last)]
	default:
		return piece && last == ext && (compressors[before] || containers[before])
	}
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// Versioned returns the n-th candidate for p: p itself for n = 1, then "stem~2.ext", "stem~3.ext", …
func Versioned(p string, n int) string {
	if n <= 1 {
		return p
	}
	stem, ext := SplitExt(p)
	return fmt.Sprintf("%s~%d%s", stem, n, ext)
}
