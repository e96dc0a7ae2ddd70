package activities

import (
	"strings"
	"unicode/utf8"
)

// Clip cuts a text to at most limit bytes, within no character, and makes it valid UTF-8.
func Clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	end := max(limit-len(mark), 0)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
