package workflows

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// What the Web UI shows in words: summaries, in a line each, and details, in Markdown. They are no part of a history that replay compares, so
// they may change freely.

// maxSummary bounds a summary, in bytes: a server refuses one that, as a payload, is above 400 (its dynamic setting limit.userMetadataSummarySize).
const maxSummary = 200

// Summary makes a text fit for a workflow's, an activity's or a timer's summary.
func Summary(text string) string { return activities.Clip(text, maxSummary) }

// Bounds of what details list: a server refuses details above 20,000 bytes, and nobody reads more.
const (
	maxTroubles = 25
	maxNames    = 20
	maxTrouble  = 200 // bytes of one of them
)

// tableOf makes a Markdown table, cut off after maxTroubles rows.
func tableOf(header string, rows [][]string) []string {
	lines := []string{"", "| " + header + " |", "|" + strings.Repeat("---|", strings.Count(header, "|")+1)}
	for _, row := range rows[:min(len(rows), maxTroubles)] {
		cells := make([]string, len(row))
		for i, text := range row {
			cells[i] = markdownCell(text)
		}
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
	}
	if more := len(rows) - maxTroubles; more > 0 {
		lines = append(lines, "", fmt.Sprintf("… and %d more", more))
	}
	return lines
}

// markdownCell keeps what a server says from ending its cell, its row, or the table.
func markdownCell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ", "`", "'", "<", "&lt;").Replace(activities.Clip(text, maxTrouble))
}

// names lists servers in a line.
func names(of []string) string {
	if more := len(of) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(of[:maxNames], ", "), more)
	}
	return strings.Join(of, ", ")
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1023.95 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// fileSummary names a file, and how much there is of it.
func fileSummary(name string, size int64) string {
	text := ", " + bytesText(size)
	return activities.Clip(name, maxSummary-len(text)) + text
}

// serverDetails says what the workflow of a server is there for.
func serverDetails(run, server, zipDir string) string {
	return fmt.Sprintf("Collects the new and changed files of **%s** for `%s`, and publishes them below `%s/%s`. While it is at work, no other run "+
		"touches this server.\n\nOrders: `starter pause %[2]s`, `resume`, `skip`, `retry`. History of the branch: `starter servers %[2]s`, "+
		"`starter files --server %[2]s`.", server, run, zipDir, server)
}

// decompressionDetails says what a decompression is there for.
func decompressionDetails(in DecompressInput) string {
	return fmt.Sprintf("Has %d archives that `%s` collected from **%s** extracted by an eagle, and publishes what was in them below `%s/%s`. "+
		"Collection does not wait for it.", in.Archives, in.Run, in.Server, in.UnzipDir, in.Server)
}

// showProgress tells how a collection stands: what has finished, what is in trouble and why, who is at work, who is held back.
func (c *collectRun) showProgress(ctx workflow.Context) {
	books := c.books()
	waiting := len(c.plan.Servers) - len(c.final) - len(c.running)
	lines := []string{fmt.Sprintf("**%d of %d servers finished**, %d at work, %d waiting for their turn; %d files (%s) collected, %d failed, %d refused",
		len(c.final), len(c.plan.Servers), len(c.running), max(waiting, 0), books.Collected, bytesText(books.Bytes), books.Failed, books.Refused)}
	if c.cancelled != nil {
		lines = append(lines, "", "**cancelled** "+markdownCell(c.cancelled.String()))
	}
	if len(c.running) > 0 {
		lines = append(lines, "", "At work: "+names(slices.Sorted(maps.Keys(c.running))))
	}
	for _, server := range slices.Sorted(maps.Keys(c.held)) {
		lines = append(lines, "", "Held back: "+server+", paused "+markdownCell(c.held[server].String()))
	}
	var troubles [][]string
	for _, row := range c.outcomes() {
		if row.Reason != "" {
			troubles = append(troubles, []string{row.Server, resultWord(row.Result), row.Reason, row.Detail})
		}
	}
	workflow.SetCurrentDetails(ctx, strings.Join(append(lines, troubleTable(troubles)...), "\n"))
}

func troubleTable(rows [][]string) []string {
	if len(rows) == 0 {
		return nil
	}
	return tableOf("server | result | reason | what happened", rows)
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

// cancelledDetails comes before the outcome of a run that was cancelled.
func (c *collectRun) cancelledDetails() string {
	by := ""
	if c.cancelled != nil {
		by = " " + markdownCell(c.cancelled.String())
	}
	return fmt.Sprintf("**cancelled**%s\n\nWhat had arrived from servers that were at work is kept, and counted by `starter result %s` alone.\n\n", by, c.run)
}

// markdown is a collection's outcome.
func markdown(result CollectResult) string {
	lines := []string{fmt.Sprintf("**%d of %d servers complete**: %d files (%s) collected, %d unchanged, %d deferred, %d failed, %d refused, in %s",
		result.Good, result.Servers, result.Books.Collected, bytesText(result.Books.Bytes), result.Books.Unchanged, result.Books.Deferred,
		result.Books.Failed, result.Books.Refused, result.End.Sub(result.Start).Round(time.Millisecond))}
	var troubles [][]string
	for _, f := range result.Failures {
		troubles = append(troubles, []string{f.Server, resultWord(f.Result), f.Reason, f.Detail})
	}
	lines = append(lines, troubleTable(troubles)...)
	var archives int
	for _, d := range result.Decompressions {
		archives += d.Archives
	}
	if archives > 0 {
		lines = append(lines, "", fmt.Sprintf("%d archives went to eagle: the workflows `%s…` tell what became of them.", archives, DecompressID(result.Run, "", 1)))
	}
	return strings.Join(append(lines, "", fmt.Sprintf("Every file: `starter result %s`", result.Run)), "\n")
}
