package transferbench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"

	"talon/internal/contest"
)

// Result is what Run has measured. The names of its JSON are for other programs.
type Result struct {
	Cases  []CaseResult   `json:"cases,omitempty"`
	Memory []MemoryResult `json:"memory,omitempty"`
}

// CaseResult is what came out of a case.
type CaseResult struct {
	Case         string            `json:"case"`
	Title        string            `json:"title"`
	Archives     int               `json:"archives"`
	ArchiveBytes int64             `json:"archive_bytes"`
	Files        int               `json:"files"`
	Bytes        int64             `json:"bytes"`             // of all files
	Peer         string            `json:"peer"`              // the fastest
	Ratio        float64           `json:"ratio"`             // median time of Talon's transfer to that of the peer; 0: there is nothing to compare
	Problem      string            `json:"problem,omitempty"` // why there is no ratio
	Contenders   []ContenderResult `json:"contenders"`        // in the order of Contenders()
}

// ContenderResult is what came out of a contender in a case. Times are wall times in seconds.
type ContenderResult struct {
	Name    string  `json:"name"`
	Runs    int     `json:"runs"`
	Best    float64 `json:"best"`
	Median  float64 `json:"median"`
	Worst   float64 `json:"worst"`
	CPU     float64 `json:"cpu"`               // user and system seconds of both hosts in the best run
	Peer    bool    `json:"peer"`              // another program than Talon
	Skipped string  `json:"skipped,omitempty"` // why it was not measured
}

// Verified says whether Talon was shown to do the work wherever it was asked to.
func (r Result) Verified() bool {
	failed := slices.ContainsFunc(r.Cases, func(c CaseResult) bool {
		return slices.ContainsFunc(c.Contenders, func(c ContenderResult) bool { return !c.Peer && c.Skipped != "" })
	})
	return !failed && !slices.ContainsFunc(r.Memory, func(m MemoryResult) bool { return m.Problem != "" })
}

func (m *measurement) result() CaseResult {
	r := CaseResult{
		Case: m.name, Title: m.title, Archives: m.corpus.count, ArchiveBytes: m.corpus.bytes, Files: len(m.corpus.tree.Files), Bytes: m.corpus.tree.Bytes,
	}
	if m.err != nil {
		r.Problem = m.err.Error()
		return r
	}
	for _, c := range m.contenders {
		one := ContenderResult{Name: c.name, Peer: c.peer != nil, Skipped: m.dropped[c.name]}
		if one.Skipped == "" {
			s := contest.Summarise(m.samples[c.name])
			one.Runs, one.Best, one.Median, one.Worst = len(m.samples[c.name]), s.Best.Seconds(), s.Median.Seconds(), s.Worst.Seconds()
			one.CPU = s.CPU.Seconds()
		}
		r.Contenders = append(r.Contenders, one)
	}
	r.compare()
	return r
}

// compare sets Talon's transfer against the fastest of the peers.
func (r *CaseResult) compare() {
	measured := slices.DeleteFunc(slices.Clone(r.Contenders), func(c ContenderResult) bool { return c.Skipped != "" })
	slices.SortStableFunc(measured, func(a, b ContenderResult) int { return cmp.Compare(a.Median, b.Median) })
	talon := slices.IndexFunc(measured, func(c ContenderResult) bool { return c.Name == own })
	peer := slices.IndexFunc(measured, func(c ContenderResult) bool { return c.Peer })
	switch {
	case talon < 0:
		r.Problem = "Talon's transfer was not measured"
	case peer < 0:
		r.Problem = "there is no peer"
	default:
		r.Peer, r.Ratio = measured[peer].Name, measured[talon].Median/measured[peer].Median
	}
}

// median is the median time of a contender, in seconds.
func (r CaseResult) median(name string) float64 {
	i := slices.IndexFunc(r.Contenders, func(c ContenderResult) bool { return c.Name == name })
	if i < 0 {
		return 0
	}
	return r.Contenders[i].Median
}

// PrintJSON writes one JSON document.
func (r Result) PrintJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// PrintTables writes a table of contenders and one of cases, or one of the memory, and why something was not measured.
func (r Result) PrintTables(w io.Writer) {
	if len(r.Cases) > 0 {
		r.printContenders(w)
		r.printCases(w)
	}
	for _, c := range r.Cases {
		if c.Problem != "" {
			fmt.Fprintf(w, "%s: no ratio: %s\n", c.Case, c.Problem)
		}
		for _, contender := range c.Contenders {
			if contender.Skipped != "" {
				fmt.Fprintf(w, "%s: without %s: %s\n", c.Case, contender.Name, contender.Skipped)
			}
		}
	}
	if len(r.Memory) > 0 {
		printMemory(w, r.Memory)
	}
}

func (r Result) printContenders(w io.Writer) {
	t := contest.NewTable(w, "Contenders", table.Row{"Case", "Program", "Runs", "Best s", "Median s", "Worst s", "CPU s", "MB/s", "Files/s", "Talon ×"}, 3)
	for _, c := range r.Cases {
		for _, contender := range c.Contenders {
			if contender.Skipped != "" {
				continue
			}
			times := "-"
			if talon := c.median(own); talon > 0 {
				times = fmt.Sprintf("%.2f", contender.Median/talon)
			}
			t.AppendRow(table.Row{
				c.Case, contender.Name, contender.Runs, contest.Seconds(contender.Best), contest.Seconds(contender.Median), contest.Seconds(contender.Worst),
				fmt.Sprintf("%.2f", contender.CPU), fmt.Sprintf("%.1f", float64(c.Bytes)/1e6/contender.Median), fmt.Sprintf("%.0f", float64(c.Files)/contender.Median), times,
			})
		}
		t.AppendSeparator()
	}
	t.Render()
}

func (r Result) printCases(w io.Writer) {
	header := table.Row{"Case", "", "Best peer", "Archives", "MB", "Files", "MB", "Talon s", "Peer s", "Ratio"}
	t := contest.NewTable(w, "Talon's transfer and the fastest of the others", header, 4)
	for _, c := range r.Cases {
		row := table.Row{c.Case, c.Title, c.Peer, c.Archives, contest.Megabytes(c.ArchiveBytes), c.Files, contest.Megabytes(c.Bytes)}
		if c.Problem == "" {
			row = append(row, contest.Seconds(c.median(own)), contest.Seconds(c.median(c.Peer)), fmt.Sprintf("%.2f", c.Ratio))
		} else {
			row = append(row, "-", "-", "-")
		}
		t.AppendRow(row)
	}
	t.Render()
}
