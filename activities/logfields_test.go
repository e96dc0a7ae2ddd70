package activities

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestLogFieldsOfDecompressions: the run and the server are in the workflow ID.
func TestLogFieldsOfDecompressions(t *testing.T) {
	for id, want := range map[string][]any{
		"decompress/20261123-051500-ab12":              {"run", "decompress/20261123-051500-ab12"},
		"decompress/20261123-051500-ab12/branch-001":   {"run", "collect/20261123-051500-ab12", "server", "branch-001"},
		"decompress/20261123-051500-ab12/branch-001/2": {"run", "collect/20261123-051500-ab12", "server", "branch-001"},
	} {
		assert.Equal(t, want, CloseDecompressionInput{Decompression: id}.LogFields())
	}
	one := ExtractInput{Decompression: "decompress/k/b", Batch: Batch{Archives: []ArchiveRef{{Path: "b/a.zip"}}}}
	assert.Equal(t, []any{"run", "collect/k", "server", "b", "archive", "b/a.zip"}, one.LogFields())
	one.Batch.Archives = append(one.Batch.Archives, ArchiveRef{Path: "b/c.zip"})
	assert.Equal(t, []any{"run", "collect/k", "server", "b", "archives", 2}, one.LogFields())
}
