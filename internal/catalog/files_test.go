package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wide is a page that holds everything.
var wide = PageLimit{Rows: 1000, Bytes: 150_000, Time: time.Minute}

// fate is what becomes of a listed file: a state, and of a collected one its content.
type fate struct {
	name    string
	state   State
	content string
}

// collectFates has a server listed in a run and settles each file as it is to end.
func collectFates(t *testing.T, c *Catalog, run RunRow, server string, fates ...fate) {
	t.Helper()
	ctx := t.Context()
	var listed []Listed
	for _, f := range fates {
		l := line(f.name)
		l.ModTime = run.Start.Add(-time.Minute)
		l.Line = "line of " + f.name + " in " + run.ID
		if f.state == StateDeferred || f.state == StateRefused {
			l.State, l.Reason, l.Detail = f.state, "too_young", "wait"
		}
		listed = append(listed, l)
	}
	_, err := c.PlanListing(ctx, run.ID, server, each(listed), PlanOptions{})
	require.NoError(t, err)
	entries, err := c.NextEntries(ctx, run.ID, server, 0, 1000)
	require.NoError(t, err)
	p := Page{Run: run.ID, Server: server, ZipDir: testZip, UnzipDir: testUnzip, Decompression: "decompress/" + run.ID + "/" + server, RemoteAction: "delete"}
	for _, e := range entries {
		for _, f := range fates {
			switch {
			case f.name != e.Path:
			case f.state == StateCollected:
				p.Files = append(p.Files, Settled{
					EntryID: e.ID, State: f.state, SHA256: hashOf(f.content), Size: e.Size, LocalPath: server + "/" + f.name + "~" + run.ID[len(run.ID)-1:],
					Archive: strings.HasSuffix(f.name, ".zip"),
				})
			case f.state == StateFailed:
				p.Files = append(p.Files, Settled{EntryID: e.ID, State: f.state, Reason: "timeout", Detail: "slow"})
			}
		}
	}
	_, err = c.Settle(ctx, p)
	require.NoError(t, err)
}

// unpack saves what came out of the pending archives of a decompression: members by layer and path.
func unpack(t *testing.T, c *Catalog, decompression string, members ...Member) {
	t.Helper()
	pending, err := c.PendingArchives(t.Context(), decompression, 0, 100)
	require.NoError(t, err)
	require.NotEmpty(t, pending)
	for _, a := range pending {
		unzip, _, _ := strings.Cut(a.Path, ".zip")
		require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{{
			Archive: Archive{ID: a.ID, UnzipDir: testUnzip, UnzipPath: unzip, Host: "eagle", End: monday, Received: len(members), Result: 2, Reason: "nested_failed", Failed: 1},
			Layers:  []Layer{{Path: a.Path, Files: 2}, {Path: a.Path + "/bad.zip", Result: 1, Reason: "truncated"}}, Members: members,
		}}))
	}
}

func member(layer, path, content string) Member {
	return Member{Layer: layer, Path: path, Size: int64(len(content)), SHA256: hashOf(content)}
}

// years is a catalog with two runs of two servers and a decompression of its own.
func years(t *testing.T) *Catalog {
	c := open(t)
	first, second := saveRun(t, c, 1, KindCollect, false), saveRun(t, c, 2, KindCollect, false)
	collectFates(t, c, first, "branch-001",
		fate{"out/a.zip", StateCollected, "zip 1"}, fate{"b.csv", StateFailed, ""}, fate{"c.csv", StateDeferred, ""}, fate{"out/deep/b.csv", StateRefused, ""})
	collectFates(t, c, second, "branch-001",
		fate{"out/a.zip", StateCollected, "zip 2"}, fate{"b.csv", StateCollected, "b"}, fate{"c.csv", StatePending, ""})
	collectFates(t, c, second, "branch-002", fate{"b.csv", StateCollected, "b"})
	unpack(t, c, "decompress/"+first.ID+"/branch-001", member("branch-001/out/a.zip~1", "x.csv", "x"), member("branch-001/out/a.zip~1/in.tar", "in/y.csv", "y"))
	own := saveRun(t, c, 3, KindDecompress, false)
	require.NoError(t, c.AddArchives(t.Context(), []Archive{{Decompression: own.ID, ZipDir: "/else", Path: "own.zip", Size: 1}}))
	unpack(t, c, own.ID, member("own.zip", "x.csv", "x"))
	return c
}

// search reads a search page by page, and tells each finding in a line.
func search(t *testing.T, c *Catalog, q FilesQuery, limit PageLimit) (told []string, pages int) {
	t.Helper()
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		require.Less(t, pages, 1000, "the search does not end")
		page, err := c.Files(t.Context(), q, cursor, limit)
		require.NoError(t, err)
		for _, f := range page.Findings {
			told = append(told, tell(f))
		}
		cursor = page.Next
	}
	return told, pages
}

func tell(f Fate) string {
	if f.Member != nil {
		return fmt.Sprintf("%s %s %s < %s %s", f.Run, f.State, f.Member.Path, f.Server, f.Name)
	}
	return fmt.Sprintf("%s %s %s %s", f.Run, f.State, f.Server, f.Name)
}

func TestFilesAreFound(t *testing.T) {
	c := years(t)
	at := func(hours int) time.Time { return monday.Add(time.Duration(hours) * time.Hour) }
	var (
		a1, b1, c1, d1 = "collect/1 collected branch-001 out/a.zip", "collect/1 failed branch-001 b.csv", "collect/1 deferred branch-001 c.csv", "collect/1 refused branch-001 out/deep/b.csv"
		a2, b2, c2     = "collect/2 collected branch-001 out/a.zip", "collect/2 collected branch-001 b.csv", "collect/2 pending branch-001 c.csv"
		other          = "collect/2 collected branch-002 b.csv"
		x              = "collect/1 extracted /data/unzip/branch-001/out/a/x.csv < branch-001 out/a.zip"
		y              = "collect/1 extracted /data/unzip/branch-001/out/a/in/y.csv < branch-001 out/a.zip"
		ownX           = "decompress/3 extracted /data/unzip/own/x.csv <  "
	)
	for name, test := range map[string]struct {
		q    FilesQuery
		want []string
	}{
		"all":                       {FilesQuery{}, []string{b2, c2, a2, other, b1, c1, a1, d1}},
		"server":                    {FilesQuery{Server: "branch-002"}, []string{other}},
		"since":                     {FilesQuery{Since: at(2), Server: "branch-001"}, []string{b2, c2, a2}},
		"until":                     {FilesQuery{Until: at(2)}, []string{b1, c1, a1, d1}},
		"state":                     {FilesQuery{State: StateFailed}, []string{b1}},
		"pending":                   {FilesQuery{State: StatePending}, []string{c2}},
		"base name":                 {FilesQuery{Name: "b.csv"}, []string{other, b2, d1, b1}},
		"base name in a run":        {FilesQuery{Name: "b.csv", Until: at(2)}, []string{d1, b1}},
		"base name on a server":     {FilesQuery{Name: "b.csv", Server: "branch-002"}, []string{other}},
		"path":                      {FilesQuery{Name: "out/a.zip"}, []string{a2, a1}},
		"path from the top":         {FilesQuery{Name: "/b.csv"}, []string{other, b2, b1}},
		"another path":              {FilesQuery{Name: "in/a.zip"}, nil},
		"pattern":                   {FilesQuery{Name: "?.csv"}, []string{b2, c2, other, b1, c1, d1}},
		"pattern of a path":         {FilesQuery{Name: "out/*"}, []string{a2, a1}},
		"pattern of a deep path":    {FilesQuery{Name: "out/*/*", State: StateRefused}, []string{d1}},
		"hash":                      {FilesQuery{SHA256: hashOf("b")}, []string{other, b2}},
		"half a hash":               {FilesQuery{SHA256: hashOf("zip 1")[:20]}, []string{a1}},
		"few digits":                {FilesQuery{SHA256: hashOf("zip 2")[:6]}, []string{a2}},
		"hash of an extracted file": {FilesQuery{SHA256: hashOf("x")}, []string{ownX, x}},
		"digits of an extracted":    {FilesQuery{SHA256: hashOf("y")[:8]}, []string{y}},
		"hash and server":           {FilesQuery{SHA256: hashOf("x"), Server: "branch-001"}, []string{x}},
		"hash and state":            {FilesQuery{SHA256: hashOf("x"), State: StateCollected}, nil},
		"no such hash":              {FilesQuery{SHA256: hashOf("z")}, nil},
		"almost a hash":             {FilesQuery{SHA256: hashOf("x")[:63] + "0"}, nil},
		"extracted":                 {FilesQuery{State: StateExtracted}, []string{ownX, y, x}},
		"extracted by name":         {FilesQuery{State: StateExtracted, Name: "x.csv"}, []string{ownX, x}},
		"extracted by path":         {FilesQuery{State: StateExtracted, Name: "branch-001/out/a/*/*.csv"}, []string{y}},
		"extracted of a server":     {FilesQuery{State: StateExtracted, Server: "branch-001", Name: "x.*"}, []string{x}},
		"extracted since":           {FilesQuery{State: StateExtracted, Since: at(2)}, []string{ownX}},
		"place of an extracted":     {FilesQuery{Places: []string{"/nowhere", testUnzip + "/branch-001/out/a/in/../in/y.csv"}}, []string{y}},
		"place of a collected":      {FilesQuery{Places: []string{testZip + "/branch-001/out/a.zip~1"}}, []string{a1}},
		"no such place":             {FilesQuery{Places: []string{testZip}}, nil},
	} {
		told, pages := search(t, c, test.q, wide)
		assert.Equal(t, test.want, told, name)
		assert.Equal(t, 1, pages, name)
		for _, narrow := range []PageLimit{{Rows: 1, Bytes: 150_000, Time: time.Minute}, {Rows: 1000, Bytes: 1, Time: time.Minute}, {Rows: 3, Bytes: 150_000}} {
			told, pages = search(t, c, test.q, narrow)
			assert.Equal(t, test.want, told, "%s in pages of %+v", name, narrow)
			assert.GreaterOrEqual(t, pages, 1)
		}
	}
}

// TestAFindingTellsEverything of a remote file that was collected and extracted, and of a file that came out of it.
func TestAFindingTellsEverything(t *testing.T) {
	c := years(t)
	start := monday.Add(time.Hour)
	page, err := c.Files(t.Context(), FilesQuery{SHA256: hashOf("zip 1")}, "", wide)
	require.NoError(t, err)
	require.Len(t, page.Findings, 1)
	f := page.Findings[0]
	require.NotNil(t, f.File)
	assert.WithinDuration(t, time.Now(), f.File.Collected, time.Hour)
	f.File.Collected = time.Time{}
	f.fileID, f.at = 0, filesPlace{}
	unpacking := Unpacking{
		Decompression: "decompress/collect/1/branch-001", Archive: testZip + "/branch-001/out/a.zip~1", Done: true, Result: 2, Reason: "nested_failed", Host: "eagle",
		End: monday, Directory: testUnzip + "/branch-001/out/a", Received: 2, Failed: 1,
		Troubles: []Layer{{Path: "branch-001/out/a.zip~1/bad.zip", Result: 1, Reason: "truncated"}},
	}
	whole := Fate{
		State: StateCollected, Run: "collect/1", Start: start, Server: "branch-001", Name: "out/a.zip", Size: 90, ModTime: start.Add(-time.Minute),
		Line: []byte("line of out/a.zip in collect/1"),
		File: &CollectedFile{
			Path: testZip + "/branch-001/out/a.zip~1", SHA256: hashOf("zip 1"), Bytes: 90, Version: 1, RemoteAction: "delete",
		}, Archives: []Unpacking{unpacking},
	}
	assert.Equal(t, whole, f)

	page, err = c.Files(t.Context(), FilesQuery{Places: []string{testUnzip + "/branch-001/out/a/in/y.csv"}}, "", wide)
	require.NoError(t, err)
	require.Len(t, page.Findings, 1)
	f = page.Findings[0]
	f.File.Collected = time.Time{}
	f.fileID, f.archiveID, f.unzipName, f.at = 0, 0, "", filesPlace{}
	whole.State = StateExtracted
	whole.Member = &Extracted{Path: testUnzip + "/branch-001/out/a/in/y.csv", Layer: "branch-001/out/a.zip~1/in.tar", Size: 1, SHA256: hashOf("y")}
	assert.Equal(t, whole, f)

	page, err = c.Files(t.Context(), FilesQuery{State: StateFailed}, "", wide)
	require.NoError(t, err)
	require.Len(t, page.Findings, 1)
	assert.Equal(t, []string{"timeout", "slow"}, []string{page.Findings[0].Reason, page.Findings[0].Detail})
	assert.Nil(t, page.Findings[0].File)
}

func TestBadFileQueries(t *testing.T) {
	c := open(t)
	for _, q := range []FilesQuery{{SHA256: "abcde"}, {SHA256: "ABCDEF"}, {SHA256: "xyzxyz"}, {Name: "[a"}} {
		_, err := c.Files(t.Context(), q, "", wide)
		require.ErrorIs(t, err, ErrBadQuery, "%+v", q)
	}
	_, err := c.Files(t.Context(), FilesQuery{}, "yesterday", wide)
	require.ErrorIs(t, err, ErrBadQuery)
}

// TestFilesOfManyEntries: more than a batch of them, in runs and servers, each once.
func TestFilesOfManyEntries(t *testing.T) {
	c := open(t)
	want := map[string]bool{}
	for n := range 2 {
		run := saveRun(t, c, n, KindCollect, false)
		for _, server := range []string{"branch-001", "branch-002"} {
			var fates []fate
			for i := range findingsAtOnce + 30 {
				fates = append(fates, fate{fmt.Sprintf("%d/same.csv", i), StateDeferred, ""})
				want[fmt.Sprintf("%s deferred %s %d/same.csv", run.ID, server, i)] = true
			}
			collectFates(t, c, run, server, fates...)
		}
	}
	for _, q := range []FilesQuery{{}, {Name: "same.csv"}, {Name: "s*"}} {
		told, _ := search(t, c, q, PageLimit{Rows: 70, Bytes: 20_000, Time: time.Minute})
		got := map[string]bool{}
		for _, line := range told {
			got[line] = true
		}
		assert.Equal(t, want, got)
		assert.Len(t, told, len(want), "each once")
	}
}

// TestASearchGoesBackThroughRunsWithNothing: far more of them than one query looks at.
func TestASearchGoesBackThroughRunsWithNothing(t *testing.T) {
	c := open(t)
	collectFates(t, c, saveRun(t, c, 1, KindCollect, false), testServer, fate{"old.csv", StateFailed, ""}, fate{"other.csv", StateDeferred, ""})
	_, err := c.writer.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO runs SELECT 'collect/empty-' || i, 'collect', 0, '', '', ?2 + i, ?2 + i, 0 FROM n`, 2*runsInSight+10, nanos(monday.AddDate(0, 0, 1)))
	require.NoError(t, err)
	for _, q := range []FilesQuery{{State: StateFailed}, {Name: "o*", State: StateFailed}, {Server: testServer, State: StateFailed}} {
		told, pages := search(t, c, q, wide)
		assert.Equal(t, []string{"collect/1 failed branch-001 old.csv"}, told)
		assert.Equal(t, 1, pages)
		told, pages = search(t, c, q, PageLimit{Rows: 10, Bytes: 150_000})
		assert.Equal(t, []string{"collect/1 failed branch-001 old.csv"}, told)
		assert.Greater(t, pages, 2, "the time was up again and again")
	}
	told, _ := search(t, c, FilesQuery{State: StateExtracted}, wide)
	assert.Empty(t, told)
}

// TestSelectiveQueriesReadNoHistory: what is looked up by a key is found through its index, in order.
func TestSelectiveQueriesReadNoHistory(t *testing.T) {
	c := open(t)
	const long, short = "0123456789abcdef", "012345"
	for name, test := range map[string]struct {
		query  string
		args   []any
		index  string
		sorted bool
	}{
		"name":          {listedByNameQuery, []any{"a.zip", int64(1), 9}, "entries_by_name", true},
		"hash":          {fmt.Sprintf(collectedByHashQuery, byHash("f", long)), []any{long, int64(1), int64(1), 9}, "files_by_hash", true},
		"few digits":    {fmt.Sprintf(collectedByHashQuery, byHash("f", short)), []any{short, int64(1), int64(1), 9}, "files_by_hash", false},
		"extracted":     {fmt.Sprintf(extractedByHashQuery, byHash("m", long)), []any{long, int64(1), "p", 9}, "members_by_hash", true},
		"extracted few": {fmt.Sprintf(extractedByHashQuery, byHash("m", short)), []any{short, int64(1), "p", 9}, "members_by_hash", false},
		"zip file":      {collectedAtQuery, []any{`["/a"]`, int64(1), int64(1), 9}, "files_by_place", false},
		"unzipped file": {extractedToQuery, []any{`[["/a","b"]]`, int64(1), 9}, "archives_by_place", false},
		"run": {
			fmt.Sprintf(listedInRunQuery, FilesQuery{}.inRun()), []any{"r", "", int64(1), []byte{1}, int64(1), int64(1), 9}, "listings_of_run", true,
		},
		"server in a run": {
			fmt.Sprintf(listedInRunQuery, FilesQuery{Server: "s"}.inRun()), []any{"r", "s", int64(1), []byte{1}, int64(1), int64(1), 9}, "sqlite_autoindex_listings_1", true,
		},
		"extracted in run": {extractedInRunQuery, []any{"r", "", int64(1), "p", 9}, "archives_of_decompression", false},
		"next run":         {fmt.Sprintf(nextRunQuery, FilesQuery{Server: "s", State: StateFailed}.has()), []any{int64(1), "r", int64(1), 9, "s", "failed"}, "runs_by_start", true},
		"failed in it":     {fmt.Sprintf(nextRunQuery, FilesQuery{State: StateFailed}.has()), []any{int64(1), "r", int64(1), 9, "", "failed"}, "entries_by_state (listing_id=? AND state=?)", true},
		"next extracted":   {fmt.Sprintf(nextRunQuery, hasExtracted), []any{int64(1), "r", int64(1), 9, "s", ""}, "archives_of_decompression", true},
		"end of sight":     {lastRunQuery, []any{int64(1), "r", int64(1), 9}, "runs_by_start", true},
	} {
		plan := explain(t, c, test.query, test.args...)
		assert.Contains(t, plan, test.index, name)
		for _, table := range []string{"entries", "f", "files", "m", "a", "archives", "l", "runs"} {
			for step := range strings.Lines(plan) {
				assert.False(t, strings.HasPrefix(step+" ", "SCAN "+table+" ") || strings.TrimSpace(step) == "SCAN "+table, "%s:\n%s", name, plan)
			}
		}
		if test.sorted {
			assert.NotContains(t, plan, "TEMP B-TREE", name)
		}
	}
}
