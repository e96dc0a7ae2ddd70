package extractbench

import (
	"cmp"
	"slices"

	"talon/internal/contest"
)

// Result is what Run has measured. The names of its JSON are for other programs.
type Result struct {
	Cases []CaseResult `json:"cases"`
	// MemoryFloor is the largest resident set of the measuring process itself, in bytes. What it starts has its memory for a
	// moment, so that a smaller peak of theirs cannot be seen.
	MemoryFloor int64 `json:"memory_floor"`
}

// CaseResult is what came out of a case.
type CaseResult struct {
	Case         string            `json:"case"`
	Title        string            `json:"title"`
	Archives     int               `json:"archives"`
	ArchiveBytes int64             `json:"archive_bytes"`
	Files        int               `json:"files"`
	Bytes        int64             `json:"bytes"`  // of all files
	Peer         string            `json:"peer"`   // the fastest
	Ratio        float64           `json:"ratio"`  // Talon's best time to that of the peer; 0: there is nothing to compare
	Target       float64           `json:"target"` // for the ratio
	Reached      bool              `json:"reached"`
	Problem      string            `json:"problem,omitempty"` // why there is no ratio
	Contenders   []ContenderResult `json:"contenders"`        // those measured, the fastest first, then the others
}

// ContenderResult is what came out of a contender in a case.
type ContenderResult struct {
	Name    string  `json:"name"`
	Best    float64 `json:"best"`              // wall time in seconds
	Median  float64 `json:"median"`            // the same
	CPU     float64 `json:"cpu"`               // user and system seconds of the best run
	Memory  int64   `json:"memory"`            // bytes, the largest resident set of a process
	Skipped string  `json:"skipped,omitempty"` // why it was not measured
}

// Verified says whether Talon was shown to do the work in every case that could be prepared.
func (r Result) Verified() bool {
	return !slices.ContainsFunc(r.Cases, func(c CaseResult) bool {
		i := slices.IndexFunc(c.Contenders, isTalon)
		return i >= 0 && c.Contenders[i].Skipped != ""
	})
}

func isTalon(c ContenderResult) bool { return c.Name == talon }

func (m *measurement) result() CaseResult {
	r := CaseResult{
		Case: m.name, Title: m.title, Target: m.target,
		Archives: m.corpus.archives, ArchiveBytes: m.corpus.bytes, Files: len(m.corpus.tree.Files), Bytes: m.corpus.tree.Bytes,
	}
	if m.err != nil {
		r.Problem = m.err.Error()
		return r
	}
	var skipped []ContenderResult
	for _, c := range m.contenders {
		if reason, ok := m.dropped[c.name]; ok {
			skipped = append(skipped, ContenderResult{Name: c.name, Skipped: reason})
		} else {
			r.Contenders = append(r.Contenders, summarise(c.name, m.samples[c.name]))
		}
	}
	slices.SortStableFunc(r.Contenders, func(a, b ContenderResult) int { return cmp.Compare(a.Best, b.Best) })
	r.compare()
	r.Contenders = append(r.Contenders, skipped...)
	return r
}

// compare sets Talon against the fastest of the contenders that were measured.
func (r *CaseResult) compare() {
	own := slices.IndexFunc(r.Contenders, isTalon)
	peer := slices.IndexFunc(r.Contenders, func(c ContenderResult) bool { return !isTalon(c) })
	switch {
	case own < 0:
		r.Problem = "Talon does not do the work"
	case peer < 0:
		r.Problem = "there is no peer"
	default:
		r.Peer, r.Ratio = r.Contenders[peer].Name, r.Contenders[own].Best/r.Contenders[peer].Best
		r.Reached = r.Ratio <= r.Target
	}
}

func summarise(name string, samples []contest.Sample) ContenderResult {
	s := contest.Summarise(samples)
	return ContenderResult{Name: name, Best: s.Best.Seconds(), Median: s.Median.Seconds(), CPU: s.CPU.Seconds(), Memory: s.Memory}
}
