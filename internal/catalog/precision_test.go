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
			_, err := catalog.PlanListing(t.Context(), "run1", "s", []Listed{listed}, 0)
			require.NoError(t, err)
			entries, err := catalog.NextEntries(t.Context(), "run1", "s", 0, 10)
			require.NoError(t, err)
			_, err = catalog.Settle(t.Context(), Page{Run: "run1", Server: "s", ZipDir: "/zip", Files: []Settled{
				{EntryID: entries[0].ID, State: StateCollected, SHA256: "x", Size: 1, LocalPath: "s/a"},
			}})
			require.NoError(t, err)
			listed.ModTime, listed.Precision = c.again, c.againPrecision
			books, err := catalog.PlanListing(t.Context(), "run2", "s", []Listed{listed}, 0)
			require.NoError(t, err)
			assert.Equal(t, c.unchanged, books.Unchanged)
		})
	}
}
