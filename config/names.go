package config

import (
	"cmp"
	"slices"
	"strings"
)

// maxServerName keeps "<server>" a path component and "server/<server>" a workflow ID with room to spare.
const maxServerName = 100

// validServerName tells whether name can be a directory of the warehouse and a part of a workflow ID.
func validServerName(name string) bool {
	return name != "" && len(name) <= maxServerName && name != "." && name != ".." &&
		strings.IndexFunc(name, notNameRune) < 0
}

func notNameRune(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !letter && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

// similar returns up to limit candidates that differ from word by at most a third of its letters, the nearest first, in
// alphabetical order among equals.
func similar(word string, candidates []string, limit int) []string {
	type match struct {
		name     string
		distance int
	}
	word = strings.ToLower(word)
	reach := max(1, len(word)/3)
	var matches []match
	for _, name := range candidates {
		if difference := len(name) - len(word); difference > reach || -difference > reach {
			continue
		}
		if distance := editDistance(word, strings.ToLower(name)); distance <= reach {
			matches = append(matches, match{name, distance})
		}
	}
	slices.SortFunc(matches, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	names := make([]string, 0, limit)
	for _, m := range matches[:min(limit, len(matches))] {
		names = append(names, m.name)
	}
	return names
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that make b of a (optimal string
// alignment, on bytes): a swap is the commonest slip of the fingers, so it counts as one.
func editDistance(a, b string) int {
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			replace := previous[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			current[j] = min(replace, previous[j]+1, current[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
