package archive

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/pathname"
)

func TestClean(t *testing.T) {
	for name, want := range map[string]string{
		`C:\data\报表.txt`: "data/报表.txt", `\\host\share\d.txt`: "host/share/d.txt", `\\?\C:\x`: "%3F/C%3A/x", "d:x": "x", "é:x": "é%3Ax",
		`dir\CON.txt`: "dir/_CON.txt", "/etc/passwd": "etc/passwd", "a//./b/": "a/b", `sub.\b `: "sub%2E/b%20",
	} {
		got, err := clean(name)
		require.NoError(t, err, "%q", name)
		assert.Equal(t, want, got)
	}
	for _, name := range []string{`..\evil`, `a\..\..\b`, `C:\..\x`, "C:..", `C:\`, "a\x00b", "a\nb"} {
		_, err := clean(name)
		assert.ErrorIs(t, err, pathname.ErrUnsafe, "%q", name)
	}
}

func TestIsRoot(t *testing.T) {
	for name, want := range map[string]bool{"": true, "./": true, "/": true, `.\`: true, `C:\`: true, "..": false, "../": false, "a/": false} {
		assert.Equal(t, want, isRoot(name), "%q", name)
	}
}

func TestPrintable(t *testing.T) {
	assert.Equal(t, "a\ufffdb\ufffd\ufffd报", printable("a\nb\xff\u202e报"))
}

func TestFoldKey(t *testing.T) {
	for _, twins := range [][]string{
		{"A.csv", "a.csv", "a.CSV"},
		{"Dir/a", "dir/A"},
		{"Été.txt", "été.TXT", "e\u0301te\u0301.txt", "E\u0301te\u0301.txt"},
		{"ΣΑΣ", "σας", "σασ"},
		{"straße", "STRASSE"},
		{"\u212b", "å", "a\u030a"},
		{"\u2764\ufe0f", "\u2764"},
		{"가", "\u1100\u1161"},
		{"α\u0345\u0301", "α\u0301\u0345"},
	} {
		for _, twin := range twins {
			assert.Equal(t, foldKey(twins[0]), foldKey(twin), "%q and %q", twins[0], twin)
			assert.Equal(t, foldKey(twin), foldKey(foldKey(twin)))
		}
	}
	for _, others := range [][2]string{{"a", "b"}, {"a/b", "ab"}, {"é", "e"}, {"报表", "報表"}, {"ア", "あ"}, {"ア", "ｱ"}} {
		assert.NotEqual(t, foldKey(others[0]), foldKey(others[1]))
	}
	assert.Zero(t, testing.AllocsPerRun(10, func() { foldKey("2026/january/report.csv") }))
}

// FuzzNames: whatever bytes an archive calls an entry by, it gets a path that is safe everywhere, or is refused as unsafe;
// and no two entries get paths that are one somewhere without foldKey saying so.
func FuzzNames(f *testing.F) {
	sets := [][]string{nil, {"gbk"}, {"auto"}, {"shift_jis", "ibm437"}, {"koi8-r", "gb18030"}}
	for i, seed := range [][2]string{
		{"a.csv", "A.csv"},
		{`C:\con.txt`, "CON .txt"},
		{"../x", `..\x`},
		{"\xb1\xa8\xb1\xed", "\xd2\xbb"},
		{"a\u202eb", "a."},
		{"\x82\x5c", "x:y"},
		{"e\u0301", "é"},
		{strings.Repeat("\xb1\xa8", 130), strings.Repeat("x", 241)},
		{"a\x00", "\u2028"},
		{"\u1e9e.", "SS "},
		{"%2E", "."},
	} {
		f.Add(seed[0], seed[1], uint8(i))
	}
	f.Fuzz(func(t *testing.T, one, two string, set uint8) {
		c, err := newCharsets(sets[int(set)%len(sets)])
		require.NoError(t, err)
		for _, c := range []charsets{c, c.prior([]string{one, two})} {
			first, err := clean(c.decode(one))
			checkClean(t, first, err)
			second, err := clean(c.decode(two))
			checkClean(t, second, err)
			again, _ := clean(c.decode(one))
			require.Equal(t, first, again)
			if strings.EqualFold(first, second) {
				require.Equal(t, foldKey(first), foldKey(second))
			}
		}
	})
}

func checkClean(t *testing.T, path string, err error) {
	if err != nil {
		require.ErrorIs(t, err, pathname.ErrUnsafe)
		return
	}
	require.True(t, filepath.IsLocal(path), path)
	require.True(t, utf8.ValidString(path))
	require.LessOrEqual(t, len(path), pathname.MaxPath)
	require.False(t, strings.ContainsAny(path, `\<>:"|?*`), path)
	require.False(t, strings.ContainsFunc(path, pathname.Invisible), "%q", path)
	again, err := clean(path)
	require.NoError(t, err)
	require.Equal(t, path, again, "a clean path stays as it is")
	for part := range strings.SplitSeq(path, "/") {
		require.NotEmpty(t, part)
		require.LessOrEqual(t, len(part), pathname.MaxComponent)
		require.NotContains(t, ". ", part[len(part)-1:], path)
		stem, _, _ := strings.Cut(strings.ToUpper(part), ".")
		stem = strings.TrimRight(stem, " ")
		require.False(t, slices.Contains([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}, stem), path)
		if prefix, digit, ok := cutPort(stem); ok {
			require.NotContains(t, "123456789¹²³", digit, prefix)
		}
	}
}

// cutPort splits COM1 and its like.
func cutPort(stem string) (prefix, digit string, ok bool) {
	for _, prefix := range []string{"COM", "LPT"} {
		digit, ok := strings.CutPrefix(stem, prefix)
		if ok && utf8.RuneCountInString(digit) == 1 {
			return prefix, digit, true
		}
	}
	return "", "", false
}
