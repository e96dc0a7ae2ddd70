//go:build race

package e2e

import "time"

// buildFlags make the programs what this test binary is: their races end up in their logs, which every test reads.
var buildFlags = []string{"-race"}

const buildCGO = "CGO_ENABLED=1"

// patience bounds every wait for a condition: the race detector makes everything about five times slower.
const patience = 10 * time.Minute
