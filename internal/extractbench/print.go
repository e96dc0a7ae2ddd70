package extractbench

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"

	"talon/internal/contest"
)

// PrintJSON writes one JSON document.
func (r Result) PrintJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// PrintTables writes a table of contenders, one of cases, and why something was not measured.
func (r Result) PrintTables(w io.Writer) {
	r.printContenders(w)
	r.printCases(w)
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
}

func (r Result) printContenders(w io.Writer) {
	t := contest.NewTable(w, "Contenders", table.Row{"Case", "Program", "Best s", "Median s", "CPU s", "Peak MB"}, 3)
	for _, c := range r.Cases {
		for _, contender := range c.Contenders {
			if contender.Skipped == "" {
				t.AppendRow(table.Row{
					c.Case, contender.Name, contest.Seconds(contender.Best), contest.Seconds(contender.Median), contest.Seconds(contender.CPU), r.peak(contender),
				})
			}
		}
		t.AppendSeparator()
	}
	t.Render()
}

func (r Result) printCases(w io.Writer) {
	header := table.Row{"Case", "", "Best peer", "Archives", "MB", "Files", "MB", "Talon s", "Peer s", "Ratio", "Target", "Reached"}
	t := contest.NewTable(w, "Talon and the fastest of the others", header, 4)
	for _, c := range r.Cases {
		row := table.Row{c.Case, c.Title, c.Peer, c.Archives, contest.Megabytes(c.ArchiveBytes), c.Files, contest.Megabytes(c.Bytes)}
		if c.Problem == "" {
			row = append(row, contest.Seconds(c.best(talon)), contest.Seconds(c.best(c.Peer)), fmt.Sprintf("%.2f", c.Ratio))
		} else {
			row = append(row, "-", "-", "-")
		}
		t.AppendRow(append(row, fmt.Sprintf("%.2f", c.Target), map[bool]string{true: "yes", false: "NO"}[c.Reached]))
	}
	t.Render()
}

// peak is the memory of a contender in MB, unless it is too little to be seen.
func (r Result) peak(c ContenderResult) string {
	if c.Memory <= r.MemoryFloor {
		return "< " + contest.Megabytes(r.MemoryFloor)
	}
	return contest.Megabytes(c.Memory)
}

// best is the best time of a contender, in seconds.
func (c CaseResult) best(name string) float64 {
	for _, contender := range c.Contenders {
		if contender.Name == name {
			return contender.Best
		}
	}
	return 0
}
