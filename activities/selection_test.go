package activities

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/config"
	"talon/internal/ftpclient/ftptest"
)

// wanted are the names of a page.
func wanted(page FilePage) []string {
	names := make([]string, len(page.Files))
	for i, file := range page.Files {
		names[i] = file.Name
	}
	return names
}

// TestSelection: what is not asked for is excluded, what is asked for later is deferred, and the books balance.
func TestSelection(t *testing.T) {
	now := time.Now().UTC()
	for settings, want := range map[string]struct {
		pages    []string
		deferred map[string]string
		excluded int
	}{
		"":                                   {pages: []string{"big.zip", "done.csv", "done.csv.ok", "new.csv", "old.csv", "open.csv"}},
		`, include: ['re:^(old|new)\.csv$']`: {pages: []string{"new.csv", "old.csv"}, excluded: 4},
		`, include: ["*.csv"], exclude: ["re:o"]`: {pages: []string{"new.csv"}, excluded: 5},
		", min_size: 6B": {pages: []string{"big.zip"}, excluded: 5},
		", max_size: 5B": {pages: []string{"done.csv", "done.csv.ok", "new.csv", "old.csv", "open.csv"}, excluded: 1},
		", max_age: 24h": {pages: []string{"big.zip", "done.csv", "done.csv.ok", "new.csv", "open.csv"}, excluded: 1},
		", min_age: 1h": {
			pages: []string{"big.zip", "done.csv", "done.csv.ok", "old.csv", "open.csv"}, deferred: map[string]string{"new.csv": "deferred too_young"},
		},
		`, include: ["*.csv"], done_marker: "{name}.ok"`: {
			pages: []string{"done.csv"}, excluded: 2,
			deferred: map[string]string{"new.csv": "deferred not_done", "old.csv": "deferred not_done", "open.csv": "deferred not_done"},
		},
		", max_files: 2": {
			pages: []string{"big.zip", "old.csv"}, // the oldest first
			deferred: map[string]string{
				"done.csv": "deferred over_quota", "done.csv.ok": "deferred over_quota", "new.csv": "deferred over_quota", "open.csv": "deferred over_quota",
			},
		},
	} {
		t.Run(settings, func(t *testing.T) {
			s, branch := newScripted(t, ftptest.Options{}, settings)
			for name, age := range map[string]time.Duration{"old.csv": 48 * time.Hour, "done.csv": 2 * time.Hour, "open.csv": 2 * time.Hour, "new.csv": time.Minute} {
				branch.Put("/outgoing/"+name, []byte("12345"), now.Add(-age))
			}
			branch.Put("/outgoing/done.csv.ok", nil, now.Add(-2*time.Hour))
			branch.Put("/outgoing/big.zip", []byte("more than five"), now.Add(-3*time.Hour))
			page := s.list(run1)
			assert.ElementsMatch(t, want.pages, wanted(page))
			assert.Equal(t, want.excluded, page.Books.Excluded)
			entries := s.entries(run1)
			maps.DeleteFunc(entries, func(_, state string) bool { return state == "pending" })
			if want.deferred == nil {
				want.deferred = map[string]string{}
			}
			assert.Equal(t, want.deferred, entries)
			assert.Equal(t, page.Books.Listed, len(page.Files)+page.Books.Deferred)
		})
	}
}

// TestQuotaIsWorkedOff: what is over the quota of one run is collected by the next ones.
func TestQuotaIsWorkedOff(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, ", max_files: 2")
	for i := range 5 {
		branch.Put(fmt.Sprintf("/outgoing/%d.csv", i), []byte("x"), written.Add(-time.Duration(i)*time.Hour))
	}
	for i, want := range [][]string{{"3.csv", "4.csv"}, {"1.csv", "2.csv"}, {"0.csv"}, {}} {
		run := fmt.Sprintf("collect/%d", i)
		page := s.list(run)
		assert.ElementsMatch(t, want, wanted(page))
		row := do(s, s.tiger.CommitServer, s.commitInput(run, s.download(run, page))).Row
		assert.Equal(t, Success, row.Result, "waiting is no failure")
	}
}

// TestBaseline: what is there on the first day can be adopted; what comes later, or changes, is collected.
func TestBaseline(t *testing.T) {
	for baseline, first := range map[string][]string{
		"collect":            {"new.csv", "old.csv"},
		"adopt":              {},
		"{from: 2026-06-15}": {"new.csv"},
	} {
		t.Run(baseline, func(t *testing.T) {
			s, branch := newScripted(t, ftptest.Options{}, ", baseline: "+baseline)
			branch.Put("/outgoing/old.csv", []byte("old"), written.AddDate(0, -1, 0))
			branch.Put("/outgoing/new.csv", []byte("new"), written)
			page := s.list(run1)
			assert.ElementsMatch(t, first, wanted(page))
			assert.Equal(t, 2-len(first), page.Books.Adopted)
			do(s, s.tiger.CommitServer, s.commitInput(run1, s.download(run1, page)))

			branch.Put("/outgoing/late.csv", []byte("late"), written.AddDate(0, -1, 0))
			branch.Put("/outgoing/old.csv", []byte("old, again"), written.AddDate(0, -1, 1))
			assert.ElementsMatch(t, []string{"late.csv", "old.csv"}, wanted(s.list(run2)))
		})
	}
}

// TestStability: a file that is being written is left alone until two listings show the same of it.
func TestStability(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, ", stable: 1ms")
	branch.Put("/outgoing/still.csv", []byte("complete"), written)
	branch.Put("/outgoing/growing.csv", []byte("begin"), written)
	page := s.list(run1)
	assert.Empty(t, page.Files)
	assert.Equal(t, time.Millisecond, page.Recheck, "the run looks again")
	assert.Equal(t, 2, page.Books.Deferred)

	require.Eventually(t, func() bool { // the two listings must be that far apart
		grown := branch.File("/outgoing/growing.csv")
		branch.Put("/outgoing/growing.csv", []byte("begin, and more"), grown.Modified.Add(time.Second))
		page = s.list(run1)
		return len(page.Files) > 0
	}, 10*time.Second, time.Millisecond)
	assert.Equal(t, []string{"still.csv"}, wanted(page))
	assert.Equal(t, map[string]string{"still.csv": "pending", "growing.csv": "deferred not_stable"}, s.entries(run1))

	s.set(func(server *config.Server) { server.Stable = time.Hour })
	branch.Put("/outgoing/other.csv", []byte("x"), written)
	assert.Zero(t, s.list(run2).Recheck, "no run waits for an hour")
}

// TestShrunkenListing: a listing that lost most of its files is looked at twice, and reported.
func TestShrunkenListing(t *testing.T) {
	const files = 20
	fill := func(branch *ftptest.Server) {
		for i := range files {
			branch.Put(fmt.Sprintf("/outgoing/%02d.csv", i), []byte("x"), written)
		}
	}
	t.Run("cut off once", func(t *testing.T) {
		s, branch := newScripted(t, ftptest.Options{}, "")
		fill(branch)
		s.collect(run1)
		branch.Put("/outgoing/20.csv", []byte("new"), written)
		branch.On("MLSD", ftptest.First(1, ftptest.Cut(0, "226 Transfer complete."), ftptest.Default("MLSD")))
		page := s.list(run2)
		assert.Equal(t, []string{"20.csv"}, wanted(page), "the longer listing counts")
		assert.Empty(t, page.Shrank)
		assert.Equal(t, 2, branch.Commands("MLSD")-1, "it is listed twice")
	})
	t.Run("tidied away", func(t *testing.T) {
		s, branch := newScripted(t, ftptest.Options{}, "")
		fill(branch)
		s.collect(run1)
		for i := range files - 1 {
			branch.Remove(fmt.Sprintf("/outgoing/%02d.csv", i))
		}
		page := s.list(run2)
		require.NotEmpty(t, page.Shrank)
		in := s.commitInput(run2, nil)
		in.Close.Shrank = page.Shrank
		row := do(s, s.tiger.CommitServer, in).Row
		assert.Equal(t, Partial, row.Result)
		assert.Equal(t, "listing_shrank", row.Reason)
		assert.Empty(t, s.list("collect/wednesday").Shrank, "the next run compares with this one")
	})
	for _, settings := range []string{", on_shrink: ignore", ", after: delete"} {
		t.Run(settings, func(t *testing.T) {
			s, branch := newScripted(t, ftptest.Options{}, settings)
			fill(branch)
			s.collect(run1)
			for name := range branch.Files() {
				branch.Remove(name)
			}
			assert.Empty(t, s.list(run2).Shrank)
		})
	}
}

// TestTimesInAZone: LIST shows the server's wall clock, and only MDTM or the configuration tells its zone.
func TestTimesInAZone(t *testing.T) {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	require.NoError(t, err)
	for settings, warnings := range map[string]int{
		"":                            0,
		", timezone: Asia/Shanghai":   0,
		", timezone: America/Chicago": 1,
	} {
		t.Run(settings, func(t *testing.T) {
			s, branch := newScripted(t, ftptest.Options{Location: shanghai, Without: []string{"MLSD"}}, ", min_age: 1h"+settings)
			branch.Put("/outgoing/young.csv", []byte("young"), time.Now().Add(-2*time.Minute))
			branch.Put("/outgoing/ripe.csv", []byte("ripe"), time.Now().Add(-2*time.Hour))
			page := s.list(run1)
			assert.Len(t, page.Warnings, warnings, page.Warnings)
			if warnings == 0 {
				assert.Equal(t, []string{"ripe.csv"}, wanted(page))
			}
			known, err := s.tiger.knownBehaviour(t.Context(), "branch-001")
			require.NoError(t, err)
			assert.True(t, known.ZoneKnown)
			assert.Equal(t, 480, known.ZoneMinutes, "it is remembered")
		})
	}
}

// TestAnotherListingCommandChangesNoFile: MLSD shows UTC, LIST the server's clock; a server that loses one of them must not look as if every
// file were new.
func TestAnotherListingCommandChangesNoFile(t *testing.T) {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	require.NoError(t, err)
	s, branch := newScripted(t, ftptest.Options{Location: shanghai}, "")
	at := time.Now().Add(-30 * 24 * time.Hour)
	branch.Put("/outgoing/a.csv", []byte("alpha"), at)
	s.collect(run1)
	branch.On("MLSD", ftptest.Say("500 not any more"))
	page := s.list(run2)
	assert.Empty(t, page.Files)
	assert.Equal(t, 1, page.Books.Unchanged)
	require.Len(t, page.Warnings, 1)
	assert.Contains(t, page.Warnings[0], "LIST")
	before := branch.Commands("MLSD")
	assert.Empty(t, s.list("collect/wednesday").Warnings, "it is said once")
	assert.Equal(t, before, branch.Commands("MLSD"), "and asked for no more")

	s.open() // another worker, which commits first and lists then
	do(s, s.tiger.CommitServer, s.commitInput("collect/wednesday", nil))
	branch.Put("/outgoing/b.csv", []byte("beta"), at)
	s.collect("collect/thursday") // as LIST shows it
	assert.Equal(t, before, branch.Commands("MLSD"), "what was learned is kept by whoever closes the books")
	branch.Off("MLSD")
	s.set(func(server *config.Server) { server.Listing = config.ListingMLSD })
	assert.Empty(t, s.list("collect/friday").Files, "and back")
}

// TestAfterRename: a file that was collected keeps its place under a name that is not collected, and its done marker goes.
func TestAfterRename(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, `, after: {rename: "{name}.collected"}, done_marker: "{stem}.ok"`)
	branch.Put("/outgoing/a.csv", []byte("alpha"), written)
	branch.Put("/outgoing/a.ok", nil, written)
	branch.Put("/outgoing/b.csv", []byte("beta"), written)
	s.collect(run1)
	assert.ElementsMatch(t, []string{"/outgoing/a.csv.collected", "/outgoing/b.csv"}, slices.Collect(maps.Keys(branch.Files())))

	branch.Put("/outgoing/a.csv", []byte("alpha two"), written.Add(time.Hour))
	branch.Put("/outgoing/a.ok", nil, written)
	s.collect(run2)
	assert.ElementsMatch(t, []string{"/outgoing/a.csv.collected", "/outgoing/a~2.csv.collected", "/outgoing/b.csv"},
		slices.Collect(maps.Keys(branch.Files())))
	assert.Equal(t, map[string]string{branchFile("a.csv"): "alpha", branchFile("a~2.csv"): "alpha two"}, s.zip())
	assert.Equal(t, Books{Listed: 1, Excluded: 2, Deferred: 1}, s.list("collect/wednesday").Books)
}

// TestSharedMarker: a marker of two files stays until both are here.
func TestSharedMarker(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, `, after: delete, done_marker: "{stem}.ok"`)
	branch.Put("/outgoing/a.csv", []byte("alpha"), written)
	branch.Put("/outgoing/a.txt", []byte("about alpha"), written)
	branch.Put("/outgoing/a.ok", nil, written)
	page := s.list(run1)
	require.Len(t, page.Files, 2)
	outcomes := s.download(run1, FilePage{Files: page.Files[:1]})
	outcomes = append(outcomes, FileOutcome{ID: page.Files[1].ID, State: "failed", Reason: "file_busy"})
	do(s, s.tiger.CommitServer, s.commitInput(run1, outcomes))
	assert.ElementsMatch(t, []string{"/outgoing/" + page.Files[1].Name, "/outgoing/a.ok"}, slices.Collect(maps.Keys(branch.Files())))

	s.collect(run2)
	assert.Len(t, s.zip(), 2)
	assert.Empty(t, branch.Files())
}

func branchFile(name string) string { return branch + "/" + name }

// TestRemoteActionsThatFailAreReported: nothing is lost by them, but somebody must grant the right.
func TestRemoteActionsThatFailAreReported(t *testing.T) {
	s, branch := newScripted(t, ftptest.Options{}, ", after: delete")
	branch.Put("/outgoing/a.csv", []byte("alpha"), written)
	branch.Deny("/outgoing/a.csv", "550 Permission denied.", "DELE")
	row := s.collect(run1).Row
	assert.Equal(t, Success, row.Result)
	require.Len(t, row.Warnings, 1)
	assert.Contains(t, row.Warnings[0], "1 collected files could not be deleted")
	assert.Contains(t, row.Warnings[0], "Permission denied")
	branch.Allow("/outgoing/a.csv")
	assert.Empty(t, s.collect(run2).Row.Warnings)
	assert.Empty(t, branch.Files())
}
