package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// print writes the report: sections and verdict for people, everything as one document, or the problems and notes as CSV.
func (r statusReport) print(w io.Writer, output string) error {
	if output != outputTable {
		return r.findings().print(w, output)
	}
	for _, section := range []func() []string{
		r.temporalLines, r.queueLines, r.scheduleLines, r.runLines, r.workLines, r.waitLines, r.serverLines, r.unknownLines, r.verdictLines,
	} {
		for _, line := range section() {
			if _, err := fmt.Fprintln(w, printable(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r statusReport) findings() listing {
	l := listing{document: r, columns: []column{{key: "kind"}, {key: "code"}, {key: "what"}, {key: "advice"}}}
	for _, f := range r.Problems {
		l.rows = append(l.rows, []cell{textCell("problem"), textCell(f.Code), textCell(f.What), textCell(f.Advice)})
	}
	for _, f := range r.Notes {
		l.rows = append(l.rows, []cell{textCell("note"), textCell(f.Code), textCell(f.What), textCell(f.Advice)})
	}
	return l
}

// entry is a line of a section, under its heading.
func entry(heading, format string, args ...any) string {
	return fmt.Sprintf("%-10s ", heading) + fmt.Sprintf(format, args...)
}

func (r statusReport) temporalLines() []string {
	return []string{entry("Temporal", "%s, namespace %s, version %s", r.Temporal.Address, r.Temporal.Namespace, orUnknown(r.Temporal.Version))}
}

func (r statusReport) queueLines() (lines []string) {
	for _, q := range r.Queues {
		if !q.Known {
			lines = append(lines, entry("Queue", "%s (%s): unknown", q.Queue, q.Type))
			continue
		}
		backlog := "nothing waits"
		if q.Backlog > 0 {
			backlog = fmt.Sprintf("about %s, the oldest for %s", count(int(q.Backlog), "task")+waits(int(q.Backlog)), span(q.Oldest))
		}
		lines = append(lines, entry("Queue", "%s (%s): %s; %s", q.Queue, q.Type, r.workers(q), backlog))
	}
	return lines
}

func (r statusReport) workers(q queueView) string {
	if len(q.Workers) == 0 {
		return "NO WORKER"
	}
	names := make([]string, len(q.Workers))
	for i, w := range q.Workers {
		did := "polled"
		if w.Busy {
			did = "at work, heard of"
		}
		names[i] = fmt.Sprintf("%s (%s %s ago)", w.Identity, did, r.ago(w.Seen))
	}
	return someOf(names)
}

func (r statusReport) ago(t time.Time) string { return span(r.Now.Sub(t).Truncate(time.Second)) }

func (r statusReport) scheduleLines() []string {
	s := r.Schedule
	switch {
	case s == nil && r.isUnknown("the schedule"):
		return []string{entry("Schedule", "unknown")}
	case s == nil:
		return []string{entry("Schedule", "there is none")}
	}
	state := "next run " + day(s.Next)
	if s.Paused {
		state = "PAUSED (" + s.Note + ")"
	}
	lines := []string{entry("Schedule", "every %s, %s; %s, %d skipped because one was at work, %d missed",
		s.Every, state, count(s.Actions, "run"), s.Skipped, s.Missed)}
	if last := r.Last; last != nil {
		became := strings.ToLower(last.Status)
		if last.Result != nil {
			became = verdict(*last.Result, "")
		}
		lines = append(lines, entry("", "last ended: %s, %s to %s, %s", last.Run, day(last.Start), clock(last.End), became))
	}
	return lines
}

func (r statusReport) runLines() (lines []string) {
	for _, run := range r.Runs {
		if run.Progress == nil {
			lines = append(lines, entry("Run", "%s for %s; progress unknown: %s", run.Run, r.ago(run.Start), run.Silent))
			continue
		}
		p := run.Progress
		lines = append(lines, entry("Run", "%s for %s, %s: %d of %s finished, %s (%s)",
			run.Run, r.ago(run.Start), p.State, p.Done, count(p.Total, "server"), count(p.Files, "file"), size(p.Bytes)))
	}
	if len(lines) == 0 && !r.isUnknown("which of CollectWorkflow are at work") {
		lines = append(lines, entry("Run", "none is at work"))
	}
	return lines
}

func (r statusReport) workLines() (lines []string) {
	for _, w := range r.AtWork {
		lines = append(lines, entry("At work", "%s for %s%s", w.Workflow, r.ago(w.Start), strings.TrimSuffix(", "+w.State, ", ")))
		for _, retry := range w.Retries {
			next := "under way"
			if !retry.Next.IsZero() {
				next = "at " + clock(retry.Next)
			}
			lines = append(lines, entry("", "%s, attempt %d %s, after: %s", retry.Activity, retry.Attempt, next, retry.Failure))
		}
	}
	if more := r.Counts["CollectServerWorkflow"] - len(r.AtWork); more > 0 {
		lines = append(lines, entry("", "and %s more", count(more, "server")))
	}
	return lines
}

func (r statusReport) waitLines() (lines []string) {
	if n := r.Counts["DecompressWorkflow"]; n > 0 {
		lines = append(lines, entry("Archives", "%s at work or waiting", count(n, "decompression")))
	}
	for _, w := range r.Waiting {
		lines = append(lines, entry("", "%s: %d, the oldest %s since %s", w.State, w.Count, w.Oldest, day(w.Since)))
	}
	return lines
}

func (r statusReport) serverLines() []string {
	if !r.Servers.Known {
		return []string{entry("Servers", "unknown: %s", r.Servers.Why)}
	}
	lines := []string{entry("Servers", "%d, %d of them silent", r.Servers.Total, len(r.Servers.Silent))}
	for _, s := range r.Servers.Silent[:min(len(r.Servers.Silent), maxMissing)] {
		since := "never collected completely"
		if s.Lag != nil {
			since = fmt.Sprintf("last collected completely %s, %.1f intervals ago", day(s.LastSuccess), *s.Lag)
		}
		lines = append(lines, strings.TrimSuffix(entry("", "%s: %s: %s", s.Server, since, because(s.Server, s.Reason, s.Detail)), ": "))
	}
	return lines
}

func (r statusReport) unknownLines() (lines []string) {
	for _, u := range r.Unknown {
		lines = append(lines, entry("Unknown", "%s: %s", u.What, u.Error))
	}
	return lines
}

func (r statusReport) verdictLines() []string {
	lines := []string{"", strings.ToUpper(r.Verdict)}
	if r.Verdict == verdictHealthy {
		lines = []string{"", verdictHealthy}
	}
	for _, f := range r.Problems {
		lines = append(lines, "PROBLEM "+f.line())
	}
	for _, f := range r.Notes {
		lines = append(lines, "note "+f.line())
	}
	return lines
}

func (f finding) line() string { return fmt.Sprintf("%s: %s → %s", f.Code, f.What, f.Advice) }
