package telemetry

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table of metrics into the documentation")

// document is what operators read about the metrics.
var document = filepath.Join("..", "..", "docs", "monitoring", "README.md")

func table() string {
	var b strings.Builder
	b.WriteString("| metric | kind | labels | role | what it tells |\n|---|---|---|---|---|\n")
	for _, d := range Definitions {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.Labels, ", "), d.Role, d.Help)
	}
	return b.String()
}

var tableInDocument = regexp.MustCompile(`(?s)\| metric \| kind .*?\n\n`)

// TestDocumentHasEveryMetric: the table is made of the definitions.
func TestDocumentHasEveryMetric(t *testing.T) {
	content, err := os.ReadFile(document)
	require.NoError(t, err)
	if *update {
		content = tableInDocument.ReplaceAllLiteral(content, []byte(table()+"\n"))
		require.NoError(t, os.WriteFile(document, content, 0o644))
	}
	assert.Contains(t, string(content), "\n"+table()+"\n", "go test ./internal/telemetry -update writes it")
}

// TestDefinitions: names and labels follow Prometheus's rules, and no label can hold what there is no end of.
func TestDefinitions(t *testing.T) {
	labels := map[string]bool{
		"server": true, "outcome": true, "reason": true, "result": true, "kind": true, "limit": true, "step": true, "version": true, "source": true,
		"queue": true, "type": true, "directory": true,
	}
	seen := map[string]bool{}
	for _, d := range Definitions {
		assert.False(t, seen[d.Name], d.Name)
		seen[d.Name] = true
		assert.Regexp(t, `^talon_[a-z_]+$`, d.Name)
		assert.Equal(t, d.Kind == Counter, strings.HasSuffix(d.Name, "_total"), d.Name)
		assert.Regexp(t, `\.$`, d.Help, d.Name)
		for _, label := range d.Labels {
			assert.True(t, labels[label], "%s of %s: is it bounded?", label, d.Name)
		}
	}
}
