package catalog

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aged are files of ten bytes, each a minute younger than the one before, except that equal letters are of equal age.
func aged(names ...string) []Listed {
	listed := lines(names...)
	for i := range listed {
		listed[i].Size, listed[i].ModTime = 10, monday.Add(time.Duration(names[i][0])*time.Minute)
	}
	return listed
}

func pendingNames(t *testing.T, c *Catalog, run string) (names []string) {
	t.Helper()
	for _, e := range pendingIn(t, c, run) {
		names = append(names, e.Path)
	}
	return names
}

func TestARunTakesTheOldestFilesUpToItsQuota(t *testing.T) {
	listed := aged("e", "d", "b2", "b3", "b1", "a")
	huge := aged("a", "b", "c")
	huge[0].Size, huge[1].Size = math.MaxInt64, math.MaxInt64
	unknown := aged("b", "c", "a")
	unknown[2].Size, unknown[2].ModTime = -1, time.Time{}
	for name, q := range map[string]struct {
		listed   []Listed
		maxFiles int
		maxBytes int64
		want     []string
	}{
		"none":                       {listed, 0, 0, []string{"e", "d", "b2", "b3", "b1", "a"}},
		"enough":                     {listed, 6, 60, []string{"e", "d", "b2", "b3", "b1", "a"}},
		"files":                      {listed, 5, 0, []string{"d", "b2", "b3", "b1", "a"}},
		"files, by name in a minute": {listed, 3, 0, []string{"b2", "b1", "a"}},
		"files, a whole minute":      {listed, 4, 0, []string{"b2", "b3", "b1", "a"}},
		"one file":                   {listed, 1, 0, []string{"a"}},
		"bytes":                      {listed, 0, 50, []string{"d", "b2", "b3", "b1", "a"}},
		"bytes, not quite":           {listed, 0, 49, []string{"b2", "b3", "b1", "a"}},
		"bytes for no file":          {listed, 0, 1, []string{"a"}},
		"whichever comes first":      {listed, 2, 60, []string{"b1", "a"}},
		"a large file goes alone":    {huge, 0, 25, []string{"a"}},
		"sizes beyond all sums":      {huge, 2, 0, []string{"a", "b"}},
		"no size, no time":           {unknown, 0, 10, []string{"b", "a"}},
		"nothing":                    {nil, 1, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			var books Books
			twice(t, c, func() {
				books = planWith(t, c, testRun, q.listed, PlanOptions{MaxFiles: q.maxFiles, MaxBytes: q.maxBytes}).Books
			})
			assert.Equal(t, q.want, pendingNames(t, c, testRun))
			assert.Equal(t, Books{Listed: len(q.listed), Pending: len(q.want), Deferred: len(q.listed) - len(q.want)}, books)
		})
	}
}

func TestAQuotaIsOfARunWithWhatItHasCollected(t *testing.T) {
	c := open(t)
	listed := aged("a", "b", "c", "d")
	opt := PlanOptions{MaxFiles: 2, MaxBytes: 100}
	planWith(t, c, testRun, listed, opt)
	first := pendingIn(t, c, testRun)
	_, err := c.Settle(t.Context(), page(testRun, collected(first[0], "x/a")))
	require.NoError(t, err)
	plan := planWith(t, c, testRun, listed, opt)
	assert.Equal(t, Books{Listed: 4, Collected: 1, Pending: 1, Deferred: 2, Bytes: 10}, plan.Books)
	assert.Equal(t, first[1], pendingIn(t, c, testRun)[0], "what is planned again keeps its ID")
	_, err = c.Settle(t.Context(), page(testRun, collected(first[1], "x/b")))
	require.NoError(t, err)
	twice(t, c, func() {
		plan = planWith(t, c, testRun, listed, opt)
		assert.Equal(t, Books{Listed: 4, Collected: 2, Deferred: 2, Bytes: 20}, plan.Books, "the quota is used up")
	})
	var reason, detail string
	require.NoError(t, c.reader.QueryRow(`SELECT reason, detail FROM entries WHERE path = 'c'`).Scan(&reason, &detail))
	assert.Equal(t, ReasonOverQuota, reason)
	assert.Contains(t, detail, "2 files or 100 bytes")

	plan = planWith(t, c, "collect/next", listed, opt)
	assert.Equal(t, Books{Listed: 4, Unchanged: 2, Pending: 2}, plan.Books, "the next run has its own")
	assert.Equal(t, []string{"c", "d"}, pendingNames(t, c, "collect/next"))
}

func TestWhatIsNotStableTakesNoQuota(t *testing.T) {
	c := open(t)
	opt := stableAfter(0)
	opt.MaxFiles = 1
	planWith(t, c, testRun, aged("b", "c"), opt)
	opt.Now = opt.Now.Add(opt.Stable)
	plan := planWith(t, c, testRun, aged("a", "b", "c"), opt)
	assert.Equal(t, Plan{Books: Books{Listed: 3, Pending: 1, Deferred: 2}, Unstable: 1}, plan)
	assert.Equal(t, []string{"b"}, pendingNames(t, c, testRun))
}
