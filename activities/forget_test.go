package activities

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestForgetFiles: what is forgotten is fetched again; a copy that is whole is taken for it, one that is missing is put back into its place,
// and one that holds something else is left alone.
func TestForgetFiles(t *testing.T) {
	s := newSite(t, "", "")
	contents := map[string]string{"whole.csv": "whole", "missing.csv": "missing", "damaged.csv": "damaged", "other.csv": "other"}
	for name, content := range contents {
		s.put(name, content)
	}
	s.collect(run1)
	place := func(name string) string { return filepath.Join(s.tiger.Warehouse.ZipDir(), branch, name) }
	require.NoError(t, os.Remove(place("missing.csv")))
	require.NoError(t, os.WriteFile(place("damaged.csv"), []byte("dam ged"), 0o600))

	result := do(s, s.tiger.ForgetFiles, ForgetInput{Files: []string{"whole.csv", branch + "/missing.csv", place("damaged.csv"), "whole.cs", "nowhere"}})
	require.Len(t, result.Forgotten, 3)
	assert.Equal(t, []ForgetRefusal{
		{Name: "whole.cs", Reason: "unknown_file", Detail: "the catalog knows no such file: did you mean branch-001/whole.csv?"},
		{Name: "nowhere", Reason: "unknown_file", Detail: "the catalog knows no such file"},
	}, result.Refused)

	page := s.list(run2)
	assert.Len(t, page.Files, 3)
	assert.Equal(t, 1, page.Books.Unchanged)
	row := do(s, s.tiger.CommitServer, func() CommitInput {
		in := s.commitInput(run2, s.download(run2, page))
		in.Close = &ServerEnd{}
		return in
	}()).Row
	assert.Equal(t, Success, row.Result, row.Detail)
	assert.Equal(t, map[string]string{
		branch + "/whole.csv": "whole", branch + "/missing.csv": "missing", branch + "/other.csv": "other",
		branch + "/damaged.csv": "dam ged", branch + "/damaged~2.csv": "damaged",
	}, s.zip())
	assert.Equal(t, 4, s.list("collect/wednesday").Books.Unchanged, "known again")
}

func TestForgetFilesOfUnknownServers(t *testing.T) {
	s := newSite(t, "", "")
	_, err := attempt(s, s.tiger.ForgetFiles, ForgetInput{Files: []string{"x"}, Server: "branch-01"})
	requireReason(t, err, "unknown_server", true)
	assert.ErrorContains(t, err, "did you mean branch-001")
}
