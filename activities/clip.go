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

// WithoutReason is what was said about a result, without the server's name at its beginning and without the words of the reason code: a place that
// shows those need not show them twice. It is empty if nothing else was said.
func WithoutReason(server, reason, detail string) string {
	for _, known := range []string{"server " + server + ": ", server + ": "} {
		detail = strings.TrimPrefix(detail, known)
	}
	words := strings.ReplaceAll(reason, "_", " ")
	if detail == words {
		return ""
	}
	return strings.Replace(detail, words+": ", "", 1)
}
