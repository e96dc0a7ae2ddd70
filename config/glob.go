package config

import (
	"path"
	"strings"
)

// Wants tells whether the file at relPath, relative to Path and slash-separated, is to be collected: an include pattern
// matches it and no exclude pattern does.
//
// In a pattern "*" and "?" match within one name, and [a-z] one character of a set (path.Match). A pattern without "/"
// is held against the base name, one with "/" against the whole of relPath. A pattern that ends in "/" means every file below
// the directories that match.
func (s Server) Wants(relPath string) bool {
	return anyMatches(s.Include, relPath) && !anyMatches(s.Exclude, relPath)
}

func anyMatches(patterns []string, relPath string) bool {
	for _, pattern := range patterns {
		if matches(pattern, relPath) {
			return true
		}
	}
	return false
}

func matches(pattern, relPath string) bool {
	directory, forDirectories := strings.CutSuffix(pattern, "/")
	if !forDirectories {
		return matchesName(pattern, relPath)
	}
	for parent := path.Dir(relPath); parent != "." && parent != "/"; parent = path.Dir(parent) {
		if matchesName(directory, parent) {
			return true
		}
	}
	return false
}

func matchesName(pattern, name string) bool {
	if !strings.Contains(pattern, "/") {
		name = path.Base(name)
	}
	// Load refused malformed patterns: the only error there is.
	matched, _ := path.Match(strings.TrimPrefix(pattern, "/"), name)
	return matched
}
