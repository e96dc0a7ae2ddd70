package pathname_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/pathname"
)

func TestCleanKeepsSafeNames(t *testing.T) {
	for name, want := range map[string]string{
		"a.csv":             "a.csv",
		"/out/./a.csv":      "out/a.csv",
		"报表/一月.csv":         "报表/一月.csv",
		"b\xb1\xa8.txt":     "b%B1%A8.txt",
		" leading -dash":    " leading -dash",
		"trailing/slashes/": "trailing/slashes",
	} {
		got, err := pathname.Clean(name)
		require.NoError(t, err, "%q", name)
		assert.Equal(t, want, got)
	}
}

func TestCleanRefusesUnsafeNames(t *testing.T) {
	long := make([]byte, pathname.MaxComponent+1)
	for i := range long {
		long[i] = 'x'
	}
	for _, name := range []string{"", "/", ".", "../evil", "a/../../b", "a\x00b", "line\nbreak", "tab\t", string(long)} {
		_, err := pathname.Clean(name)
		assert.ErrorIs(t, err, pathname.ErrUnsafe, "%q", name)
	}
}

func TestVersionedKeepsTheWholeExtension(t *testing.T) {
	for _, c := range []struct {
		path string
		n    int
		want string
	}{
		{"b/a.csv", 1, "b/a.csv"},
		{"b/a.csv", 2, "b/a~2.csv"},
		{"b/a.tar.gz", 3, "b/a~3.tar.gz"},
		{"b/README", 2, "b/README~2"},
		{"b/.profile", 2, "b/.profile~2"},
		{"v1.0/data", 2, "v1.0/data~2"},
	} {
		assert.Equal(t, c.want, pathname.Versioned(c.path, c.n))
	}
}

func TestSplitExt(t *testing.T) {
	for name, want := range map[string][2]string{
		"in/inner.TAR.Zst": {"in/inner", ".TAR.Zst"}, "x.csv.gz": {"x.csv", ".gz"}, "a/.tar.gz": {"a/.tar.gz", ""}, "plain": {"plain", ""},
		"a.part01.rar": {"a", ".part01.rar"}, "a.parts.rar": {"a.parts", ".rar"}, "b/x.7z.001": {"b/x", ".7z.001"},
		"x.tar.gz.002": {"x", ".tar.gz.002"}, "x.tar.001": {"x", ".tar.001"}, "x.csv.001": {"x.csv", ".001"}, "x.zip.01": {"x.zip", ".01"},
		"a.b/c": {"a.b/c", ""}, ".part1.rar": {".part1.rar", ""},
	} {
		stem, ext := pathname.SplitExt(name)
		assert.Equal(t, want, [2]string{stem, ext}, name)
	}
}
