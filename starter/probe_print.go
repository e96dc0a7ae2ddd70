package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"

	"talon/activities"
	"talon/workflows"
)

// probeResult is the JSON of a probe. Its names are fixed: other programs read them.
type probeResult struct {
	Servers map[string]activities.ServerProbe `json:"servers"`
}

func printProbes(w io.Writer, probes []activities.ServerProbe, output string) error {
	if output == outputJSON {
		result := probeResult{Servers: map[string]activities.ServerProbe{}}
		for _, probe := range probes {
			result.Servers[probe.Server] = probe
		}
		return writeJSON(w, result)
	}
	printProbeTable(w, probes)
	for _, probe := range probes {
		printProblems(w, probe)
	}
	return nil
}

// rights are the checks of --write, with their columns.
var rights = []struct{ check, column string }{
	{activities.CheckStore, "Stores"}, {activities.CheckRename, "Renames"}, {activities.CheckMove, "Moves"}, {activities.CheckDelete, "Deletes"},
}

// sessionsColumn is the number of the column "Sessions", from 1.
const sessionsColumn = 10

// printProbeTable prints a line for each server, with columns for rights only where one was tried out.
func printProbeTable(w io.Writer, probes []activities.ServerProbe) {
	header := table.Row{"Server", "Result", "Login", "Lists", "Reads", "Resumes", "Data", "Listing", "Zone", "Sessions", "TLS"}
	shown := slices.DeleteFunc(slices.Clone(rights), func(right struct{ check, column string }) bool {
		return !slices.ContainsFunc(probes, func(p activities.ServerProbe) bool { return answer(p, right.check) != unknown })
	})
	for _, right := range shown {
		header = append(header, right.column)
	}
	t := newTable(w, "Servers", sessionsColumn, header)
	fine := 0
	for _, p := range probes {
		if p.Result == activities.Success {
			fine++
		}
		l := p.Learned
		row := table.Row{
			printable(p.Server), probeVerdict(p.Result), answer(p, activities.CheckLogin), answer(p, activities.CheckList), answer(p, activities.CheckRead),
			answer(p, activities.CheckResume), orUnknown(l.Passive), orUnknown(l.Listing), orUnknown(l.Zone), sessions(l.Sessions), encryption(p),
		}
		for _, right := range shown {
			row = append(row, answer(p, right.check))
		}
		t.AppendRow(row)
	}
	t.AppendFooter(table.Row{count(len(probes), "server"), fmt.Sprintf("%d fine", fine)})
	t.Render()
}

// unknown is what a table shows of what was not tried or did not show.
const unknown = "-"

func orUnknown(text string) string { return cmp.Or(printable(text), unknown) }

func sessions(n int) string {
	if n == 0 {
		return unknown
	}
	return fmt.Sprint(n)
}

// answer is the outcome of a check in a word.
func answer(p activities.ServerProbe, check string) string {
	for _, c := range p.Checks {
		if c.Name == check && c.Outcome == activities.CheckOK {
			return "yes"
		}
		if c.Name == check && c.Outcome == activities.CheckFailed {
			return "NO"
		}
	}
	return unknown
}

func encryption(p activities.ServerProbe) string {
	if p.Learned.TLS != "" && p.Learned.TLSResume == "no" {
		return printable(p.Learned.TLS) + ", not resumed"
	}
	return orUnknown(p.Learned.TLS)
}

func probeVerdict(result int) string {
	switch result {
	case activities.Success:
		return "fine"
	case activities.Failed:
		return "FAILED"
	default:
		return "problems"
	}
}

// printProblems says what is wrong with a server, and below each problem what to do about it.
func printProblems(w io.Writer, p activities.ServerProbe) {
	if len(p.Problems) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s", printable(p.Server))
	if p.Address != "" {
		fmt.Fprintf(w, " (%s)", printable(p.Address))
	}
	fmt.Fprintln(w)
	for _, problem := range p.Problems {
		fmt.Fprintf(w, "  %s\n    → %s\n", because(p.Server, problem.What, problem.Detail), printable(problem.Advice))
	}
}

// probedLine is a probed server in a line.
func probedLine(b workflows.Brief) string {
	line := b.Server + ": " + probeVerdict(b.Result)
	if b.Reason != "" {
		line += ": " + because(b.Server, b.Reason, b.Detail)
	}
	return printable(line)
}
