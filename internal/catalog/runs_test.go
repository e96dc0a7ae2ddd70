package catalog

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// saveRun saves the n-th run, which starts n hours after Monday morning and takes ten minutes, or goes on.
func saveRun(t *testing.T, c *Catalog, n int, kind string, open bool) RunRow {
	t.Helper()
	start := monday.Add(time.Duration(n) * time.Hour)
	row := RunRow{ID: fmt.Sprintf("%s/%d", kind, n), Kind: kind, Start: start, End: start.Add(10 * time.Minute)}
	if open {
		row.End = time.Time{}
	}
	require.NoError(t, c.SaveRun(t.Context(), row))
	return row
}

func saveRow(t *testing.T, c *Catalog, run RunRow, server string, result int, reason string, books Books) {
	t.Helper()
	require.NoError(t, c.SaveServer(t.Context(), ServerRow{
		Run: run.ID, Server: server, Result: result, Reason: reason, Books: books, Start: run.Start, End: run.Start.Add(5 * time.Minute),
	}))
}

// allRuns reads page after page.
func allRuns(t *testing.T, c *Catalog, q RunsQuery, limit, budget int) (runs []RunSummary, pages int) {
	t.Helper()
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		page, err := c.Runs(t.Context(), q, cursor, limit, budget)
		require.NoError(t, err)
		runs, cursor = append(runs, page.Runs...), page.Next
	}
	return runs, pages
}

func idsOf(runs []RunSummary) (ids []string) {
	for _, run := range runs {
		ids = append(ids, run.ID)
	}
	return ids
}

func TestRunsAreSummedUp(t *testing.T) {
	c := open(t)
	run := saveRun(t, c, 1, KindCollect, false)
	saveRow(t, c, run, "branch-001", 0, "", Books{Collected: 3, Bytes: 30})
	saveRow(t, c, run, "branch-002", 1, "login_refused", Books{})
	saveRow(t, c, run, "branch-003", 1, "login_refused", Books{})
	saveRow(t, c, run, "branch-004", 2, "incomplete", Books{Collected: 1, Bytes: 5, Refused: 2, Failed: 1})
	archives := func(decompression, run, server string, names ...string) {
		var all []Archive
		for _, name := range names {
			all = append(all, Archive{Decompression: decompression, Run: run, Server: server, ZipDir: testZip, Path: name, Size: 1})
		}
		require.NoError(t, c.AddArchives(t.Context(), all))
	}
	extract := func(decompression string, result int, reason string, files int, end time.Time) {
		pending, err := c.PendingArchives(t.Context(), decompression, 0, 1)
		require.NoError(t, err)
		require.NoError(t, c.SaveExtraction(t.Context(), []Extraction{{Archive: Archive{
			ID: pending[0].ID, Result: result, Reason: reason, Received: files, Bytes: int64(7 * files), End: end,
		}}}))
	}
	late := run.Start.Add(time.Hour)
	archives("d1", run.ID, "branch-001", "a.zip", "b.zip", "c.zip", "d.zip")
	extract("d1", 0, "", 4, run.End)
	extract("d1", 1, "encrypted", 0, late)
	extract("d1", 2, "nested_failed", 2, run.End)
	own := saveRun(t, c, 2, KindDecompress, true)
	archives(own.ID, "", "", "x.zip")
	extract(own.ID, 0, "", 9, late.Add(time.Minute))

	runs, _ := allRuns(t, c, RunsQuery{}, 10, 150_000)
	whole := RunSummary{
		RunRow: run, Servers: 4, Good: 1, Bad: 2, Files: 4, Bytes: 35, Missing: 3,
		Archives: 4, ArchivesGood: 1, ArchivesBad: 1, ArchivesWaiting: 1, LastEnd: late, Troubles: []Trouble{
			{Reason: "login_refused", Count: 2, Example: "branch-002"},
			{Reason: "incomplete", Count: 1, Example: "branch-004"},
			{Reason: "encrypted", Count: 1, Example: "b.zip", Archive: true},
			{Reason: "nested_failed", Count: 1, Example: "c.zip", Archive: true},
		},
	}
	assert.Equal(t, []RunSummary{
		{RunRow: own, Files: 9, Bytes: 63, Archives: 1, ArchivesGood: 1, LastEnd: late.Add(time.Minute)}, whole,
	}, runs)

	runs, _ = allRuns(t, c, RunsQuery{Server: "branch-002"}, 10, 150_000)
	assert.Equal(t, []RunSummary{{
		RunRow: run, Servers: 1, Bad: 1, LastEnd: run.Start.Add(5 * time.Minute), Troubles: []Trouble{{Reason: "login_refused", Count: 1, Example: "branch-002"}},
	}}, runs, "of a server alone")
}

func TestRunsAreChosen(t *testing.T) {
	c := open(t)
	for n := range 6 {
		run := saveRun(t, c, n, KindCollect, n == 4)
		if n%2 == 0 {
			saveRow(t, c, run, testServer, 0, "", Books{})
		}
	}
	saveRun(t, c, 7, KindDecompress, false)
	at := func(hours int) time.Time { return monday.Add(time.Duration(hours) * time.Hour) }
	for name, test := range map[string]struct {
		q    RunsQuery
		want []string
	}{
		"all":      {RunsQuery{}, []string{"decompress/7", "collect/5", "collect/4", "collect/3", "collect/2", "collect/1", "collect/0"}},
		"since":    {RunsQuery{Since: at(4)}, []string{"decompress/7", "collect/5", "collect/4"}},
		"until":    {RunsQuery{Until: at(2)}, []string{"collect/1", "collect/0"}},
		"between":  {RunsQuery{Since: at(2), Until: at(4)}, []string{"collect/3", "collect/2"}},
		"kind":     {RunsQuery{Kind: KindDecompress}, []string{"decompress/7"}},
		"server":   {RunsQuery{Server: testServer}, []string{"collect/4", "collect/2", "collect/0"}},
		"open":     {RunsQuery{Open: true}, []string{"collect/4"}},
		"together": {RunsQuery{Server: testServer, Since: at(1), Until: at(4)}, []string{"collect/2"}},
		"none":     {RunsQuery{Server: "branch"}, nil},
	} {
		for _, limit := range []int{1, 2, 100} {
			runs, pages := allRuns(t, c, test.q, limit, 150_000)
			assert.Equal(t, test.want, idsOf(runs), name)
			assert.Equal(t, max((len(test.want)+limit-1)/limit, 1), pages, name)
		}
	}
	_, err := c.Runs(t.Context(), RunsQuery{}, "yesterday", 1, 1000)
	require.ErrorContains(t, err, `cursor "yesterday"`)
}

// TestManyRunsComeInPages: runs that start in one moment, too, each once.
func TestManyRunsComeInPages(t *testing.T) {
	c := open(t)
	var want []string
	for n := range 2*runsAtOnce + 10 {
		require.NoError(t, c.SaveRun(t.Context(), RunRow{ID: fmt.Sprintf("collect/%03d", n), Kind: KindCollect, Start: monday, End: monday}))
		want = append([]string{fmt.Sprintf("collect/%03d", n)}, want...)
	}
	runs, pages := allRuns(t, c, RunsQuery{}, 1000, 5000)
	assert.Equal(t, want, idsOf(runs))
	assert.Greater(t, pages, 2)
	assert.Less(t, pages, 20)
}

func TestRunsAreReadInTheirOrder(t *testing.T) {
	plan := explain(t, open(t), runsQuery, int64(5), "x", int64(1), "", false, "", 10)
	assert.Contains(t, plan, "runs_by_start")
	assert.NotContains(t, plan, "TEMP B-TREE")
}
