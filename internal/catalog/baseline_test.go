package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var adoptAll = PlanOptions{Baseline: Baseline{Adopt: true}}

func TestTheFirstListingIsAdopted(t *testing.T) {
	c := open(t)
	listed := lines("a", "b\xff", "young", "evil")
	listed[2].State, listed[2].Reason = StateDeferred, "too_young"
	listed[3].State, listed[3].Reason = StateRefused, "unsafe_name"
	want := Plan{Books: Books{Listed: 4, Unchanged: 3, Adopted: 3, Refused: 1}}
	twice(t, c, func() { assert.Equal(t, want, planWith(t, c, testRun, listed, adoptAll)) })
	books, err := c.Books(t.Context(), testRun, testServer)
	require.NoError(t, err)
	assert.Equal(t, want.Books, books)

	late := append(listed, line("late"))
	plan := planWith(t, c, testRun, late, adoptAll)
	assert.Equal(t, Books{Listed: 5, Unchanged: 3, Adopted: 3, Refused: 1, Pending: 1}, plan.Books, "what came since is new, in the same run too")

	late[0].Size++
	late[1].ModTime = late[1].ModTime.Add(time.Second)
	plan = planWith(t, c, "collect/next", late, adoptAll)
	assert.Equal(t, Books{Listed: 5, Unchanged: 1, Refused: 1, Pending: 3}, plan.Books, "what was adopted and changed is new")

	other, err := c.PlanListing(t.Context(), "collect/next", "branch-002", each(lines("a")), PlanOptions{})
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: 1, Pending: 1}, other.Books, "another server's files are its own")
}

func TestWhatIsOlderThanADateIsAdopted(t *testing.T) {
	c := open(t)
	listed := lines("old", "at", "new", "timeless")
	listed[0].ModTime = monday.Add(-time.Nanosecond)
	listed[2].ModTime = monday.Add(time.Nanosecond)
	listed[3].ModTime = time.Time{}
	plan := planWith(t, c, testRun, listed, PlanOptions{Baseline: Baseline{Before: monday}})
	assert.Equal(t, Books{Listed: 4, Unchanged: 1, Adopted: 1, Pending: 3}, plan.Books)
}

func TestOnlyTheFirstListingCanBeAdopted(t *testing.T) {
	c := open(t)
	planIn(t, c, testRun, nil)
	assert.Equal(t, Books{Listed: 1, Pending: 1}, planWith(t, c, "collect/next", lines("a"), adoptAll).Books)

	d := open(t)
	_, err := d.PlanListing(t.Context(), testRun, testServer, func(yield func(Listed, error) bool) {
		yield(Listed{}, assert.AnError)
	}, adoptAll)
	require.Error(t, err)
	assert.Equal(t, 1, planWith(t, d, "collect/next", lines("a"), adoptAll).Books.Adopted, "a listing that failed was none")
}

func TestAnAdoptedFileIsKnownAsFarAsItsTimeIsTold(t *testing.T) {
	c := open(t)
	l := line("a")
	l.ModTime, l.Precision = monday.Truncate(time.Minute), time.Minute
	planWith(t, c, testRun, []Listed{l}, adoptAll)
	l.ModTime, l.Precision = monday.Truncate(24*time.Hour), 24*time.Hour
	assert.Equal(t, Books{Listed: 1, Unchanged: 1}, planIn(t, c, "collect/next", []Listed{l}))
	l.ModTime, l.Alias, l.Precision = monday.Add(8*time.Hour), monday, time.Second
	assert.Equal(t, Books{Listed: 1, Unchanged: 1}, planIn(t, c, "collect/third", []Listed{l}))
}
