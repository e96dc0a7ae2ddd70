//go:build !race

package catalog

// manyFiles is the size of a large listing.
const manyFiles = 100_000
