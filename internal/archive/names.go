package archive

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"

	"talon/internal/pathname"
)

// charsets decode entry names that are not UTF-8, in the order of Request.Encodings.
type charsets []encoding.Encoding

func newCharsets(names []string) (charsets, error) {
	var c charsets
	for _, name := range names {
		enc, err := htmlindex.Get(name)
		if err != nil {
			enc, err = ianaindex.IANA.Encoding(name) // knows what browsers do not, e.g. "IBM437"
		}
		if err != nil || enc == nil {
			return nil, fmt.Errorf("unknown encoding of names %q", name)
		}
		c = append(c, enc)
	}
	return c, nil
}

// decode returns a stored name as text, or as it is if no encoding fits. The flags by which archives declare UTF-8 are not
// asked: they are often wrong, and bytes that are valid UTF-8 are hardly ever anything else.
func (c charsets) decode(raw string) string {
	if utf8.ValidString(raw) {
		return raw
	}
	for _, enc := range c {
		text, err := enc.NewDecoder().String(raw)
		if err == nil && !strings.ContainsRune(text, utf8.RuneError) {
			return text
		}
	}
	return raw
}

// foldKey is the key under which two paths are one on file systems that ignore case.
func foldKey(p string) string { return strings.ToLower(p) }

// clean turns a decoded name into a relative path. Backslashes separate, as Windows programs store them: so this comes
// after the decoding, because the second byte of a Chinese character may be one.
func clean(name string) (string, error) {
	name = strings.ReplaceAll(name, `\`, "/")
	if len(name) >= 2 && name[1] == ':' && unicode.IsLetter(rune(name[0])) && name[0] < utf8.RuneSelf {
		name = name[2:]
	}
	return pathname.Clean(name)
}

// isRoot says whether a name stands for the archive's own root, such as "./".
func isRoot(name string) bool {
	return strings.Trim(strings.ReplaceAll(name, `\`, "/"), "./") == "" && !strings.Contains(name, "..")
}

// printable returns a name that can be shown and put into JSON.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(name, string(utf8.RuneError)))
}

// tarNames maps the short names of compressed tar archives to the name of what is inside.
var tarNames = map[string]bool{
	".tgz": true, ".taz": true, ".tbz": true, ".tbz2": true, ".txz": true, ".tzst": true, ".tlz": true, ".tlz4": true,
	".tbr": true, ".tsz": true,
}

// streamName returns the name of what a compressed single file contains: "x.csv" for "x.csv.gz", "x.tar" for "x.tar.gz"
// and "x.tgz", as gunzip does.
func streamName(name string) string {
	stem, ext := pathname.SplitExt(name)
	ext = strings.ToLower(ext)
	if tarNames[ext] || strings.HasPrefix(ext, ".tar.") {
		return stem + ".tar"
	}
	return stem
}

// saysTar says whether the name of a compressed file promises a tar archive inside.
func saysTar(name string) bool { return strings.HasSuffix(streamName(name), ".tar") }
