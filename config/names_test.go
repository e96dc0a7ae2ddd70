package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearMisses(t *testing.T) {
	config := &Config{Servers: map[string]Server{}}
	for _, name := range []string{"branch-001", "branch-002", "branch-010", "branch-100", "head-office", "Shanghai"} {
		config.Servers[name] = Server{}
	}
	for name, want := range map[string][]string{
		"branch-003":  {"branch-001", "branch-002", "branch-010"},
		"branch-0001": {"branch-001", "branch-002", "branch-010"},
		"brnach-100":  {"branch-100", "branch-010", "branch-001"},
		"headoffice":  {"head-office"},
		"shanghai":    {"Shanghai"},
		"berlin":      {},
		"":            {},
	} {
		got := config.NearMisses(name)
		assert.Subset(t, config.ServerNames(), got)
		assert.Equal(t, want, got, name)
	}
}

func TestEditDistance(t *testing.T) {
	for pair, want := range map[string]int{
		"/": 0, "a/a": 0, "/abc": 3, "abc/": 3, "tls/tsl": 1, "host/hots": 1, "port/path": 3, "kitten/sitting": 3, "ab/ba": 1, "abcd/badc": 2,
	} {
		a, b, _ := strings.Cut(pair, "/")
		assert.Equal(t, want, editDistance(a, b), pair)
		assert.Equal(t, want, editDistance(b, a), pair)
	}
}

func TestValidServerName(t *testing.T) {
	for _, name := range []string{"a", "0012", "branch-001", "A_b.c", "-", "_", "...", ".hidden", strings.Repeat("x", 100)} {
		assert.True(t, validServerName(name), name)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", "a\x00", "a\n", "分行", "a:b", "a~2", "a\xff", strings.Repeat("x", 101)} {
		assert.False(t, validServerName(name), name)
	}
}
