package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/internal/catalog"
	"talon/workflows"
)

// someFiles are findings of every kind: an archive collected and extracted in part, one that waits, a file that failed, one that is gone, one that came
// out of an archive, and one out of an archive that Talon did not collect.
func someFiles() []activities.FoundFile {
	found := func(state catalog.State, server, name string) activities.FoundFile {
		return activities.FoundFile{
			Fate: catalog.Fate{State: state, Run: collectRun, Start: at(15, 0), Server: server, Name: name, Size: 3_000_000, ModTime: at(0, 0)},
			Line: "-rw-r--r-- 1 0 0 3000000 Nov 23 05:00 " + name,
		}
	}
	archive := found(catalog.StateCollected, "branch-001", "日报/余额.zip")
	archive.File = &catalog.CollectedFile{
		Path: "/data/zip/branch-001/日报/余额.zip", SHA256: digest("a"), Bytes: 3_000_000, Version: 2, Collected: at(15, 5), RemoteAction: "delete",
		RemoteDetail: "550 \x1b[2Jno",
	}
	archive.Archives = []catalog.Unpacking{{
		Decompression: "decompress/20261123-051500-ab12/branch-001", Archive: archive.File.Path, Done: true, Result: activities.Partial, Reason: "nested_failed",
		Host: "eagle", End: at(16, 0), Directory: "/data/unzip/branch-001/日报/余额", Received: 12, Failed: 1, Bytes: 9_000_000,
		Troubles: []catalog.Layer{{Path: "branch-001/日报/余额.zip/深.tar.gz", Result: 1, Reason: "truncated", Detail: "unexpected EOF"}},
	}}
	waiting := found(catalog.StateCollected, "branch-001", "late.zip")
	waiting.File = &catalog.CollectedFile{Path: "/data/zip/branch-001/late.zip", SHA256: digest("b"), Bytes: 77, Version: 1, Collected: at(15, 6)}
	waiting.Archives = []catalog.Unpacking{{Decompression: "decompress/x", Archive: waiting.File.Path}}
	failed := found(catalog.StateFailed, "branch-002", "a\x1b[2J.csv")
	failed.Reason, failed.Detail = "permission_denied", "server branch-002: RETR a.csv: permission denied: 550 拒绝访问"
	gone := waiting
	gone.Name, gone.Archives, gone.Gone = "old.csv", nil, true
	member := archive
	member.State = catalog.StateExtracted
	member.Member = &catalog.Extracted{
		Path: "/data/unzip/branch-001/日报/余额/in/x.csv", Layer: "branch-001/日报/余额.zip/in.tar.gz", Size: 5, SHA256: digest("c"),
	}
	own := found(catalog.StateExtracted, "", "")
	own.Run, own.Line, own.Size, own.ModTime, own.ExtractedGone = ownRun, "", 0, time.Time{}, true
	own.Member = &catalog.Extracted{Path: "/else/unzip/own/x.csv", Layer: "own.zip", Size: 5, SHA256: digest("c")}
	own.Archives = []catalog.Unpacking{{Decompression: ownRun, Archive: "/else/own.zip", Done: true, Host: "eagle", End: at(16, 0), Directory: "/else/unzip/own", Received: 1, Bytes: 5}}
	return []activities.FoundFile{archive, waiting, failed, gone, member, own}
}

func filesPage(next string, files ...activities.FoundFile) workflows.LookupPage {
	return workflows.LookupPage{Files: &activities.FilesPage{Findings: files, Next: next}}
}

func TestFiles(t *testing.T) {
	for file, args := range map[string][]string{"files.txt": nil, "files.json": {"-o", "json"}, "files.csv": {"-o", "csv"}} {
		f := newFake()
		all := someFiles()
		f.answers = []workflows.LookupPage{filesPage("c", all[:2]...), filesPage("", all[2:]...)}
		got := f.start(t.Context(), append([]string{"files", "--limit", "7"}, args...)...)
		assert.Zero(t, got.code)
		assert.Empty(t, got.stderr)
		golden(t, file, got.stdout)
		require.Len(t, f.lookups, 2)
		assert.Equal(t, activities.FilesInput{Limit: 7}, *f.lookups[0].Files)
		assert.Equal(t, activities.FilesInput{Limit: 5, Cursor: "c"}, *f.lookups[1].Files)
		if file != "files.csv" { // programs get names as they are
			assert.NotContains(t, got.stdout, "\x1b")
		}
	}
}

// TestTheAccountOfAFile: of a single file people get everything, in lines; programs get the same as of many.
func TestTheAccountOfAFile(t *testing.T) {
	var all strings.Builder
	for i, file := range someFiles() {
		f := newFake()
		f.answers = []workflows.LookupPage{filesPage("", file)}
		got := f.start(t.Context(), "files", "--name", "x")
		assert.Zero(t, got.code)
		assert.NotContains(t, got.stdout, "\x1b")
		fmt.Fprintf(&all, "%s\n", got.stdout)

		f = newFake()
		f.answers = []workflows.LookupPage{filesPage("", file)}
		assert.Equal(t, 2, strings.Count(f.start(t.Context(), "files", "--name", "x", "-o", "csv").stdout, "\n"), i)
	}
	golden(t, "file.txt", all.String())
}

func TestWhichFiles(t *testing.T) {
	f := newFake()
	f.answers = []workflows.LookupPage{filesPage("")}
	got := f.start(t.Context(), "files", "--server", "b", "--name", "*.csv", "--since", "2026-11-01", "--until", "2026-12-01", "--sha256", "ABCDEF", "--state", "failed")
	assert.Contains(t, got.stdout, "nothing like that is in tiger's catalog\n")
	asked := *f.lookups[0].Files
	asked.Since, asked.Until = asked.Since.UTC(), asked.Until.UTC()
	assert.Equal(t, activities.FilesInput{Limit: 100, FilesQuery: catalog.FilesQuery{
		Server: "b", Name: "*.csv", SHA256: "abcdef", State: catalog.StateFailed,
		Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
	}}, asked)

	f = newFake()
	f.answers = []workflows.LookupPage{filesPage("")}
	f.start(t.Context(), "files", "branch-001/a/x.csv")
	assert.Equal(t, activities.FilesInput{Limit: 100, File: "branch-001/a/x.csv"}, *f.lookups[0].Files)
}

// TestEnoughFiles: a page of a long search may be empty, the search goes on until there are enough.
func TestEnoughFiles(t *testing.T) {
	f := newFake()
	slow := filesPage("c")
	slow.Files.Reached = at(0, 0)
	all := someFiles()
	f.answers = []workflows.LookupPage{slow, filesPage("d", all[0]), filesPage("e", all[1])}
	got := f.start(t.Context(), "files", "--limit", "2")
	assert.Equal(t, "looked back to 2026-11-23 05:00:00, 0 found\n", got.stderr)
	assert.Contains(t, got.stdout, "2 findings, and --limit is reached: there may be more\n")

	f = newFake()
	f.answers = []workflows.LookupPage{filesPage("d", all[0])}
	assert.Contains(t, f.start(t.Context(), "files", "--limit", "1").stdout, "1 finding, and --limit is reached", "it may not be the only one")
}

func TestFilesRefused(t *testing.T) {
	for _, wrong := range [][]string{
		{"--since", "yesterday"}, {"--until", "-3h"}, {"--state", "good"}, {"--limit", "0"}, {"-o", "xml"}, {"a", "b"}, {""}, {"a", "--server", "b"},
	} {
		f := newFake()
		f.start(t.Context(), append([]string{"files"}, wrong...)...).unusable(t)
		assert.Zero(t, f.dialled, wrong)
	}
	f := newFake()
	f.broken = workflowError(temporal.NewNonRetryableApplicationError(`"abc" is not the beginning of a SHA-256`, activities.BadQuestion, nil))
	f.start(t.Context(), "files", "--sha256", "abc").unusable(t, `cannot look up files: "abc" is not the beginning of a SHA-256`)
	f = newFake()
	f.answers = []workflows.LookupPage{{}}
	f.start(t.Context(), "files").unusable(t, "older than this program")
}
