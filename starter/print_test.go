package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/mattn/go-runewidth"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/activities"
	"talon/internal/catalog"
)

// printed is a result in a format.
func printed(t *testing.T, r runResult, output string) string {
	t.Helper()
	var stdout bytes.Buffer
	require.NoError(t, (&app{stdout: &stdout}).print(r, output))
	return stdout.String()
}

func TestTables(t *testing.T) {
	for file, page := range map[string]activities.ReportPage{"collect.txt": collected(), "decompress.txt": decompressed()} {
		got := printed(t, foldPages(page), outputTable)
		golden(t, file, got)
		assertAligned(t, got)
		for _, control := range []string{"\x1b", "\r", "\t"} {
			assert.NotContains(t, got, control, "a name of a file must not move the cursor")
		}
	}
}

// assertAligned demands that all lines of a table end in the same column, however wide their characters are.
func assertAligned(t *testing.T, tables string) {
	t.Helper()
	var condition runewidth.Condition
	width := 0
	for line := range strings.Lines(tables) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "┌"):
			width = condition.StringWidth(line)
		case strings.HasPrefix(line, "│") || strings.HasPrefix(line, "├") || strings.HasPrefix(line, "└"):
			assert.Equal(t, width, condition.StringWidth(line), line)
		}
	}
	assert.NotZero(t, width)
}

// TestReasonsWrapAtWords: a long reason makes its cell higher, not the table wider, and no word is broken.
func TestReasonsWrapAtWords(t *testing.T) {
	page := codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0), End: at(16, 0)}, []int{activities.Failed, activities.Failed}, nil)
	sentence := "dial tcp 10.0.0.1:21: connect: connection refused after several attempts to reach the server of this branch"
	page.Servers[0].Reason, page.Servers[0].Detail = "server_unreachable", "server a: server unreachable: "+sentence
	page.Servers[1].Reason, page.Servers[1].Detail = "login_refused", strings.Repeat("密码错误或账户已锁定，", 12)
	got := printed(t, foldPages(page), outputTable)
	golden(t, "wrapped.txt", got)
	assertAligned(t, got)
	for _, word := range strings.Fields(sentence) {
		assert.Contains(t, got, word)
	}
}

// TestTablesInAChineseLocale: characters of ambiguous width are one column wide there, too.
func TestTablesInAChineseLocale(t *testing.T) {
	text.OverrideRuneWidthEastAsianWidth(true)
	page := codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, Start: at(15, 0), End: at(16, 0)}, []int{activities.Failed}, nil)
	page.Servers[0].Reason, page.Servers[0].Detail = "protocol_error", "500 “分行” …"
	assertAligned(t, printed(t, foldPages(page), outputTable))
}

func TestBecause(t *testing.T) {
	for _, test := range []struct{ server, reason, detail, want string }{
		{"", "", "", ""},
		{"a", "busy", "", "busy"},
		{"a", "not_started", "", "not started"},
		{"branch-012", "login_refused", "server branch-012: PASS: login refused: 530 Login: refused", "login refused: PASS: 530 Login: refused"},
		{"b", "server_unreachable", "server b: server unreachable: dial tcp: refused", "server unreachable: dial tcp: refused"},
		{"b", "directory_missing", "b: directory /x is not there", "directory missing: directory /x is not there"},
		{"b", "file_vanished", "server c: RETR /x: not found: 550", "file vanished: server c: RETR /x: not found: 550"},
		{"b", "encrypted", "encrypted", "encrypted"},
		{"b", "corrupt", "line one\nline two\x07", "corrupt: line one\uFFFDline two\uFFFD"},
		{"", "", "no reason: but words", "no reason: but words"},
	} {
		assert.Equal(t, test.want, because(test.server, test.reason, test.detail))
	}
}

func TestVerdict(t *testing.T) {
	assert.Equal(t, "complete", verdict(activities.Success, ""))
	assert.Equal(t, "complete", verdict(activities.Success, "trailing_data"))
	assert.Equal(t, "FAILED", verdict(activities.Failed, "corrupt"))
	assert.Equal(t, "PARTLY", verdict(activities.Partial, "incomplete"))
	assert.Equal(t, "waiting", verdict(activities.Failed, "pending"))
	assert.Equal(t, "running", verdict(activities.Partial, "running"))
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB",
	} {
		assert.Equal(t, want, size(n))
	}
}

// TestLongListsAreCut: a terminal shows the first missing files and says where the others are.
func TestLongListsAreCut(t *testing.T) {
	page := codes(catalog.RunRow{ID: collectRun, Kind: catalog.KindCollect, End: at(16, 0)}, []int{activities.Partial}, nil)
	for i := range maxMissing + 5 {
		page.Issues = append(page.Issues, catalog.ReportIssue{Server: "a", State: catalog.StateFailed, Name: fmt.Sprintf("%03d.csv", i), Reason: "timeout"})
	}
	got := printed(t, foldPages(page), outputTable)
	assert.Equal(t, maxMissing, strings.Count(got, "not collected: "))
	assert.Contains(t, got, "  not collected: a: 000.csv: timeout\n")
	assert.NotContains(t, got, "020.csv")
	assert.Contains(t, got, "… and 5 more: starter result "+collectRun+" -o json\n")

	page.Issues = page.Issues[:maxMissing]
	assert.NotContains(t, printed(t, foldPages(page), outputTable), "more:")
}

// TestCSV: one row per item, every row as wide as the header, and names come back as they were.
func TestCSV(t *testing.T) {
	page := collected()
	page.Files[0].Name, page.Files[0].LocalPath = "a", "branch-001/a, \"quoted\"\nname.zip"
	out := printed(t, foldPages(page), outputCSV)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, []string{"kind", "server", "name", "result", "reason", "files", "bytes", "sha256", "detail"}, rows[0])
	kinds := map[string]int{}
	for _, row := range rows[1:] {
		kinds[row[0]]++
	}
	assert.Equal(t, map[string]int{"server": 4, "file": 4, "refused": 2, "failed": 1, "archive": 4}, kinds)
	for _, want := range [][]string{
		{"server", "branch-012", "", "1", "login_refused", "0", "0", "", "server branch-012: PASS: login refused: 530 Login incorrect."},
		{"file", "branch-001", page.Files[0].LocalPath, "0", "", "1", "3000000", digest("a"), ""},
		{"file", "branch-001", "branch-001/old~2.zip", "0", "", "1", "123", digest("b"), ""},
		{"refused", "branch-020", "../evil", "1", "unsafe_name", "0", "", "", "the name leaves its directory"},
		{"failed", "branch-020", "/outgoing/x.csv", "1", "permission_denied", "0", "", "", page.Issues[2].Detail},
		{"archive", "", "branch-001/日报/余额.zip", "2", "nested_failed", "3", "4096", "", ""},
		{"archive", "", "branch-020/late.zip", "1", "pending", "0", "0", "", ""},
	} {
		assert.Contains(t, rows, want)
	}
}
