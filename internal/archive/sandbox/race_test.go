//go:build race

package sandbox_test

// raceDetector needs memory of its own, and has its own words for the lack of it.
const raceDetector = true
