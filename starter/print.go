package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"talon/activities"
)

// Output formats.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputCSV   = "csv"
)

func registerOutput(command *cobra.Command, output *string) {
	command.Flags().StringVarP(output, "output", "o", outputTable, "output format: table, json or csv")
}

func checkOutput(output string) error {
	if !slices.Contains([]string{outputTable, outputJSON, outputCSV}, output) {
		return fmt.Errorf("there is no output format %q: use -o table, json or csv", output)
	}
	return nil
}

func (a *app) print(r runResult, output string) error {
	switch output {
	case outputJSON:
		return printJSON(a.stdout, r)
	case outputCSV:
		return printCSV(a.stdout, r)
	default:
		printTables(a.stdout, r)
		return nil
	}
}

func printJSON(w io.Writer, r runResult) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if r.own() {
		return encoder.Encode(r.Decompress)
	}
	return encoder.Encode(r)
}

// printCSV writes one row per server, file, refused or failed file, and archive.
func printCSV(w io.Writer, r runResult) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"kind", "server", "name", "result", "reason", "files", "bytes", "sha256", "detail"}}
	for _, name := range slices.Sorted(maps.Keys(r.Servers)) {
		s := r.Servers[name]
		rows = append(rows, []string{"server", name, "", strconv.Itoa(s.Result), s.Reason, strconv.Itoa(s.NumberOfFiles), strconv.FormatInt(s.Bytes, 10), "", s.Detail})
		for _, f := range s.Files {
			rows = append(rows, []string{"file", name, f.Path, "0", "", "1", strconv.FormatInt(f.Size, 10), f.SHA256, ""})
		}
		for _, i := range s.Refused {
			rows = append(rows, []string{"refused", name, i.Name, "1", i.Reason, "0", "", "", i.Detail})
		}
		for _, i := range s.Failed {
			rows = append(rows, []string{"failed", name, i.Name, "1", i.Reason, "0", "", "", i.Detail})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(r.Decompress.Archives)) {
		a := r.Decompress.Archives[path]
		rows = append(rows, []string{"archive", "", path, strconv.Itoa(a.Result), a.Reason, strconv.Itoa(a.Received), strconv.FormatInt(a.Bytes, 10), "", a.Detail})
	}
	return out.WriteAll(rows)
}

// printTables is the result for people: a table of servers, one of archives, and what did not arrive in words.
func printTables(w io.Writer, r runResult) {
	if !r.own() {
		printServers(w, r)
		printMissing(w, r)
	}
	if len(r.Decompress.Archives) > 0 {
		printArchives(w, r.Decompress)
	}
	fmt.Fprintf(w, "\nRun %s: %s", r.Run, verdict(r.Result))
	if r.Reason != "" {
		fmt.Fprintf(w, " (%s)", r.Reason)
	}
	if !r.EndTime.IsZero() {
		fmt.Fprintf(w, ", %s to %s, %s", clock(r.StartTime), clock(r.EndTime), r.EndTime.Sub(r.StartTime).Round(time.Millisecond))
	}
	fmt.Fprintln(w)
}

func newTable(w io.Writer, title string, header table.Row) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Title.Align = text.AlignLeft
	t.Style().Format.Header = text.FormatDefault
	t.Style().Format.Footer = text.FormatDefault
	t.SetTitle(title)
	t.AppendHeader(header)
	return t
}

// reasonWidth is where long reasons wrap.
const reasonWidth = 60

func printServers(w io.Writer, r runResult) {
	t := newTable(w, "Servers", table.Row{"Server", "Result", "Files", "Bytes", "Listed", "Unchanged", "Deferred", "Refused", "Failed", "Reason"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 10, WidthMax: reasonWidth, WidthMaxEnforcer: text.WrapSoft}})
	var files int
	var bytes int64
	for _, name := range slices.Sorted(maps.Keys(r.Servers)) {
		s := r.Servers[name]
		files += s.NumberOfFiles
		bytes += s.Bytes
		t.AppendRow(table.Row{name, verdict(s.Result), s.NumberOfFiles, size(s.Bytes), s.Listed, s.Unchanged, s.Deferred, len(s.Refused), len(s.Failed), because(s.Reason, s.Detail)})
	}
	t.AppendFooter(table.Row{fmt.Sprintf("%d servers", len(r.Servers)), "", files, size(bytes)})
	t.Render()
}

// maxMissing bounds the list of missing files on a terminal; JSON and CSV have them all.
const maxMissing = 20

// printMissing says in words which files did not arrive and why.
func printMissing(w io.Writer, r runResult) {
	shown, total := 0, 0
	for _, name := range slices.Sorted(maps.Keys(r.Servers)) {
		for _, issue := range slices.Concat(r.Servers[name].Refused, r.Servers[name].Failed) {
			total++
			if shown < maxMissing {
				fmt.Fprintf(w, "  not collected: %s: %s: %s\n", name, issue.Name, because(issue.Reason, issue.Detail))
				shown++
			}
		}
	}
	if total > shown {
		fmt.Fprintf(w, "  … and %d more: starter result %s -o csv\n", total-shown, r.Run)
	}
}

func printArchives(w io.Writer, d *decompressResult) {
	t := newTable(w, "Archives", table.Row{"Archive", "Result", "Layers", "Received", "Failed", "Bytes", "Host", "Start", "End", "Reason"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 10, WidthMax: reasonWidth, WidthMaxEnforcer: text.WrapSoft}})
	for _, path := range slices.Sorted(maps.Keys(d.Archives)) {
		a := d.Archives[path]
		t.AppendRow(table.Row{path, verdict(a.Result), len(a.Layers), a.Received, a.Failed, size(a.Bytes), a.Host, clock(a.StartTime), clock(a.EndTime), because(a.Reason, a.Detail)})
	}
	t.AppendFooter(table.Row{fmt.Sprintf("%d archives", d.Total), fmt.Sprintf("%d complete", d.Succeeded)})
	t.Render()
}

// verdict is a result code in a word.
func verdict(code int) string {
	switch code {
	case activities.Success:
		return "complete"
	case activities.Failed:
		return "FAILED"
	default:
		return "PARTLY"
	}
}

func because(reason, detail string) string {
	if detail == "" {
		return reason
	}
	return reason + ": " + detail
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("15:04:05.000")
}

// size is a number of bytes for people.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
