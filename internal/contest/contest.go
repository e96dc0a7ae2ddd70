// Package contest is what measurements of Talon beside other programs have in common: documents to work on, finding the programs,
// running them, showing that they have done the work, and tables of what came out.
package contest

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Sample is what one run cost.
type Sample struct {
	Wall   time.Duration
	CPU    time.Duration // user and system, of all processes
	Memory int64         // bytes, the largest resident set of one of the processes
}

// Summary is what came out of several runs.
type Summary struct {
	Best, Median, Worst time.Duration // of the wall times
	CPU                 time.Duration // of the best run
	Memory              int64         // bytes, the largest of all runs
}

// Summarise needs one sample at least.
func Summarise(samples []Sample) Summary {
	sorted := slices.SortedFunc(slices.Values(samples), func(a, b Sample) int { return cmp.Compare(a.Wall, b.Wall) })
	summary := Summary{Best: sorted[0].Wall, Median: median(sorted), Worst: sorted[len(sorted)-1].Wall, CPU: sorted[0].CPU}
	for _, s := range sorted {
		summary.Memory = max(summary.Memory, s.Memory)
	}
	return summary
}

// median is that of the wall times of sorted samples.
func median(sorted []Sample) time.Duration {
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle].Wall
	}
	return (sorted[middle-1].Wall + sorted[middle].Wall) / 2
}

// InTurn goes over all contenders, and begins with another one each round: what the machine does besides hits none more than
// the others.
func InTurn[T any](round int, all []T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range all {
			if !yield(all[(round+i)%len(all)]) {
				return
			}
		}
	}
}
