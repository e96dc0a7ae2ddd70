package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A listing tells minutes while a file is young and only the day when it is old (LIST), or seconds once the server offers MLSD.
func TestAFileIsNotChangedBecauseItsTimeIsToldMoreCoarsely(t *testing.T) {
	const day = 24 * time.Hour
	second := time.Date(2026, 3, 1, 13, 5, 7, 0, time.UTC)
	for _, c := range []struct {
		name                           string
		first, again                   time.Time
		firstPrecision, againPrecision time.Duration
		unchanged                      int
	}{
		{"minute, then day", second.Truncate(time.Minute), second.Truncate(day), time.Minute, day, 1},
		{"minute, then second", second.Truncate(time.Minute), second, time.Minute, time.Second, 1},
		{"another day", second.Truncate(time.Minute), second.Truncate(day).Add(day), time.Minute, day, 0},
		{"another minute", second.Truncate(time.Minute), second.Truncate(time.Minute).Add(time.Minute), time.Minute, time.Minute, 0},
		{"no precision: exact", second, second.Add(time.Second), 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			catalog := open(t)
			listed := Listed{RawPath: "/a", Path: "a", Size: 1, ModTime: c.first, Precision: c.firstPrecision, State: StatePending}
			_, err := catalog.PlanListing(t.Context(), "run1", "s", each([]Listed{listed}), PlanOptions{})
			require.NoError(t, err)
			entries, err := catalog.NextEntries(t.Context(), "run1", "s", 0, 10)
			require.NoError(t, err)
			_, err = catalog.Settle(t.Context(), Page{Run: "run1", Server: "s", ZipDir: "/zip", Files: []Settled{
				{EntryID: entries[0].ID, State: StateCollected, SHA256: "x", Size: 1, LocalPath: "s/a"},
			}})
			require.NoError(t, err)
			listed.ModTime, listed.Precision = c.again, c.againPrecision
			plan, err := catalog.PlanListing(t.Context(), "run2", "s", each([]Listed{listed}), PlanOptions{})
			require.NoError(t, err)
			assert.Equal(t, c.unchanged, plan.Books.Unchanged)
		})
	}
}

// A server that is listed by LIST one day and by MLSD the next shows all its times in another zone.
func TestAFileIsNotChangedBecauseAnotherKindOfListingShowsIt(t *testing.T) {
	const day = 24 * time.Hour
	utc := time.Date(2026, 3, 1, 21, 5, 7, 0, time.UTC)
	for _, east := range []time.Duration{8 * time.Hour, -5 * time.Hour} {
		wall := utc.Add(east)
		for _, c := range []struct {
			name         string
			first, again Listed
			knows        bool
		}{
			{
				"seconds, then minutes",
				Listed{ModTime: utc, Precision: time.Second},
				Listed{ModTime: wall.Truncate(time.Minute), Alias: wall.Truncate(time.Minute).Add(-east), Precision: time.Minute},
				true,
			},
			{
				"seconds, then days",
				Listed{ModTime: utc, Precision: time.Second},
				Listed{ModTime: wall.Truncate(day), Alias: wall.Truncate(day).Add(-east), Precision: day},
				true,
			},
			{
				"minutes, then seconds",
				Listed{ModTime: wall.Truncate(time.Minute), Precision: time.Minute},
				Listed{ModTime: utc, Alias: wall, Precision: time.Second},
				true,
			},
			{"exact", Listed{ModTime: utc}, Listed{ModTime: wall, Alias: utc}, true},
			{
				"another minute",
				Listed{ModTime: utc, Precision: time.Second},
				Listed{ModTime: wall.Add(time.Minute), Alias: utc.Add(time.Minute), Precision: time.Second},
				false,
			},
			{
				"no alias",
				Listed{ModTime: utc, Precision: time.Second},
				Listed{ModTime: wall.Truncate(time.Minute), Precision: time.Minute},
				false,
			},
			{"no time, no alias", Listed{}, Listed{ModTime: wall}, false},
		} {
			t.Run(c.name+" "+east.String(), func(t *testing.T) {
				catalog := open(t)
				for _, l := range []*Listed{&c.first, &c.again} {
					l.RawPath, l.Path, l.State = "/a", "a", StatePending
				}
				planIn(t, catalog, testRun, []Listed{c.first})
				_, err := catalog.Settle(t.Context(), page(testRun, collected(pendingIn(t, catalog, testRun)[0], "s/a")))
				require.NoError(t, err)
				again := planIn(t, catalog, testRun, []Listed{c.again})
				next := planIn(t, catalog, "collect/next", []Listed{c.again})
				if c.knows {
					assert.Equal(t, Books{Listed: 1, Collected: 1}, again, "in the same run")
					assert.Equal(t, Books{Listed: 1, Unchanged: 1}, next)
				} else {
					assert.Equal(t, Books{Listed: 2, Collected: 1, Pending: 1}, again, "in the same run")
					assert.Equal(t, Books{Listed: 1, Pending: 1}, next)
				}
				c.again.Size++
				assert.Equal(t, Books{Listed: 1, Pending: 1}, planIn(t, catalog, "collect/third", []Listed{c.again}), "another size")
			})
		}
	}
}
