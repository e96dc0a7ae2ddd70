package pathname

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Portable returns name as Clean does, but as a path that Windows takes too, for directories that are shared with it. What
// Windows would refuse or understand as something else is renamed, always in the same way, so that no file is lost for its
// name:
//
//   - The characters \ < > : " | ? * become %XX: Windows forbids them, and behind a colon it sees a stream of another file.
//   - So do the bytes of characters that nobody sees (Invisible), such as those that turn the direction of writing around.
//   - So does a dot or a space at the end of a component, which Windows drops.
//   - A component that is the name of a device, with or without an extension, gets a "_" in front.
//   - A component longer than MaxComponent is cut before its extension and marked with "~" and the first 8 hex digits of
//     the SHA-256 of the whole component.
//
// Different names may become the same path; a path that is Portable already stays as it is.
func Portable(name string) (string, error) {
	parts, err := split(name)
	if err != nil {
		return "", err
	}
	for i, part := range parts {
		part = escapeForbidden(part)
		if isDevice(part) {
			part = "_" + part
		}
		parts[i] = shorten(part)
	}
	return join(name, parts)
}

// Invisible says whether a character shows nothing of itself where a name is shown: control and format characters, the
// separators of lines and paragraphs, and others that Unicode lets programs ignore. Variation selectors, without which
// many emoji are not themselves, do not count.
func Invisible(r rune) bool {
	if r < utf8.RuneSelf {
		return unicode.IsControl(r)
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

func isForbidden(r rune) bool {
	switch r {
	case '\\', '<', '>', ':', '"', '|', '?', '*':
		return true
	}
	return Invisible(r)
}

// escapeForbidden writes what may not be in a component, and a dot or space at its end, as %XX.
func escapeForbidden(part string) string {
	end := len(part)
	if strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
		end--
	}
	if end == len(part) && !strings.ContainsFunc(part, isForbidden) {
		return part
	}
	var b strings.Builder
	for _, r := range part[:end] {
		if isForbidden(r) {
			escape(&b, string(r))
		} else {
			b.WriteRune(r)
		}
	}
	escape(&b, part[end:])
	return b.String()
}

// escape writes every byte of text as %XX.
func escape(b *strings.Builder, text string) {
	for i := range len(text) {
		fmt.Fprintf(b, "%%%02X", text[i])
	}
}

// devices are the names that mean a device in every directory (learn.microsoft.com/windows/win32/fileio/naming-a-file).
var devices = []string{
	"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$",
	"COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9", "COM¹", "COM²", "COM³",
	"LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9", "LPT¹", "LPT²", "LPT³",
}

// isDevice looks at what stands before the first dot, as Windows does; spaces before the dot do not help.
func isDevice(part string) bool {
	base, _, _ := strings.Cut(part, ".")
	base = strings.TrimRight(base, " ")
	const longest = len("CONOUT$")
	return len(base) <= longest && slices.Contains(devices, strings.ToUpper(base))
}

// shorten cuts a component to MaxComponent bytes, its extension kept if it looks like one.
func shorten(part string) string {
	if len(part) <= MaxComponent {
		return part
	}
	const longestExt = 32
	stem, ext := SplitExt(part)
	if len(ext) > longestExt {
		stem, ext = part, ""
	}
	sum := sha256.Sum256([]byte(part))
	mark := fmt.Sprintf("~%x", sum[:4])
	end := MaxComponent - len(mark) - len(ext)
	for !utf8.RuneStart(stem[end]) {
		end--
	}
	return stem[:end] + mark + ext
}
