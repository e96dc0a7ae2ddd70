package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"talon/activities"
	"talon/internal/catalog"
	"talon/workflows"
)

// someRuns has a run of each result, the newest first.
func someRuns() []catalog.RunSummary {
	row := func(kind string, minute int, end time.Time) catalog.RunRow {
		return catalog.RunRow{ID: fmt.Sprintf("%s/20261123-05%02d00-ab12", kind, minute), Kind: kind, Start: at(minute, 0), End: end}
	}
	cancelled := row("collect", 30, at(31, 0))
	cancelled.Result, cancelled.Reason = activities.Failed, activities.ReasonCancelled
	return []catalog.RunSummary{
		{RunRow: row("collect", 45, time.Time{}), Servers: 1, Good: 1, Files: 2, Bytes: 10},
		{RunRow: cancelled, Servers: 2, Good: 2, Files: 1, Bytes: 5},
		{
			RunRow: row("collect", 15, at(16, 0)), Servers: 500, Good: 494, Bad: 5, Files: 1234, Bytes: 9_000_000, Missing: 2,
			Archives: 12, ArchivesGood: 9, ArchivesBad: 1, ArchivesWaiting: 2, LastEnd: at(19, 30), Troubles: []catalog.Trouble{
				{Reason: "login_refused", Count: 4, Example: "branch-004"},
				{Reason: "timeout", Count: 1, Example: "branch-077"},
				{Reason: "incomplete", Count: 1, Example: "branch-020"},
				{Reason: "encrypted", Count: 1, Example: "branch-001/a\x1b.zip", Archive: true},
			},
		},
		{RunRow: row("decompress", 10, at(12, 0)), Files: 40, Bytes: 4096, Archives: 3, ArchivesGood: 3, LastEnd: at(12, 0)},
		{
			RunRow: row("collect", 0, at(1, 0)), Servers: 2, Bad: 2, LastEnd: at(1, 0),
			Troubles: []catalog.Trouble{{Reason: "server_unreachable", Count: 2, Example: "branch-001"}},
		},
	}
}

func runsPage(next string, runs ...catalog.RunSummary) workflows.LookupPage {
	return workflows.LookupPage{Runs: &activities.RunsPage{RunsPage: catalog.RunsPage{Runs: runs, Next: next}, Now: at(50, 0)}}
}

func TestRuns(t *testing.T) {
	for file, args := range map[string][]string{"runs.txt": nil, "runs.json": {"-o", "json"}, "runs.csv": {"-o", "csv"}} {
		f := newFake()
		f.status = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
		all := someRuns()
		f.answers = []workflows.LookupPage{runsPage("c", all[:2]...), runsPage("", all[2:]...)}
		got := f.start(t.Context(), append([]string{"runs"}, args...)...)
		assert.Zero(t, got.code)
		assert.Empty(t, got.stderr)
		golden(t, file, got.stdout)
		assert.NotContains(t, got.stdout, "\x1b[")
		require.Len(t, f.lookups, 2)
		assert.Equal(t, activities.RunsInput{Limit: 20}, *f.lookups[0].Runs)
		assert.Equal(t, activities.RunsInput{Limit: 20, Cursor: "c"}, *f.lookups[1].Runs)
	}
}

// runsIn are the runs of CSV by the minute in which they began.
func runsIn(csv string) (minutes []string) {
	for line := range strings.Lines(csv) {
		if _, rest, found := strings.Cut(line, "/20261123-05"); found {
			minutes = append(minutes, rest[:2])
		}
	}
	return minutes
}

func TestRunsOfAResult(t *testing.T) {
	for _, test := range []struct {
		result string
		status enumspb.WorkflowExecutionStatus
		want   []string
	}{
		{"complete", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, []string{"10"}},
		{"partly", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, []string{"30", "15"}},
		{"failed", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, []string{"00"}},
		{"running", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, []string{"45"}},
		{"unfinished", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil},
		{"running", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil},
		{"unfinished", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, []string{"45"}},
		{"unfinished", enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED, []string{"45"}}, // Temporal has forgotten it
	} {
		f := newFake()
		f.status = test.status
		f.answers = []workflows.LookupPage{runsPage("", someRuns()...)}
		got := f.start(t.Context(), "runs", "--result", test.result, "-o", "csv")
		assert.Equal(t, test.want, runsIn(got.stdout), "%s %s", test.result, test.status)
		in := *f.lookups[0].Runs
		assert.Equal(t, test.result == "running" || test.result == "unfinished", in.Open)
		assert.Equal(t, runsAtOnce, in.Limit)
	}
}

// TestEnoughRuns: no more pages are asked for than are needed, and what is left out is told.
func TestEnoughRuns(t *testing.T) {
	for limit, want := range map[int]struct {
		asked int
		more  bool
	}{1: {1, true}, 2: {1, true}, 4: {2, true}, 5: {2, false}, 6: {2, false}} {
		f := newFake()
		all := someRuns()
		f.answers = []workflows.LookupPage{runsPage("c", all[:2]...), runsPage("", all[2:]...)}
		got := f.start(t.Context(), "runs", "--limit", fmt.Sprint(limit))
		assert.Len(t, f.lookups, want.asked, "limit %d", limit)
		assert.Equal(t, want.more, strings.Contains(got.stdout, "there are older ones"), "limit %d", limit)
		assert.Contains(t, got.stdout, count(min(limit, 5), "run"))
	}
}

// TestRunsOfAServer: a run that was cancelled, or goes on, says nothing of a server that was complete in it.
func TestRunsOfAServer(t *testing.T) {
	f := newFake()
	alone := someRuns()[:2]
	busy := catalog.RunSummary{RunRow: someRuns()[2].RunRow, Servers: 1, Troubles: []catalog.Trouble{{Reason: "running", Count: 1, Example: "branch-001"}}}
	f.answers = []workflows.LookupPage{runsPage("", append(alone, busy)...)}
	got := f.start(t.Context(), "runs", "--server", "branch-001", "--since", "2026-11-01", "--until", "2026-12-01T00:00:00+08:00", "--kind", "collect")
	assert.Equal(t, catalog.RunsQuery{
		Server: "branch-001", Kind: "collect", Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 30, 16, 0, 0, 0, time.UTC),
	}, utc(f.lookups[0].Runs.RunsQuery))
	assert.Contains(t, got.stdout, "Runs of server branch-001")
	assert.Equal(t, 2, strings.Count(got.stdout, "complete"))
	assert.NotContains(t, got.stdout, "unfinished")
	assert.Equal(t, 1, strings.Count(got.stdout, "│ running "))
}

// TestWaitingArchives: what waits for an eagle is not there yet, so a run that has nothing else is no success in part.
func TestWaitingArchives(t *testing.T) {
	run := catalog.RunSummary{RunRow: someRuns()[4].RunRow, Servers: 1, Bad: 1, Archives: 2, ArchivesWaiting: 2}
	entry, err := entryOf(t.Context(), newFake(), run, false)
	require.NoError(t, err)
	assert.Equal(t, wordFailed, entry.Status)
}

func utc(q catalog.RunsQuery) catalog.RunsQuery {
	q.Since, q.Until = q.Since.UTC(), q.Until.UTC()
	return q
}

func TestRunsRefused(t *testing.T) {
	for _, wrong := range [][]string{
		{"--since", "yesterday"}, {"--until", "-3h"}, {"--result", "good"}, {"--kind", "probe"}, {"--limit", "0"}, {"-o", "xml"},
	} {
		f := newFake()
		f.start(t.Context(), append([]string{"runs"}, wrong...)...).unusable(t, strings.TrimLeft(wrong[0], "-"), wrong[1])
		assert.Zero(t, f.dialled)
	}
	f := newFake()
	f.answers = []workflows.LookupPage{{}}
	f.start(t.Context(), "runs").unusable(t, "older than this program")
}

func TestMoments(t *testing.T) {
	now := at(15, 0)
	for text, want := range map[string]time.Time{
		"": {}, "15m": at(0, 0), "2d": now.AddDate(0, 0, -2), "1.5d": now.Add(-36 * time.Hour), "2026-11-20": time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
		"2026-11-23 05:16": at(16, 0), "2026-11-23 05:16:02": at(16, 2), "2026-11-23T05:16": at(16, 0), "2026-11-23T13:16:02+08:00": at(16, 2),
	} {
		got, err := parseMoment("since", text, now)
		require.NoError(t, err, text)
		assert.True(t, want.Equal(got), "%s: %s", text, got)
	}
	for _, text := range []string{"d", "-1d", "-1h", "5", "2026-13-01", "23.11.2026"} {
		_, err := parseMoment("since", text, now)
		require.ErrorContains(t, err, "--since \""+text+"\"")
	}
}
