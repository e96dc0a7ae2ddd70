package activities

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestClip(t *testing.T) {
	for text, want := range map[string]string{
		"":               "",
		"short":          "short",
		"exactly ten":    "exactly…",
		"分行一二三":          "分行…",
		"ab" + "分行一二三":   "ab分…",
		"exactly 10":     "exactly 10",
		"a b c d e f g ": "a b c d…",
	} {
		got := Clip(text, 10)
		assert.Equal(t, want, got)
		assert.LessOrEqual(t, len(got), 10)
		assert.Equal(t, strings.ToValidUTF8(got, "?"), got)
	}
}
