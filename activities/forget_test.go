package activities

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/catalog"
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

// TestForgetFilesWithLongNames: the answer is one payload, however long the names are.
func TestForgetFilesWithLongNames(t *testing.T) {
	s := newSite(t, "", "")
	var listed []catalog.Listed
	var names []string
	for i := range maxForgotten {
		name := fmt.Sprintf("%s/%d", strings.Repeat("long/", 100), i)
		names = append(names, name)
		listed = append(listed, catalog.Listed{RawPath: "/outgoing/" + name, Path: name, Size: 1, ModTime: written, State: catalog.StatePending})
	}
	_, err := s.tiger.Catalog.PlanListing(t.Context(), run1, branch, func(yield func(catalog.Listed, error) bool) {
		for _, l := range listed {
			if !yield(l, nil) {
				return
			}
		}
	}, catalog.PlanOptions{})
	require.NoError(t, err)
	page := catalog.Page{Run: run1, Server: branch, ZipDir: s.tiger.Warehouse.ZipDir()}
	pending, err := s.tiger.Catalog.NextEntries(t.Context(), run1, branch, 0, len(names))
	require.NoError(t, err)
	for _, e := range pending {
		page.Files = append(page.Files, catalog.Settled{
			EntryID: e.ID, State: catalog.StateCollected, SHA256: "sha", Size: 1, LocalPath: branch + "/" + e.Path,
		})
	}
	_, err = s.tiger.Catalog.Settle(t.Context(), page)
	require.NoError(t, err)
	result := do(s, s.tiger.ForgetFiles, ForgetInput{Files: names})
	assert.Equal(t, len(names), len(result.Forgotten)+result.More)
	answer, err := json.Marshal(result)
	require.NoError(t, err)
	assert.Less(t, len(answer), 256<<10)
}
