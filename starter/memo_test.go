package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCommandLine: what the memo says can be typed again.
func TestCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"starter":                             nil,
		"starter collect --server=branch-001": {"collect", "--server=branch-001"},
		`starter pause branch-001 --why 'it'\''s Sunday'`: {"pause", "branch-001", "--why", "it's Sunday"},
		`starter collect --server '' '$HOME' '余额'`:        {"collect", "--server", "", "$HOME", "余额"},
	} {
		assert.Equal(t, want, commandLine(args))
	}
	long := commandLine([]string{strings.Repeat("余", 1000)})
	assert.LessOrEqual(t, len(long), maxCommand)
}
