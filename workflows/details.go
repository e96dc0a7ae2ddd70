package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// What the Web UI shows in words: summaries, in a line each, and details, in Markdown. They are no part of a history that replay compares, so
// they may change freely.

// Bounds of these texts, in bytes: a server refuses a summary that, as a payload, is above 400, and details above 20,000 (its dynamic settings
// limit.userMetadataSummarySize and limit.userMetadataDetailsSize).
const (
	maxSummary = 200
	maxDetails = 15_000
)

// Summary makes a text fit for a workflow's, an activity's or a timer's summary.
func Summary(text string) string { return activities.Clip(text, maxSummary) }

// Details makes Markdown fit for a workflow's details. The Web UI gives it less height than it needs, so that the end is hidden: the paragraph at
// its end is nothing but a space that does not break.
func Details(markdown string) string { return activities.Clip(markdown, maxDetails) + "\n\n\u00a0" }

// Quote keeps what servers say and call their files from being read as Markdown, or as the HTML that the Web UI would show as such, or made into links.
func Quote(text string) string { return quote(text, maxQuoted) }

func quote(text string, limit int) string {
	var quoted strings.Builder
	for _, r := range activities.Clip(text, limit) {
		switch {
		case strings.ContainsRune("\\`*_{}[]()#+-.!|<>~:", r):
			quoted.WriteByte('\\')
		case r < ' ' || r == 0x7f:
			r = ' '
		}
		quoted.WriteRune(r)
	}
	return quoted.String()
}

// unbroken is a name that a table does not break at its hyphens: the Web UI passes HTML on.
func unbroken(name string) string { return "<nobr>" + Quote(name) + "</nobr>" }

// Bounds of what details list: nobody reads more.
const (
	maxQuoted   = 300   // bytes of one text among others
	maxSentence = 2_000 // bytes of one that stands alone: what to do about it is at its end
	maxRows     = 25
	maxNames    = 20
)

// details are the lines of a workflow's current details.
type details []string

// add adds a paragraph.
func (d *details) add(format string, args ...any) { *d = append(*d, fmt.Sprintf(format, args...), "") }

// table adds a table, cut off after maxRows rows. The header has the names of the columns between bars.
func (d *details) table(header string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	*d = append(*d, "| "+header+" |", "|"+strings.Repeat("---|", strings.Count(header, "|")+1))
	for _, row := range rows[:min(len(rows), maxRows)] {
		*d = append(*d, "| "+strings.Join(row, " | ")+" |")
	}
	*d = append(*d, "")
	if more := len(rows) - maxRows; more > 0 {
		d.add("… and %d more", more)
	}
}

// show makes them the workflow's details.
func (d details) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, Details(strings.TrimSuffix(strings.Join(d, "\n"), "\n")))
}

// trouble says why something did not arrive: the reason, and at most limit bytes of what was said about it.
func trouble(server, reason, detail string, limit int) string {
	if reason == "" {
		return quote(detail, limit)
	}
	if detail = activities.WithoutReason(server, reason, detail); detail == "" {
		return "**" + Quote(reason) + "**"
	}
	return "**" + Quote(reason) + "**: " + quote(detail, limit)
}

// tally counts what there is of several things, and leaves out what there is none of: "3 failed, 1 refused".
func tally(counts ...quantity) string {
	var some []string
	for _, c := range counts {
		if c.n > 0 {
			some = append(some, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(some, ", ")
}

type quantity struct {
	n    int
	what string
}

// count names a number of things: "1 file", "2 files".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// names lists names in a line.
func names(of []string) string {
	quoted := make([]string, 0, maxNames)
	for _, name := range of[:min(len(of), maxNames)] {
		quoted = append(quoted, Quote(name))
	}
	line := strings.Join(quoted, ", ")
	if more := len(of) - maxNames; more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	return line
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return count(int(n), "byte")
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.95 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// TimeText is a length of time for people, with its two largest units.
func TimeText(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		length time.Duration
		name   string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, unit := range units {
		if d < unit.length {
			continue
		}
		text := fmt.Sprintf("%d %s", d/unit.length, unit.name)
		if i+1 < len(units) {
			if rest := d % unit.length / units[i+1].length; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return text
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// fileSummary names a file, and how much there is of it.
func fileSummary(name string, size int64) string {
	text := ", " + bytesText(size)
	return activities.Clip(name, maxSummary-len(text)) + text
}

// resultWord is a result code in a word.
func resultWord(code int) string {
	switch code {
	case activities.Success:
		return "complete"
	case activities.Failed:
		return "failed"
	default:
		return "partly"
	}
}
