//go:build race

package catalog

// manyFiles is smaller here: the race detector makes the database some twenty times slower.
const manyFiles = 5_000
