package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

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
	if r.own() {
		return writeJSON(w, r.Decompress)
	}
	return writeJSON(w, r)
}

// writeJSON writes one document, for people to read as well.
func writeJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

// printCSV writes one row per server, warning, file, refused or failed file, and archive.
func printCSV(w io.Writer, r runResult) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"kind", "server", "name", "result", "reason", "files", "bytes", "sha256", "detail"}}
	for _, name := range slices.Sorted(maps.Keys(r.Servers)) {
		s := r.Servers[name]
		rows = append(rows, []string{"server", name, "", strconv.Itoa(s.Result), s.Reason, strconv.Itoa(s.NumberOfFiles), strconv.FormatInt(s.Bytes, 10), "", s.Detail})
		for _, warning := range s.Warnings {
			rows = append(rows, []string{"warning", name, "", "0", "", "0", "", "", warning})
		}
		for _, f := range s.Files {
			rows = append(rows, []string{"file", name, f.Path, "0", "", "1", strconv.FormatInt(f.Size, 10), f.SHA256, f.Note})
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
		printMissing(w, r, missingFiles(r.Servers))
		printMissing(w, r, warnings(r.Servers))
	}
	if len(r.Decompress.Archives) > 0 {
		printArchives(w, r.Decompress)
		printMissing(w, r, missingLayers(r.Decompress.Archives))
	}
	fmt.Fprintf(w, "\nRun %s: %s", r.Run, verdict(r.Result, r.Reason))
	if r.Reason != "" && r.Reason != activities.ReasonRunning {
		fmt.Fprintf(w, " (%s)", r.Reason)
	}
	if !r.EndTime.IsZero() {
		fmt.Fprintf(w, ", %s to %s, %s", clock(r.StartTime), clock(r.EndTime), r.EndTime.Sub(r.StartTime).Round(time.Millisecond))
	}
	fmt.Fprintln(w)
}

// newTable begins a table whose last column holds reasons, with sizes in the column bytes (from 1).
func newTable(w io.Writer, title string, bytes int, header table.Row) table.Writer {
	t := plainTable(w, title, header)
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: bytes, Align: text.AlignRight, AlignFooter: text.AlignRight},
		{Number: len(header), WidthMax: reasonWidth, WidthMaxEnforcer: text.WrapSoft},
	})
	return t
}

// plainTable begins a table without settings for its columns.
func plainTable(w io.Writer, title string, header table.Row) table.Writer {
	text.OverrideRuneWidthEastAsianWidth(false) // in a Chinese locale, too, terminals draw "…" and its like one column wide
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
const reasonWidth = 44

func printServers(w io.Writer, r runResult) {
	t := newTable(w, "Servers", 4, table.Row{"Server", "Result", "Files", "Bytes", "Listed", "Unchanged", "Deferred", "Refused", "Failed", "Reason"})
	var files int
	var bytes int64
	for _, name := range slices.Sorted(maps.Keys(r.Servers)) {
		s := r.Servers[name]
		files += s.NumberOfFiles
		bytes += s.Bytes
		t.AppendRow(table.Row{
			name, verdict(s.Result, s.Reason), s.NumberOfFiles, size(s.Bytes), s.Listed, s.Unchanged, s.Deferred, len(s.Refused), len(s.Failed),
			because(name, s.Reason, s.Detail),
		})
	}
	t.AppendFooter(table.Row{count(len(r.Servers), "server"), "", files, size(bytes)})
	t.Render()
}

// maxMissing bounds a list of what is missing on a terminal; JSON has everything.
const maxMissing = 20

func printMissing(w io.Writer, r runResult, missing []string) {
	for _, line := range missing[:min(maxMissing, len(missing))] {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if more := len(missing) - maxMissing; more > 0 {
		fmt.Fprintf(w, "  … and %d more: starter result %s -o json\n", more, r.Run)
	}
}

// missingFiles says in words which files did not arrive and why.
func missingFiles(servers map[string]*serverResult) []string {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		for _, issue := range slices.Concat(servers[name].Refused, servers[name].Failed) {
			missing = append(missing, fmt.Sprintf("not collected: %s: %s: %s", name, printable(issue.Name), because(name, issue.Reason, issue.Detail)))
		}
	}
	return missing
}

// warnings are what is well, but should be looked at.
func warnings(servers map[string]*serverResult) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		for _, warning := range servers[name].Warnings {
			all = append(all, fmt.Sprintf("look at %s: %s", name, printable(warning)))
		}
		for _, file := range servers[name].Files {
			if file.Note != "" {
				all = append(all, fmt.Sprintf("look at %s: %s: %s", name, printable(file.Name), printable(file.Note)))
			}
		}
	}
	return all
}

// missingLayers says in words which archives inside archives could not be opened, or not wholly. The rows of the table are the outermost ones.
func missingLayers(archives map[string]*archiveResult) []string {
	var missing []string
	for _, archive := range slices.Sorted(maps.Keys(archives)) {
		layers := archives[archive].Layers
		for _, path := range slices.Sorted(maps.Keys(layers)) {
			if l := layers[path]; l.Result != activities.Success && path != archive {
				missing = append(missing, fmt.Sprintf("not all extracted: %s: %s", printable(path), because("", l.Reason, l.Detail)))
			}
		}
	}
	return missing
}

func printArchives(w io.Writer, d *decompressResult) {
	t := newTable(w, "Archives", 6, table.Row{"Archive", "Result", "Layers", "Received", "Failed", "Bytes", "Host", "Start", "End", "Reason"})
	for _, path := range slices.Sorted(maps.Keys(d.Archives)) {
		a := d.Archives[path]
		t.AppendRow(table.Row{
			printable(path), verdict(a.Result, a.Reason), len(a.Layers), a.Received, a.Failed, size(a.Bytes), a.Host, clock(a.StartTime), clock(a.EndTime),
			because("", a.Reason, a.Detail),
		})
	}
	t.AppendFooter(table.Row{count(d.Total, "archive"), fmt.Sprintf("%d complete", d.Succeeded)})
	t.Render()
}

// verdict is a result in a word. What is not at its end is no failure yet, whatever its code.
func verdict(code int, reason string) string {
	switch {
	case reason == activities.ReasonRunning:
		return "running"
	case reason == reasonPending:
		return "waiting"
	case code == activities.Success:
		return "complete"
	case code == activities.Failed:
		return "FAILED"
	default:
		return "PARTLY"
	}
}

// because is a reason for people: its code in plain words, then what was said, without the server's name and without the same words again. JSON and
// CSV have both as they were reported.
func because(server, reason, detail string) string {
	if reason == "" {
		return printable(detail)
	}
	words := strings.ReplaceAll(reason, "_", " ")
	if detail = activities.WithoutReason(server, reason, detail); detail != "" {
		words += ": " + printable(detail)
	}
	return words
}

// printable keeps what a server says or calls its files from moving the cursor of the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.TimeOnly)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// size is a number of bytes for people.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.95 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
