package pathname_test

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/pathname"
)

func TestPortable(t *testing.T) {
	for name, want := range map[string]string{
		"/报表/./一月.csv":   "报表/一月.csv",
		"b\xb1\xa8.txt":  "b%B1%A8.txt",
		"cafe\u0301.txt": "cafe\u0301.txt", // NFD stays
		" a b~1%.txt":    " a b~1%.txt",

		"CON":                 "_CON",
		"con.txt":             "_con.txt",
		"Aux.tar.gz":          "_Aux.tar.gz",
		"nul .txt":            "_nul .txt",
		"d/COM9/lpt¹.x":       "d/_COM9/_lpt¹.x",
		"CONIN$":              "_CONIN$",
		"conout$.log":         "_conout$.log",
		"COM10":               "COM10",
		"COM0":                "COM0",
		"CONSOLE.txt":         "CONSOLE.txt",
		"a.con":               "a.con",
		"con\u00a0":           "con\u00a0",
		"CON.":                "CON%2E",
		"prn ":                "prn%20",
		"dir./a. ":            "dir%2E/a.%20",
		"... /.. /. ":         "...%20/..%20/.%20",
		"...":                 "..%2E",
		".profile":            ".profile",
		"x.txt:evil":          "x.txt%3Aevil",
		"NUL:x":               "NUL%3Ax",
		`a<b>c"d|e?f*g`:       "a%3Cb%3Ec%22d%7Ce%3Ff%2Ag",
		`a\b`:                 "a%5Cb",
		"\u202egpj.exe":       "%E2%80%AEgpj.exe",
		"a\u200bb\ufeff":      "a%E2%80%8Bb%EF%BB%BF",
		"a\u2028b":            "a%E2%80%A8b",
		"\u3164":              "%E3%85%A4",
		"\u2764\ufe0f.txt":    "\u2764\ufe0f.txt",
		"\u2067\xff\u2069.id": "%E2%81%A7%FF%E2%81%A9.id",
	} {
		got, err := pathname.Portable(name)
		require.NoError(t, err, "%q", name)
		assert.Equal(t, want, got, "%q", name)
		again, err := pathname.Portable(got)
		require.NoError(t, err)
		assert.Equal(t, got, again, "it stays as it is")
	}
}

func TestPortableRefusesUnsafeNames(t *testing.T) {
	for _, name := range []string{
		"", "/", ".", "../evil", "a/../../b", "a\x00b", "line\nbreak", "tab\t", "\x7f", "a\u0085", strings.Repeat("d/", pathname.MaxPath),
	} {
		_, err := pathname.Portable(name)
		assert.ErrorIs(t, err, pathname.ErrUnsafe, "%q", name)
	}
}

func TestPortableShortensLongComponents(t *testing.T) {
	full := strings.Repeat("对", 80)
	got, err := pathname.Portable(full + "/a")
	require.NoError(t, err)
	assert.Equal(t, full+"/a", got, "240 bytes are not too many")

	seen := map[string]bool{}
	for _, c := range []struct{ name, ext string }{
		{full + "一.csv", ".csv"},
		{full + "二.csv", ".csv"},
		{full + "x.TAR.gz", ".TAR.gz"},
		{full + "x", ""},
		{"a." + full + full, ""},
		{strings.Repeat("?", 100), ""},
		{strings.Repeat("x", 300) + ".", ""},
		{"NUL." + full + ".csv", ".csv"},
	} {
		got, err := pathname.Portable("dir/" + c.name)
		require.NoError(t, err)
		base := path.Base(got)
		assert.LessOrEqual(t, len(base), pathname.MaxComponent)
		assert.Greater(t, len(base), pathname.MaxComponent-utf8.UTFMax)
		assert.True(t, utf8.ValidString(base), base)
		assert.Regexp(t, `~[0-9a-f]{8}\Q`+c.ext+`\E$`, base)
		assert.False(t, seen[got], "%q", got)
		seen[got] = true
	}
}

// Names on servers keep the paths they have always had: files lie there.
func TestCleanDoesNotRename(t *testing.T) {
	for _, name := range []string{"CON.txt", "a.", "a ", "x:y", `a\b`, "\u202ex", "a?b*"} {
		got, err := pathname.Clean(name)
		require.NoError(t, err)
		assert.Equal(t, name, got)
	}
}
