package config

import (
	"path"
	"regexp"
	"strings"
	"sync"
)

// regexpPrefix tells a regular expression from a glob.
const regexpPrefix = "re:"

// expressions holds a *regexp.Regexp for each one ever used, by its text. A Server is copied a lot and written out as it was
// read, so it cannot carry them itself.
var expressions sync.Map

// Wants tells whether the file at relPath, relative to Path and slash-separated, is to be collected: an include pattern
// matches it, no exclude pattern does, and it is neither a marker (DoneMarker) nor one that was collected and renamed (After).
//
// A pattern that begins with "re:" is a regular expression (https://github.com/google/re2/wiki/Syntax) that is searched in
// relPath. The others are globs:
//
// In a pattern "*" and "?" match within one name, and [a-z] one character of a set (path.Match). A pattern without "/"
// is held against the base name, one with "/" against the whole of relPath. A pattern that ends in "/" means every file below
// the directories that match.
func (s Server) Wants(relPath string) bool {
	base := path.Base(relPath)
	return anyMatches(s.Include, relPath) && !anyMatches(s.Exclude, relPath) && !s.IsMarker(base) && !s.After.renamed(base)
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
	if text, ok := strings.CutPrefix(pattern, regexpPrefix); ok {
		return expression(text).MatchString(relPath)
	}
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

// expression returns the compiled form of text, which Load has compiled once before.
func expression(text string) *regexp.Regexp {
	if known, ok := expressions.Load(text); ok {
		return known.(*regexp.Regexp)
	}
	compiled := regexp.MustCompile(text)
	expressions.Store(text, compiled)
	return compiled
}
