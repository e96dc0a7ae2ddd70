package main

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/activities"
	"talon/internal/catalog"
)

// at is a moment of the morning of all the runs here.
func at(minute, second int) time.Time { return time.Date(2026, 11, 23, 5, minute, second, 0, time.UTC) }

const collectRun = "collect/20261123-051500-ab12"

func digest(letter string) string { return strings.Repeat(letter, 64) }

// collected is the account of a run with every kind of row: servers complete, partly, failed and still at work; files new, in a second version,
// refused and failed; archives complete, with a bad layer, failed and waiting.
func collected() activities.ReportPage {
	return activities.ReportPage{
		Run: &catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Result: activities.Partial, Start: at(15, 0), End: at(16, 0)},
		Servers: []catalog.ServerRow{
			{
				Run: collectRun, Server: "branch-001", BufferPath: "/data/zip/branch-001", Start: at(15, 1), End: at(15, 5),
				Books: catalog.Books{Listed: 9, Excluded: 2, Unchanged: 6, Collected: 3, Bytes: 3_500_123}, Leftovers: 1,
			},
			{
				Run: collectRun, Server: "branch-012", BufferPath: "/data/zip/branch-012", Start: at(15, 1), End: at(15, 2), Result: activities.Failed,
				Reason: "login_refused", Detail: "server branch-012: PASS: login refused: 530 Login incorrect.",
			},
			{
				Run: collectRun, Server: "branch-020", BufferPath: "/data/zip/branch-020", Start: at(15, 1), End: at(15, 9), Result: activities.Partial,
				Reason: "incomplete", Detail: "3 files are missing",
				Books: catalog.Books{Listed: 6, Unchanged: 1, Deferred: 1, Refused: 2, Failed: 1, Collected: 1, Bytes: 77},
			},
			{
				Run: collectRun, Server: "branch-030", BufferPath: "/data/zip/branch-030", Start: at(15, 0), End: at(16, 0), Result: activities.Partial,
				Reason: "running", Detail: "still at work when the run's deadline came; it goes on and its files are kept",
			},
		},
		Files: []catalog.ReportFile{
			{Server: "branch-001", Name: "statements.zip", Size: 3_000_000, SHA256: digest("a"), LocalPath: "branch-001/statements.zip"},
			{Server: "branch-001", Name: "old.zip", Size: 123, SHA256: digest("b"), LocalPath: "branch-001/old~2.zip"},
			{Server: "branch-001", Name: "日报/余额.zip", Size: 500_000, SHA256: digest("c"), LocalPath: "branch-001/日报/余额.zip"},
			{Server: "branch-020", Name: "late.zip", Size: 77, SHA256: digest("d"), LocalPath: "branch-020/late.zip"},
		},
		Issues: []catalog.ReportIssue{
			{Server: "branch-020", State: catalog.StateRefused, Name: "../evil", Reason: "unsafe_name", Detail: "the name leaves its directory"},
			{Server: "branch-020", State: catalog.StateRefused, Name: "a\x1b[2Jb", Reason: "unsafe_name", Detail: "the name has a control character"},
			{
				Server: "branch-020", State: catalog.StateFailed, Name: "/outgoing/x.csv", Reason: "permission_denied",
				Detail: "server branch-020: RETR /outgoing/x.csv: permission denied: 550 拒绝访问",
			},
		},
		Archives: extracted(), Layers: extractedLayers(),
	}
}

func extracted() []catalog.Archive {
	return []catalog.Archive{
		{
			Run: collectRun, Path: "branch-001/statements.zip", Done: true, UnzipPath: "branch-001/statements", Host: "eagle", Start: at(15, 6), End: at(15, 8),
			Received: 12, Bytes: 9_000_000,
		},
		{
			Run: collectRun, Path: "branch-001/old~2.zip", Done: true, Host: "eagle", Start: at(15, 6), End: at(15, 7), Result: activities.Failed,
			Reason: "encrypted", Detail: "a password is needed", Failed: 2,
		},
		{
			Run: collectRun, Path: "branch-001/日报/余额.zip", Done: true, UnzipPath: "branch-001/日报/余额", Host: "eagle", Start: at(15, 6), End: at(17, 30),
			Result: activities.Partial, Reason: "nested_failed", Failed: 1, Received: 3, Bytes: 4096,
		},
		{Run: collectRun, Path: "branch-020/late.zip"},
	}
}

func extractedLayers() []catalog.ReportLayer {
	return []catalog.ReportLayer{
		layerOf("branch-001/statements.zip", catalog.Layer{Path: "branch-001/statements.zip", Archives: 1, Files: 11}),
		layerOf("branch-001/statements.zip", catalog.Layer{Path: "branch-001/statements.zip/inner.tar.gz", Files: 1}),
		layerOf("branch-001/old~2.zip", catalog.Layer{Path: "branch-001/old~2.zip", Result: activities.Failed, Reason: "encrypted", Detail: "a password is needed"}),
		layerOf("branch-001/日报/余额.zip", catalog.Layer{Path: "branch-001/日报/余额.zip", Result: activities.Partial, Archives: 1, Files: 2, Reason: "nested_failed"}),
		layerOf("branch-001/日报/余额.zip", catalog.Layer{
			Path: "branch-001/日报/余额.zip/深.tar.gz", Result: activities.Failed, Reason: "truncated", Detail: "unexpected EOF",
		}),
	}
}

func layerOf(archive string, layer catalog.Layer) catalog.ReportLayer {
	return catalog.ReportLayer{Archive: archive, Layer: layer}
}

const ownRun = "decompress/20261123-051500-cd34"

// decompressed is the account of a decompression of its own.
func decompressed() activities.ReportPage {
	return activities.ReportPage{
		Run: &catalog.RunRow{ID: ownRun, Kind: catalog.KindDecompress, Start: at(15, 0), End: at(15, 9)},
		Archives: []catalog.Archive{
			{Path: "file1.zip", Done: true, UnzipPath: "file1", Host: "eagle", Start: at(15, 1), End: at(15, 2), Received: 12, Bytes: 1234},
		},
		Layers: []catalog.ReportLayer{
			layerOf("file1.zip", catalog.Layer{Path: "file1.zip", Archives: 1, Files: 11}),
			layerOf("file1.zip", catalog.Layer{Path: "file1.zip/inner.tar.gz", Files: 1}),
		},
	}
}

func foldPages(pages ...activities.ReportPage) runResult {
	r := newReport("?")
	for _, page := range pages {
		r.add(page)
	}
	return r.fold(time.Time{}, time.Time{})
}

// rows cuts a page into pages of one row each.
func rows(page activities.ReportPage) []activities.ReportPage {
	pages := []activities.ReportPage{{Run: page.Run}}
	for _, row := range page.Servers {
		pages = append(pages, activities.ReportPage{Servers: []catalog.ServerRow{row}})
	}
	for _, row := range page.Files {
		pages = append(pages, activities.ReportPage{Files: []catalog.ReportFile{row}})
	}
	for _, row := range page.Issues {
		pages = append(pages, activities.ReportPage{Issues: []catalog.ReportIssue{row}})
	}
	for _, row := range page.Archives {
		pages = append(pages, activities.ReportPage{Archives: []catalog.Archive{row}})
	}
	for _, row := range page.Layers {
		pages = append(pages, activities.ReportPage{Layers: []catalog.ReportLayer{row}})
	}
	return pages
}

// TestFoldTakesRowsInAnyOrder: wherever the pages are cut and however they come, the result is the same.
func TestFoldTakesRowsInAnyOrder(t *testing.T) {
	for name, page := range map[string]activities.ReportPage{"collect": collected(), "decompress": decompressed()} {
		want := foldPages(page)
		random := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			pages := rows(page)
			random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
			require.Equal(t, want, foldPages(pages...), name)
		}
	}
}

// TestJSON: these names and shapes are what other programs read.
func TestJSON(t *testing.T) {
	for file, page := range map[string]activities.ReportPage{"collect.json": collected(), "decompress.json": decompressed()} {
		got := printed(t, foldPages(page), outputJSON)
		golden(t, file, got)
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(got), &fields))
	}
}

// TestEmptyListsAreLists: a program that reads the results never meets a null.
func TestEmptyListsAreLists(t *testing.T) {
	empty := activities.ReportPage{
		Run:     &catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0), End: at(16, 0)},
		Servers: []catalog.ServerRow{{Run: collectRun, Server: "a", Start: at(15, 0), End: at(15, 1)}},
	}
	assert.JSONEq(t, `{
		"run": "collect/20261123-051500-ab12", "result": 0, "reason": "", "start_time": "2026-11-23T05:15:00Z", "end_time": "2026-11-23T05:16:00Z",
		"servers": {"a": {
			"result": 0, "reason": "", "number_of_files": 0, "bytes": 0, "buffer_path": "", "files": [], "listed": 0, "excluded": 0, "unchanged": 0,
			"deferred": 0, "refused": [], "failed": [], "start_time": "2026-11-23T05:15:00Z", "end_time": "2026-11-23T05:15:01Z"
		}},
		"decompress": {"result": 0, "total": 0, "succeeded": 0, "archives": {}}
	}`, printed(t, foldPages(empty), outputJSON))

	none := activities.ReportPage{Run: &catalog.RunRow{ID: ownRun, Kind: catalog.KindDecompress, Start: at(15, 0), End: at(15, 1)}}
	assert.JSONEq(t, `{
		"run": "decompress/20261123-051500-cd34", "result": 0, "total": 0, "succeeded": 0, "start_time": "2026-11-23T05:15:00Z",
		"end_time": "2026-11-23T05:15:01Z", "archives": {}
	}`, printed(t, foldPages(none), outputJSON))
}

func TestResultCodes(t *testing.T) {
	const ok, bad, some = activities.Success, activities.Failed, activities.Partial
	for name, test := range map[string]struct {
		run               catalog.RunRow
		servers, archives []int
		want              int
		wantDecompress    int
	}{
		"nothing to do":                 {want: ok},
		"all well":                      {servers: []int{ok, ok}, archives: []int{ok, ok}, want: ok},
		"no archives":                   {servers: []int{ok, ok}, want: ok},
		"no server":                     {servers: []int{bad, bad}, want: bad},
		"one server of two":             {servers: []int{ok, bad}, want: some},
		"one server in part":            {servers: []int{some}, want: some},
		"nothing but a part":            {servers: []int{bad, some}, want: some},
		"an archive":                    {servers: []int{ok}, archives: []int{ok, bad}, want: some, wantDecompress: some},
		"an archive in part":            {servers: []int{ok}, archives: []int{some}, want: some, wantDecompress: some},
		"no archive":                    {servers: []int{ok}, archives: []int{bad, bad}, want: some, wantDecompress: bad},
		"neither server nor archive":    {servers: []int{bad}, archives: []int{bad}, want: bad, wantDecompress: bad},
		"cancelled":                     {run: catalog.RunRow{Result: some, Reason: "cancelled"}, servers: []int{ok, bad}, want: some},
		"cancelled at the last moment":  {run: catalog.RunRow{Result: ok, Reason: "cancelled"}, servers: []int{ok, ok}, want: ok},
		"own":                           {run: own(ok, ""), archives: []int{ok}, want: ok},
		"own, failed":                   {run: own(bad, ""), archives: []int{bad, bad}, want: bad, wantDecompress: bad},
		"own, in part":                  {run: own(some, ""), archives: []int{ok, bad}, want: some, wantDecompress: some},
		"own, cancelled while planning": {run: own(bad, "cancelled"), want: bad, wantDecompress: bad},
		"own, cancelled, all there":     {run: own(some, "cancelled"), archives: []int{ok}, want: some, wantDecompress: some},
	} {
		t.Run(name, func(t *testing.T) {
			test.run.ID, test.run.Start, test.run.End = "run", at(15, 0), at(16, 0)
			if test.run.Kind == "" {
				test.run.Kind = catalog.KindCollect
			}
			got := foldPages(codes(test.run, test.servers, test.archives))
			assert.Equal(t, test.want, got.Result)
			assert.Equal(t, test.want, got.code())
			assert.Equal(t, test.wantDecompress, got.Decompress.Result)
			assert.Equal(t, test.run.Reason, got.Reason)
		})
	}
}

func own(result int, reason string) catalog.RunRow {
	return catalog.RunRow{Kind: catalog.KindDecompress, Result: result, Reason: reason}
}

// codes is a run whose servers and archives have these results.
func codes(run catalog.RunRow, servers, archives []int) activities.ReportPage {
	page := activities.ReportPage{Run: &run}
	for i, code := range servers {
		page.Servers = append(page.Servers, catalog.ServerRow{Server: string(rune('a' + i)), Result: code, Start: run.Start})
	}
	for i, code := range archives {
		page.Archives = append(page.Archives, catalog.Archive{Path: string(rune('a'+i)) + ".zip", Result: code, Done: true})
	}
	return page
}

// TestPendingArchives: what eagle has not delivered counts as missing, and says why.
func TestPendingArchives(t *testing.T) {
	page := codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, End: at(16, 0)}, []int{activities.Success}, []int{activities.Success})
	page.Archives[0].Done = false
	result := foldPages(page)
	assert.Equal(t, activities.Partial, result.Result)
	assert.Equal(t, activities.Failed, result.Decompress.Result)
	assert.Zero(t, result.Decompress.Succeeded)
	assert.Equal(t, &archiveResult{Result: activities.Failed, Reason: "pending", Layers: map[string]layerResult{}}, result.Decompress.Archives["a.zip"])

	onlyLayer := foldPages(activities.ReportPage{Run: page.Run, Layers: []catalog.ReportLayer{layerOf("a.zip", catalog.Layer{Path: "a.zip"})}})
	assert.Equal(t, activities.Failed, onlyLayer.Decompress.Result, "an archive without a row of its own is not there yet")
}

// TestRunStillAtWork: a run without an end is never complete, and has no end time.
func TestRunStillAtWork(t *testing.T) {
	page := codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0)}, []int{activities.Success}, []int{activities.Success})
	page.Servers[0].End = at(15, 30)
	page.Files = []catalog.ReportFile{{Server: "late", Name: "x"}}
	result := foldPages(page)
	assert.Equal(t, activities.Partial, result.Result)
	assert.Equal(t, "running", result.Reason)
	assert.Zero(t, result.EndTime)
	late := result.Servers["late"]
	assert.Equal(t, activities.Partial, late.Result, "a server without a row of its own is at work")
	assert.Equal(t, "running", late.Reason)
	assert.Equal(t, at(15, 0), late.StartTime)

	own := foldPages(activities.ReportPage{Run: &catalog.RunRow{ID: ownRun, Kind: catalog.KindDecompress, Start: at(15, 0)}})
	assert.Equal(t, activities.Partial, own.Decompress.Result)
	assert.Equal(t, "running", own.Decompress.Reason)
}

// TestTimes: a caller that made the run says when the call was made and everything received; else the catalog's times count, the latest of all.
func TestTimes(t *testing.T) {
	result := foldPages(collected())
	assert.Equal(t, at(15, 0), result.StartTime)
	assert.Equal(t, at(17, 30), result.EndTime, "the last archive came after the run's end")

	r := newReport(collectRun)
	r.add(collected())
	result = r.fold(at(14, 59), at(20, 0))
	assert.Equal(t, at(14, 59), result.StartTime)
	assert.Equal(t, at(20, 0), result.EndTime)

	r = newReport(ownRun)
	r.add(decompressed())
	result = r.fold(at(14, 58), at(19, 0))
	assert.Equal(t, at(14, 58), result.Decompress.StartTime)
	assert.Equal(t, at(19, 0), result.Decompress.EndTime)

	server := collected()
	server.Servers[0].End, server.Archives = at(18, 0), nil
	assert.Equal(t, at(18, 0), foldPages(server).EndTime, "a server came after the run's end")
}
