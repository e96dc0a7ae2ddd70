package catalog

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPlanListing plans a large listing: of a server that is seen for the first time, and of one that has nothing new.
func BenchmarkPlanListing(b *testing.B) {
	listed := manyLines(100_000)
	for _, known := range []bool{false, true} {
		b.Run(fmt.Sprintf("known=%t", known), func(b *testing.B) {
			c, err := Open(b.Context(), filepath.Join(b.TempDir(), "c.db"))
			require.NoError(b, err)
			defer func() { require.NoError(b, c.Close()) }()
			plan := func(run string) {
				_, err := c.PlanListing(b.Context(), run, testServer, each(listed), PlanOptions{})
				require.NoError(b, err)
			}
			if known {
				plan(testRun)
				collectEverything(b, c)
			}
			b.ResetTimer()
			for i := range b.N {
				plan(fmt.Sprint("collect/", i))
			}
		})
	}
}
