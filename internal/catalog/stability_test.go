package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stableAfter asks for five minutes, at a moment that long after monday.
func stableAfter(d time.Duration) PlanOptions {
	return PlanOptions{Stable: 5 * time.Minute, Now: monday.Add(d)}
}

func observations(t *testing.T, c *Catalog) (count int) {
	t.Helper()
	require.NoError(t, c.reader.QueryRow("SELECT count(*) FROM observations").Scan(&count))
	return count
}

func TestAFileIsPendingOnceItHasStayedTheSame(t *testing.T) {
	c := open(t)
	listed := lines("a", "b", "young")
	listed[2].State, listed[2].Reason = StateDeferred, "too_young"
	unstable := Plan{Books: Books{Listed: 3, Deferred: 3}, Unstable: 2}
	twice(t, c, func() { assert.Equal(t, unstable, planWith(t, c, testRun, listed, stableAfter(0))) })
	var reason, detail string
	require.NoError(t, c.reader.QueryRow(`SELECT reason, detail FROM entries WHERE path = 'a'`).Scan(&reason, &detail))
	assert.Equal(t, ReasonNotStable, reason)
	assert.Contains(t, detail, "5m0s")
	assert.Contains(t, detail, "2026-11-02T08:15:00Z")

	listed[1].Size++
	assert.Equal(t, unstable, planWith(t, c, testRun, listed, stableAfter(5*time.Minute-1)), "too early for one, and the other has changed")
	due := Plan{Books: Books{Listed: 3, Deferred: 2, Pending: 1}, Unstable: 1}
	twice(t, c, func() { assert.Equal(t, due, planWith(t, c, testRun, listed, stableAfter(5*time.Minute))) })
	first := pendingIn(t, c, testRun)
	require.Len(t, first, 1)
	assert.Equal(t, "a", first[0].Path)
	due = Plan{Books: Books{Listed: 3, Deferred: 1, Pending: 2}}
	assert.Equal(t, due, planWith(t, c, testRun, listed, stableAfter(10*time.Minute)))
	assert.Equal(t, first[0], pendingIn(t, c, testRun)[0], "what is planned again keeps its ID")
	assert.Equal(t, due, planWith(t, c, "collect/next", listed, stableAfter(15*time.Minute)), "a failure does not begin the wait anew")
}

func TestWhatIsNoLongerListedOrWantedIsNotWatched(t *testing.T) {
	c := open(t)
	planWith(t, c, testRun, lines("a", "b", "c"), stableAfter(0))
	other, err := c.PlanListing(t.Context(), testRun, "branch-002", each(lines("a")), stableAfter(0))
	require.NoError(t, err)
	assert.Equal(t, 1, other.Unstable, "another server's files are its own")
	assert.Equal(t, 4, observations(t, c))
	planWith(t, c, testRun, lines("a", "b"), stableAfter(0))
	assert.Equal(t, 3, observations(t, c))
	plan := planWith(t, c, "collect/next", lines("a", "b", "c"), stableAfter(5*time.Minute))
	assert.Equal(t, Plan{Books: Books{Listed: 3, Deferred: 1, Pending: 2}, Unstable: 1}, plan, "c has come back: it is watched anew")
	_, err = c.Settle(t.Context(), page("collect/next", collected(pendingIn(t, c, "collect/next")[0], "x/a")))
	require.NoError(t, err)
	planWith(t, c, "collect/third", lines("a", "b", "c"), stableAfter(5*time.Minute))
	assert.Equal(t, 3, observations(t, c), "a is collected")
	assert.Equal(t, 2, planIn(t, c, "collect/fourth", lines("a", "b", "c")).Pending, "without the option nothing waits")
	assert.Equal(t, 1, observations(t, c))
}

func TestAFileDoesNotLookNewBecauseItsTimeIsToldMoreCoarsely(t *testing.T) {
	c := open(t)
	l := line("a")
	l.ModTime, l.Precision = monday.Truncate(time.Second), time.Second
	planWith(t, c, testRun, []Listed{l}, stableAfter(0))
	l.ModTime, l.Precision = monday.Truncate(time.Minute), time.Minute
	assert.Equal(t, 1, planWith(t, c, testRun, []Listed{l}, stableAfter(5*time.Minute)).Books.Pending)
}

func TestAClockThatIsSetBackDoesNotMakeFilesWaitForIt(t *testing.T) {
	c := open(t)
	planWith(t, c, testRun, lines("a"), stableAfter(1000*time.Hour))
	assert.Equal(t, 1, planWith(t, c, testRun, lines("a"), stableAfter(0)).Unstable)
	assert.Equal(t, 1, planWith(t, c, testRun, lines("a"), stableAfter(5*time.Minute)).Books.Pending)
}

func TestAdoptedFilesAreNotWatched(t *testing.T) {
	c := open(t)
	opt := stableAfter(0)
	opt.Baseline.Adopt = true
	assert.Equal(t, Plan{Books: Books{Listed: 1, Unchanged: 1, Adopted: 1}}, planWith(t, c, testRun, lines("a"), opt))
	assert.Zero(t, observations(t, c))
}
