package catalog

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSaveServerAndRun(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	run := RunRow{ID: testRun, Kind: KindCollect, Start: monday}
	server := ServerRow{
		Run: testRun, Server: testServer, Result: 2, Reason: "some_failed", Detail: "x", BufferPath: "/data/zip/branch-001",
		Leftovers: 3, Start: monday, End: monday.Add(time.Minute), Warnings: []string{"its clock is an hour ahead", "\"550\" to MDTM"},
		Books: Books{
			Listed: 21, Excluded: 7, Unchanged: 1, Deferred: 2, Refused: 3, Failed: 4, Collected: 5, Pending: 6, Bytes: 99, Adopted: 1,
		},
	}
	parents := ServerRow{Run: testRun, Server: testServer, Result: 1, Reason: "terminated", Warnings: []string{"left no word"}}
	twice(t, c, func() {
		_, err := c.SaveServerIfAbsent(ctx, parents)
		require.NoError(t, err)
	})
	twice(t, c, func() { require.NoError(t, c.SaveServer(ctx, server)) })
	before := dump(t, c)
	saved, err := c.SaveServerIfAbsent(ctx, parents)
	require.NoError(t, err)
	assert.False(t, saved, "the child has written its own row")
	assert.Equal(t, before, dump(t, c), "the child's own word stands")
	require.NoError(t, c.SaveRun(ctx, RunRow{ID: testRun, Kind: KindCollect, Result: 1}))
	twice(t, c, func() { require.NoError(t, c.SaveRun(ctx, run)) })

	report, err := c.Report(ctx, testRun, "", 150_000)
	require.NoError(t, err)
	assert.Equal(t, ReportPage{Run: &run, Servers: []ServerRow{server}}, report)
}

// fillRun writes a run with everything that a report shows, and rows of other runs that it must not show.
func fillRun(t *testing.T, c *Catalog) {
	t.Helper()
	ctx := t.Context()
	for _, run := range []string{"collect/other", testRun} {
		require.NoError(t, c.SaveRun(ctx, RunRow{ID: run, Kind: KindCollect, Start: monday, End: monday.Add(time.Minute)}))
		for s := range 3 {
			fillServer(t, c, run, fmt.Sprintf("branch-%03d", s))
		}
	}
}

func fillServer(t *testing.T, c *Catalog, run, server string) {
	t.Helper()
	ctx := t.Context()
	listed := lines(run+"0.zip", run+"1.zip", run+"2.csv", run+"3", run+"4")
	listed[4].State, listed[4].Reason, listed[4].Path = StateRefused, "unsafe_name", "bad\xff"
	_, err := c.PlanListing(ctx, run, server, each(listed), PlanOptions{})
	require.NoError(t, err)
	entries, err := c.NextEntries(ctx, run, server, 0, 10)
	require.NoError(t, err)
	p := Page{Run: run, Server: server, ZipDir: testZip, UnzipDir: testUnzip, Decompression: "decompress/" + run + "/" + server}
	for _, e := range entries[:3] {
		p.Files = append(p.Files, collected(e, server+"/"+e.Path))
	}
	p.Files[1].Detail = "read twice with the same contents"
	p.Files = append(p.Files, Settled{EntryID: entries[3].ID, State: StateFailed, Reason: "timeout", Detail: "é\xff"})
	archives, err := c.Settle(ctx, p)
	require.NoError(t, err)
	for _, a := range archives {
		require.NoError(t, c.SaveExtraction(ctx, []Extraction{extraction(a.ID, strings.TrimSuffix(a.Path, ".zip"))}))
	}
	books, err := c.Books(ctx, run, server)
	require.NoError(t, err)
	require.NoError(t, c.SaveServer(ctx, ServerRow{Run: run, Server: server, Result: 2, Books: books, Start: monday}))
}

// join reads a whole report in pages of the budget.
func join(t *testing.T, c *Catalog, run string, budget int) (whole ReportPage, pages int) {
	t.Helper()
	for cursor := ""; ; pages++ {
		p, err := c.Report(t.Context(), run, cursor, budget)
		require.NoError(t, err)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		rows := len(p.Servers) + len(p.Files) + len(p.Issues) + len(p.Archives) + len(p.Layers)
		if p.Run != nil {
			whole.Run = p.Run
			rows++
		}
		require.Positive(t, rows, "every page leads on")
		require.True(t, len(text) <= budget || rows == 1, "%d bytes", len(text))
		whole.Servers = append(whole.Servers, p.Servers...)
		whole.Files = append(whole.Files, p.Files...)
		whole.Issues = append(whole.Issues, p.Issues...)
		whole.Archives = append(whole.Archives, p.Archives...)
		whole.Layers = append(whole.Layers, p.Layers...)
		if cursor = p.Next; cursor == "" {
			return whole, pages + 1
		}
	}
}

func TestReportPagesAddUp(t *testing.T) {
	c := open(t)
	fillRun(t, c)
	whole, pages := join(t, c, testRun, 150_000)
	require.Equal(t, 1, pages)
	assert.Equal(t, []int{3, 9, 6, 6, 12}, []int{
		len(whole.Servers), len(whole.Files), len(whole.Issues), len(whole.Archives), len(whole.Layers),
	})
	assert.Equal(t, ReportFile{
		Server: "branch-000", Name: testRun + "0.zip", Size: 230, SHA256: whole.Files[0].SHA256,
		LocalPath: "branch-000/" + testRun + "0.zip",
	}, whole.Files[0])
	assert.Equal(t, "read twice with the same contents", whole.Files[1].Note)
	assert.Equal(t, ReportIssue{Server: "branch-000", State: StateRefused, Name: "bad\uFFFD", Reason: "unsafe_name"},
		whole.Issues[0])
	assert.Equal(t, ReportLayer{
		Archive: whole.Archives[0].Path,
		Layer:   Layer{Path: "a.zip/in.tar.gz", Result: 1, Files: 1, Reason: "corrupt", Detail: "crc"},
	}, whole.Layers[1])

	for _, budget := range []int{0, 700, 1500, 4000} {
		again, pages := join(t, c, testRun, budget)
		assert.Equal(t, whole, again, "budget %d", budget)
		assert.Greater(t, pages, 1)
	}
	_, pages = join(t, c, testRun, 0)
	assert.Equal(t, 1+3+9+6+6+12, pages, "one row per page is the least")
}

func TestReportOfADecompression(t *testing.T) {
	c := open(t)
	fillRun(t, c)
	id := "decompress/" + testRun + "/branch-001"
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: id, Kind: KindDecompress}))
	whole, _ := join(t, c, id, 150_000)
	assert.Equal(t, []int{0, 0, 0, 2, 4}, []int{
		len(whole.Servers), len(whole.Files), len(whole.Issues), len(whole.Archives), len(whole.Layers),
	})
}

func TestReportOfAnUnknownRunAndOfABadCursor(t *testing.T) {
	c := open(t)
	_, err := c.Report(t.Context(), "collect/nobody", "", 1000)
	require.ErrorIs(t, err, ErrNoRow)
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: testRun, Kind: KindCollect}))
	_, err = c.Report(t.Context(), testRun, "x", 1000)
	require.Error(t, err)
}

func TestLongTextsAreCutToFitAPayload(t *testing.T) {
	c := open(t)
	long := strings.Repeat("\x01", 64<<10)
	l := line(long)
	l.State, l.Reason, l.Detail = StateRefused, "unsafe_name", long
	planIn(t, c, testRun, []Listed{l})
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: testRun, Kind: KindCollect}))
	p, err := c.Report(t.Context(), testRun, "", 0)
	require.NoError(t, err)
	p, err = c.Report(t.Context(), testRun, p.Next, 0)
	require.NoError(t, err)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	assert.Less(t, len(text), 40<<10)
	assert.Len(t, p.Issues, 1)
}

func TestManyWarningsAreCutToFitAPayload(t *testing.T) {
	c := open(t)
	row := ServerRow{Run: testRun, Server: testServer}
	for range 10 * maxWarnings {
		row.Warnings = append(row.Warnings, strings.Repeat("\x01", 64<<10))
	}
	twice(t, c, func() { require.NoError(t, c.SaveServer(t.Context(), row)) })
	require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: testRun, Kind: KindCollect}))
	p, err := c.Report(t.Context(), testRun, "", 150_000)
	require.NoError(t, err)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	assert.Less(t, len(text), 100<<10)
	assert.Len(t, p.Servers[0].Warnings, maxWarnings)
}

func TestBooksAddUp(t *testing.T) {
	one := Books{
		Listed: 1, Excluded: 2, Unchanged: 3, Deferred: 4, Refused: 5, Failed: 6, Collected: 7, Pending: 8, Bytes: 9, Adopted: 10,
	}
	sum := one
	sum.Add(one)
	assert.Equal(t, Books{
		Listed: 2, Excluded: 4, Unchanged: 6, Deferred: 8, Refused: 10, Failed: 12, Collected: 14, Pending: 16, Bytes: 18, Adopted: 20,
	}, sum)
}

// A report of a large run is read in many pages: none of them may sort or walk through what other pages show.
func TestReportReadsThroughIndexes(t *testing.T) {
	c := open(t)
	for _, kind := range []string{KindCollect, KindDecompress} {
		for _, s := range sectionsOf(kind) {
			assert.NotRegexp(t, "SCAN|TEMP B-TREE", explain(t, c, s.query, testRun, 1, 1))
		}
	}
}

// The catalog grows for years: what every run asks must not slow down with it.
func TestQueriesReadThroughIndexes(t *testing.T) {
	c := open(t)
	for name, q := range map[string]struct {
		text string
		args []any
	}{
		"entries":  {nextEntriesQuery, []any{testRun, testServer, 1, 1}},
		"sift":     {siftQuery, make([]any, 2+5*siftBatch)},
		"watch":    {watchQuery, make([]any, 2+5)},
		"last":     {lastListingQuery, []any{testServer, testRun}},
		"remote":   {remoteActionsQuery, []any{testServer, 1}},
		"backlog":  {remoteBacklogQuery, []any{testServer}},
		"place":    {localPathQuery, []any{testServer, []byte("x"), 1, 1, "sha", "/x"}},
		"kept":     {keptFilesQuery, []any{"[]", 0, 0, 1}},
		"members":  {keptMembersQuery, []any{"[]", 0, 0, "", 1}},
		"zip":      {ownsZipFileQuery, []any{"/x"}},
		"unzip":    {ownsUnzipFileQuery, []any{`[["/a","b"]]`}},
		"findings": {findingsQuery, []any{"v", 0, 1}},
		"old":      {oldVersionsQuery, []any{0, 0, 1}},
		"removed":  {beingRemovedQuery, []any{1}},
		"archives": {pendingArchivesQuery, []any{testDecomp, 1, 1}},
		"unzipped": {unzipPathQuery, []any{"/x", "/y"}},
		"origins":  {originsQuery, []any{`[["/a","b"]]`}},
	} {
		plan := explain(t, c, q.text, q.args...)
		// Not tables, but what came with the query: lines of a listing, parts of a path. And indexes of the few that are at work.
		plan = regexp.MustCompile(`SCAN (\d+ )?CONSTANT ROWS?|SCAN split|SCAN line|SCAN \(subquery|SCAN json_each`+
			`|SCAN \w+ USING INDEX (files_being_removed|archives_pending)`).ReplaceAllString(plan, "")
		assert.NotContains(t, plan, "SCAN", name)
		if name != "origins" && name != "place" { // which sort the few that they find
			assert.NotContains(t, plan, "TEMP B-TREE", name)
		}
	}
}

// Walking back through the listings of all servers until one is of this server would read through an index, too: that of the IDs.
func TestTheLastListingIsFoundAmongThoseOfTheServer(t *testing.T) {
	assert.Contains(t, explain(t, open(t), lastListingQuery, testServer, testRun), "listings_of_server")
}

func explain(t *testing.T, c *Catalog, text string, args ...any) string {
	t.Helper()
	steps, err := query(t.Context(), c.reader, func(row scanner) (step string, err error) {
		var id, parent, unused int
		return step, row.Scan(&id, &parent, &unused, &step)
	}, "EXPLAIN QUERY PLAN "+text, args...)
	require.NoError(t, err)
	require.NotEmpty(t, steps)
	return strings.Join(steps, "\n")
}
