package config

import (
	"fmt"
	"path"
	"strings"
)

// What a pattern of names stands for: the whole base name, or that without its extension.
const (
	placeholderName = "{name}"
	placeholderStem = "{stem}"
)

// fill returns pattern with value for placeholder; "" if the pattern has no such placeholder.
func fill(pattern, placeholder, value string) string {
	before, after, found := strings.Cut(pattern, placeholder)
	if !found {
		return ""
	}
	return before + value + after
}

// isFilled tells whether base is pattern with anything for placeholder.
func isFilled(pattern, placeholder, base string) bool {
	before, after, found := strings.Cut(pattern, placeholder)
	return found && len(base) > len(before)+len(after) && strings.HasPrefix(base, before) && strings.HasSuffix(base, after)
}

// stem returns base without its last extension. A name that is nothing but an extension (".profile") has none.
func stem(base string) string {
	if without := strings.TrimSuffix(base, path.Ext(base)); without != "" {
		return without
	}
	return base
}

// checkPlaceholders accepts a pattern of names that has exactly one of the placeholders, and something that tells the names
// from those that they are made of.
func checkPlaceholders(example string, placeholders ...string) check {
	hint := fmt.Sprintf("write %s once and something before or after it, such as %q", strings.Join(placeholders, " or "), example)
	return func(text string) *Error {
		if problem := checkCommandText(text); problem != nil {
			return problem
		}
		if strings.Contains(text, "/") {
			return &Error{Message: fmt.Sprintf("%.60q contains a slash", text), Hint: "write a name alone: it lies in the directory of the file"}
		}
		count, rest := 0, text
		for _, placeholder := range placeholders {
			count += strings.Count(text, placeholder)
			rest = strings.ReplaceAll(rest, placeholder, "")
		}
		switch {
		case count == 0:
			return &Error{Message: fmt.Sprintf("%.60q is the same name for every file", text), Hint: hint}
		case count > 1:
			return &Error{Message: fmt.Sprintf("%.60q has more than one place for the name", text), Hint: hint}
		case rest == "":
			return &Error{Message: fmt.Sprintf("%.60q is the name of the file itself", text), Hint: hint}
		case strings.ContainsAny(rest, "{}"):
			return &Error{Message: fmt.Sprintf("%.60q contains a brace that means nothing", text), Hint: hint}
		}
		return nil
	}
}
