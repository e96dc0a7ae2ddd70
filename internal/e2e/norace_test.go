//go:build !race

package e2e

import "time"

// buildFlags are empty: the programs are built as they are shipped, without C.
var buildFlags []string

const buildCGO = "CGO_ENABLED=0"

// patience bounds every wait for a condition.
const patience = 3 * time.Minute
