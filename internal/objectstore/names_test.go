package objectstore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

// TestNamesOfFiles: a file that tiger puts into its directory under an odd name is fetched by that name, and no other file instead.
func TestNamesOfFiles(t *testing.T) {
	b := newBed(t)
	long := strings.Repeat("x", 255)
	deep := strings.Repeat(strings.Repeat("d", 204)+"/", 4) + strings.Repeat("f", 204)
	require.Len(t, deep, 1024)
	names := []string{
		"plain.zip", "with space.zip", " leading", "trailing ", "a+b", "100%", "a%20b", "a b", "%2e%2e", "%", "what?", "a#b", "a&b=c",
		`quote"quote`, "apo'strophe", "back`tick", `back\slash`, `..\up`, "new\nline", "tab\there", "car\rriage", "\x01\x7f", "semi;colon",
		"com,ma", "colon:", "star*", "pi|pe", "less<more>", "[brackets]", "{braces}", "at@sign", "dollar$", "caret^", "tilde~", "equals=",
		"exclamation!", "(parentheses)", "余额.csv", "日报表/七月.zip", "🏦.zip", "e\u0301 and \u00e9", "\u202ertl", "\ufeffbom",
		"dir/\u2028", "dir/ ", ".hidden", "..two", "...", "a..b", ".talon", ".sgwtmp/x", "dir/.sgwtmp", ".vgwlocks/x", "a/b/c/d/e/f.zip", "dir.with.dots/x",
		"uploads", "?uploads", "policy", "a?versionId=1", "~", "-dash", "--", "_", "CON", "nul", long, strings.Repeat("余", 85), deep,
	}
	for i, name := range names {
		t.Run(name[:min(len(name), 20)], func(t *testing.T) {
			data := []byte(strings.Repeat(name, 3) + string(rune('a'+i%26)))
			object := b.place(name, data)
			size, err := b.store.Stat(ctx, object)
			require.NoError(t, err)
			assert.Equal(t, int64(len(data)), size)
			b.fetch(t, object, data)
			if !strings.HasPrefix(name, ".sgwtmp") {
				require.NoError(t, b.put(name, data))
				assert.Equal(t, data, b.stored(name))
			}
		})
	}
}

func TestNamesThatAreNoFiles(t *testing.T) {
	b := newBed(t)
	for key, says := range map[string]string{
		"":                           "empty part",
		"/leading":                   "empty part",
		"trailing/":                  "empty part",
		"a//b":                       "empty part",
		".":                          `"."`,
		"..":                         `".."`,
		"a/../b":                     `".."`,
		"../../etc/passwd":           `".."`,
		"a/./b":                      `"."`,
		" ":                          "nothing but blanks",
		"nul\x00":                    "NUL",
		"\xff\xfe":                   "not valid UTF-8",
		strings.Repeat("x", 256):     "a part of the key has 256 bytes, file systems allow 255",
		strings.Repeat("dddd/", 205): "the key has 1025 bytes, S3 allows 1024",
	} {
		for call, err := range all(t, b.store, zipBucket, key) {
			if call == "check" || call == "put" {
				continue
			}
			require.ErrorIs(t, err, objectstore.ErrRejected, "%s %q", call, key)
			assert.ErrorContains(t, err, says)
		}
		require.ErrorIs(t, b.put(key, nil), objectstore.ErrRejected)
	}
	for _, seen := range b.proxy.Requests(storetest.Any) {
		assert.Contains(t, []string{"/zip/talon-check", "/zip/new"}, seen.Path)
	}
	for _, bucket := range []string{"", "a", "..", "up/../per", "UPPER", strings.Repeat("b", 64), "a b"} {
		err := b.store.Check(ctx, bucket)
		require.Error(t, err, bucket)
		assert.NotErrorIs(t, err, objectstore.ErrUnavailable, bucket)
	}
}
