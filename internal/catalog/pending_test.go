package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettlePendingFailsOnlyWhatIsPending(t *testing.T) {
	c := open(t)
	listed := []Listed{
		{RawPath: "/a", Path: "a", Size: 1, ModTime: time.Unix(1, 0), State: StatePending},
		{RawPath: "/b", Path: "b", Size: 2, ModTime: time.Unix(1, 0), State: StateDeferred, Reason: "too_young"},
	}
	for _, server := range []string{"s1", "s2"} {
		_, err := c.PlanListing(t.Context(), "run", server, each(listed), PlanOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, c.SettlePending(t.Context(), "run", "s1", "server_unreachable", "gone"))
	books, err := c.Books(t.Context(), "run", "s1")
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: 2, Deferred: 1, Failed: 1}, books)
	books, err = c.Books(t.Context(), "run", "s2")
	require.NoError(t, err)
	assert.Equal(t, Books{Listed: 2, Deferred: 1, Pending: 1}, books)
}
