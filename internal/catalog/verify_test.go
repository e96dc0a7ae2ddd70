package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// extract gives an archive an outcome with members.
func extract(t *testing.T, c *Catalog, a Archive, unzipPath string, members ...string) {
	t.Helper()
	a.UnzipPath, a.Done, a.End = unzipPath, true, monday
	x := Extraction{Archive: a}
	for _, m := range members {
		x.Members = append(x.Members, Member{Layer: a.Path, Path: m, Size: 1, SHA256: "sha-" + m})
	}
	require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{x}))
}

// TestKeptInPages: each file once, wherever a page ends; of two extractions into one directory the last one counts.
func TestKeptInPages(t *testing.T) {
	c := open(t)
	archives := collectAll(t, c, testRun, "a.zip", "b.zip", "c")
	extract(t, c, archives[0], "branch-001/a", "x", "y", "z/1")
	extract(t, c, archives[1], "branch-001/b", "x")
	require.NoError(t, c.AddArchives(t.Context(), []Archive{{
		Decompression: "decompress/again", Server: testServer, ZipDir: testZip, Path: "branch-001/a.zip", Size: 50, UnzipDir: testUnzip,
	}}))
	again, err := c.PendingArchives(t.Context(), "decompress/again", 0, 1)
	require.NoError(t, err)
	extract(t, c, again[0], "branch-001/a", "x", "y", "z/1")

	for limit := 1; limit < 6; limit++ {
		var paths []string
		for id := int64(0); ; {
			kept, err := c.KeptFiles(t.Context(), Scope{}, id, limit)
			require.NoError(t, err)
			if len(kept) == 0 {
				break
			}
			for _, k := range kept {
				paths = append(paths, k.Path)
				id = k.FileID
			}
		}
		assert.Equal(t, []string{"branch-001/a.zip", "branch-001/b.zip", "branch-001/c"}, paths)
		paths = nil
		member := ""
		for id := int64(0); ; {
			kept, err := c.KeptMembers(t.Context(), Scope{}, id, member, limit)
			require.NoError(t, err)
			if len(kept) == 0 {
				break
			}
			for _, k := range kept {
				paths = append(paths, k.Path)
				id, member = k.ArchiveID, k.Member
			}
		}
		assert.Equal(t, []string{"branch-001/b/x", "branch-001/a/x", "branch-001/a/y", "branch-001/a/z/1"}, paths)
	}
	for _, scope := range []Scope{{Servers: []string{"branch-002"}}, {Since: time.Now().Add(time.Hour)}} {
		for _, area := range []string{AreaZip, AreaUnzip} {
			n, err := c.CountKept(t.Context(), scope, area)
			require.NoError(t, err)
			assert.Zero(t, n)
		}
	}
	for place, want := range map[[2]string]bool{
		{AreaZip, "branch-001/a.zip"}: true, {AreaZip, "branch-001/x"}: false, {AreaUnzip, "branch-001/a/z/1"}: true, {AreaUnzip, "branch-001/a/z"}: false,
	} {
		dir := map[string]string{AreaZip: testZip, AreaUnzip: testUnzip}[place[0]]
		owns, err := c.Owns(t.Context(), place[0], dir, place[1])
		require.NoError(t, err)
		assert.Equal(t, want, owns, place)
	}
}

// TestFindingsAreNotedOnce: an attempt that begins again finds the same.
func TestFindingsAreNotedOnce(t *testing.T) {
	c := open(t)
	found := []Finding{{Area: AreaZip, Kind: FoundDamaged, Dir: "/z", Path: "a\xff", FileID: 3}, {Area: AreaUnzip, Kind: FoundMissing, Dir: "/u", Path: "b"}}
	twice(t, c, func() { require.NoError(t, c.AddFindings(t.Context(), "verify/k", found)) })
	first, err := c.Findings(t.Context(), "verify/k", 0, 1)
	require.NoError(t, err)
	require.Len(t, first, 1)
	assert.Equal(t, "a\xff", first[0].Path)
	rest, err := c.Findings(t.Context(), "verify/k", first[0].ID, 10)
	require.NoError(t, err)
	assert.Len(t, rest, 1)
	other, err := c.Findings(t.Context(), "verify/other", 0, 10)
	require.NoError(t, err)
	assert.Empty(t, other)
}

// TestMend: what was done is noted with what is to be done, and a directory may be filled in until it has been.
func TestMend(t *testing.T) {
	c := open(t)
	archives := collectAll(t, c, testRun, "a.zip")
	extract(t, c, archives[0], "branch-001/a", "x")
	require.NoError(t, c.AddFindings(t.Context(), "verify/k", []Finding{{Area: AreaUnzip, Kind: FoundMissing, Dir: testUnzip, Path: "branch-001/a/x"}}))
	found, err := c.Findings(t.Context(), "verify/k", 0, 1)
	require.NoError(t, err)
	found[0].Done = "to be extracted again"
	refillable := func() string {
		dir, err := c.Refillable(t.Context(), testUnzip, archives[0])
		require.NoError(t, err)
		return dir
	}
	assert.Empty(t, refillable())
	m := Mending{Finding: found[0], Forget: archives[0].FileID, Refill: archives[0].ID, Again: "decompress/mend"}
	m.Forget = 1
	require.NoError(t, c.Mend(t.Context(), m))
	require.NoError(t, c.Mend(t.Context(), m), "again")
	assert.Equal(t, "branch-001/a", refillable())
	awaited, err := c.IsAwaited(t.Context(), 1)
	require.NoError(t, err)
	assert.True(t, awaited)
	pending, err := c.PendingArchives(t.Context(), "decompress/mend", 0, 10)
	require.NoError(t, err)
	require.Len(t, pending, 1)
	extract(t, c, pending[0], "branch-001/a", "x")
	assert.Empty(t, refillable(), "it has been")
	found, err = c.Findings(t.Context(), "verify/k", 0, 1)
	require.NoError(t, err)
	assert.Equal(t, "to be extracted again", found[0].Done)
}

// TestKeptAfterAPartialRefill: what an extraction that fills a directory in does not bring stays a file that is to lie there.
func TestKeptAfterAPartialRefill(t *testing.T) {
	c := open(t)
	a := collectAll(t, c, testRun, "a.zip")[0]
	extract(t, c, a, "branch-001/a", "x", "y", "z")
	require.NoError(t, c.Mend(t.Context(), Mending{Finding: foundIn(t, c), Refill: a.ID, Again: "decompress/k/mend/1"}))
	again, err := c.PendingArchives(t.Context(), "decompress/k/mend/1", 0, 1)
	require.NoError(t, err)
	extract(t, c, again[0], "branch-001/a", "y") // the others it could not decode
	kept, err := c.KeptMembers(t.Context(), Scope{}, 0, "", 10)
	require.NoError(t, err)
	var paths []string
	for _, k := range kept {
		paths = append(paths, k.Path)
	}
	assert.Equal(t, []string{"branch-001/a/x", "branch-001/a/z", "branch-001/a/y"}, paths)
	n, err := c.CountKept(t.Context(), Scope{}, AreaUnzip)
	require.NoError(t, err)
	assert.Equal(t, 3, n)
}

// TestMendingDoesNotChangeTheRun: that an archive waits to be extracted again is no news of the run that collected it years ago.
func TestMendingDoesNotChangeTheRun(t *testing.T) {
	c := open(t)
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: testRun, Kind: KindCollect}))
	a := collectAll(t, c, testRun, "a.zip")[0]
	extract(t, c, a, "branch-001/a", "x")
	before, err := c.Report(t.Context(), testRun, "", 1<<20)
	require.NoError(t, err)
	require.NoError(t, c.Mend(t.Context(), Mending{Finding: foundIn(t, c), Refill: a.ID, Again: "decompress/k/mend/1"}))
	after, err := c.Report(t.Context(), testRun, "", 1<<20)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

// foundIn is a finding to be mended.
func foundIn(t *testing.T, c *Catalog) Finding {
	t.Helper()
	require.NoError(t, c.AddFindings(t.Context(), "verify/k", []Finding{{Area: AreaUnzip, Kind: FoundMissing, Dir: testUnzip, Path: "branch-001/a/x"}}))
	found, err := c.Findings(t.Context(), "verify/k", 0, 1)
	require.NoError(t, err)
	return found[0]
}
