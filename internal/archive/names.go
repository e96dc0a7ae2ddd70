package archive

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"talon/internal/pathname"
)

// clean turns a decoded name into a relative path that Windows takes too (see pathname.Portable), for the warehouse may be
// shared. Only what climbs, what holds a control character and what is no path at all is refused.
func clean(name string) (string, error) { return pathname.Portable(relative(name)) }

// relative replaces backslashes, which separate as Windows programs store them, and drops the drive. It comes after the
// decoding, because the second byte of a Chinese character may be a backslash.
func relative(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	if len(name) >= 2 && name[1] == ':' && name[0] < utf8.RuneSelf && unicode.IsLetter(rune(name[0])) {
		name = name[2:]
	}
	return name
}

// isRoot says whether a name stands for the archive's own root, such as "./".
func isRoot(name string) bool {
	name = relative(name)
	return strings.Trim(name, "./") == "" && !strings.Contains(name, "..")
}

// printable returns a name that can be shown and put into JSON.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if pathname.Invisible(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(name, string(utf8.RuneError)))
}

// foldKey returns what two paths have in common that are one on file systems which know no case and compare normalised
// text (Unicode 3.13, D145, and variation selectors do not count): such twins are told apart as if they were the same path.
// It is true for directories too: "Dir/a" and "dir/b" become "Dir/a" and "dir~2/b", each with its siblings.
func foldKey(path string) string {
	if isASCII(path) {
		return strings.ToLower(path)
	}
	path = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Variation_Selector, r) {
			return -1
		}
		return r
	}, path)
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(path)))
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
