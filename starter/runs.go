package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/internal/catalog"
	"talon/workflows"
)

// runsAtOnce is how many runs are asked for when only some of them will be shown.
const runsAtOnce = 200

type runsOptions struct {
	since, until string
	result       string
	server       string
	kind         string
	limit        int
	output       string
}

// Words of a run that has not closed its account: it goes on, or ended without doing so.
const (
	wordRunning    = "running"
	wordUnfinished = "unfinished"
)

func (a *app) runsCommand() *cobra.Command {
	var o runsOptions
	command := &cobra.Command{
		Use:   "runs",
		Short: "List the latest runs, the newest first",
		Long: "List runs from tiger's catalog, the newest first: when each began and how long it took until its last archive was extracted, its result as\n" +
			"starter result has it, servers and those that are not complete, files, archives, and what is wrong in a few words. With --server only\n" +
			"the runs that have something to say about this server, and what they say of it alone. --result looks at one run after the other: bound\n" +
			"how far back with --since.",
		Example: "  starter runs\n  starter runs --since 24h --result failed\n  starter runs --server branch-001 --since 2026-11-01 --limit 1000 -o csv",
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runs(cmd.Context(), o) },
	}
	command.Flags().StringVar(&o.since, "since", "", "only runs that began since: how long ago (24h, 7d), a day or a time")
	command.Flags().StringVar(&o.until, "until", "", "only runs that began before")
	command.Flags().StringVar(&o.result, "result", "", "only with this result: complete, partly, failed, running or unfinished")
	command.Flags().StringVar(&o.server, "server", "", "only this server")
	command.Flags().StringVar(&o.kind, "kind", "", "only of this kind: collect or decompress")
	command.Flags().IntVar(&o.limit, "limit", 20, "at most so many")
	registerOutput(command, &o.output)
	return command
}

func (a *app) runs(ctx context.Context, o runsOptions) error {
	in, err := o.question(time.Now())
	if err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	answer, err := readRuns(ctx, temporal, in, o)
	if err != nil {
		return err
	}
	return answer.listing(o).print(a.stdout, o.output)
}

// question checks the flags and makes a question of them.
func (o runsOptions) question(now time.Time) (in activities.RunsInput, err error) {
	since, wrongSince := parseMoment("since", o.since, now)
	until, wrongUntil := parseMoment("until", o.until, now)
	in = activities.RunsInput{Limit: o.limit, RunsQuery: catalog.RunsQuery{
		Since: since, Until: until, Kind: o.kind, Server: o.server, Open: o.result == wordRunning || o.result == wordUnfinished,
	}}
	if o.result != "" {
		in.Limit = runsAtOnce
	}
	return in, errors.Join(checkOutput(o.output), checkLimit(o.limit), wrongSince, wrongUntil,
		checkWord("kind", o.kind, catalog.KindCollect, catalog.KindDecompress),
		checkWord("result", o.result, wordComplete, wordPartly, wordFailed, wordRunning, wordUnfinished))
}

func checkLimit(limit int) error {
	if limit < 1 {
		return fmt.Errorf("--limit %d: it is how many to list at most, 1 or more", limit)
	}
	return nil
}

// The JSON of runs. Its names are fixed: other programs read them.
type (
	runList struct {
		Now  time.Time  `json:"now"` // by tiger's clock
		Runs []runEntry `json:"runs"`
		More bool       `json:"more"` // there are older ones
	}
	runEntry struct {
		Run       string    `json:"run"`
		Kind      string    `json:"kind"`
		Result    int       `json:"result"`
		Status    string    `json:"status"` // complete, partly, failed, running or unfinished
		Reason    string    `json:"reason"`
		Detail    string    `json:"detail,omitempty"`
		StartTime time.Time `json:"start_time"`
		EndTime   time.Time `json:"end_time,omitzero"` // of the last archive, if there are some
		Servers   int       `json:"servers"`
		Good      int       `json:"good"`
		Bad       int       `json:"bad"`
		Files     int       `json:"files"`
		Bytes     int64     `json:"bytes"`
		Missing   int       `json:"missing"` // files refused or failed
		Archives  int       `json:"archives"`
		Extracted int       `json:"extracted"` // of the archives: completely
		Waiting   int       `json:"waiting"`   // of the archives: for an eagle

		Troubles []catalog.Trouble `json:"troubles,omitempty"`
	}
)

// readRuns asks for page after page until there are enough runs of the wanted result.
func readRuns(ctx context.Context, c client.Client, in activities.RunsInput, o runsOptions) (runList, error) {
	list := runList{Runs: []runEntry{}}
	for {
		asked := in
		page, err := lookUp(ctx, c, "runs", workflows.LookupInput{Runs: &asked})
		if err != nil {
			return list, err
		}
		if page.Runs == nil {
			return list, errNoAnswer
		}
		list.Now = page.Runs.Now
		for _, run := range page.Runs.Runs {
			entry, err := entryOf(ctx, c, run, o.server != "")
			if err != nil {
				return list, err
			}
			if o.result != "" && o.result != entry.Status {
				continue
			}
			if len(list.Runs) == o.limit {
				list.More = true
				return list, nil
			}
			list.Runs = append(list.Runs, entry)
		}
		if in.Cursor = page.Runs.Next; in.Cursor == "" {
			return list, nil
		}
		if o.result == "" && len(list.Runs) == o.limit {
			list.More = true
			return list, nil
		}
	}
}

// entryOf is a run with its result, folded as starter result folds it. What is of a server alone does not depend on how the run ended.
func entryOf(ctx context.Context, c client.Client, run catalog.RunSummary, alone bool) (runEntry, error) {
	e := runEntry{
		Run: run.ID, Kind: run.Kind, Reason: run.Reason, Detail: run.Detail, StartTime: run.Start, EndTime: run.End, Servers: run.Servers,
		Good: run.Good, Bad: run.Bad, Files: run.Files, Bytes: run.Bytes, Missing: run.Missing,
		Archives: run.Archives, Extracted: run.ArchivesGood, Waiting: run.ArchivesWaiting, Troubles: run.Troubles,
	}
	account := report{run: run.RunRow}
	if account.open() && !alone {
		reason, err := standing(ctx, c, run.ID)
		if err != nil {
			return e, err
		}
		e.Reason = cmp.Or(reason, activities.ReasonRunning)
	}
	codes := codesOf(run.Servers, run.Good, run.Bad)
	if run.Archives > 0 {
		codes = append(codes, foldCodes(codesOf(run.Archives, run.ArchivesGood, run.ArchivesBad+run.ArchivesWaiting)))
	}
	if e.Reason != "" && !alone {
		codes = append(codes, account.standing(e.Reason))
	}
	e.Result = foldCodes(codes)
	e.Status = word(e.Result)
	switch {
	case alone:
		e.EndTime = run.LastEnd
		if len(run.Troubles) > 0 && run.Troubles[0].Reason == activities.ReasonRunning {
			e.Status = wordRunning
		}
	case !account.open():
		if run.LastEnd.After(e.EndTime) {
			e.EndTime = run.LastEnd
		}
	case e.Reason == activities.ReasonRunning:
		e.Status = wordRunning
	default:
		e.Status = wordUnfinished
	}
	return e, nil
}

// codesOf spells counts out: what is neither good nor bad is partly so.
func codesOf(total, good, bad int) []int {
	return slices.Concat(slices.Repeat([]int{activities.Success}, good), slices.Repeat([]int{activities.Failed}, bad),
		slices.Repeat([]int{activities.Partial}, total-good-bad))
}

func (l runList) listing(o runsOptions) listing {
	out := listing{
		title: "Runs", document: l, footer: count(len(l.Runs), "run"),
		columns: []column{
			{title: "Run", key: "run"},
			{title: "Start", key: "start_time"},
			{title: "Took", key: "seconds", right: true},
			{title: "Result", key: "result"},
			{title: "Servers", key: "servers", right: true},
			{title: "Bad", key: "not_complete", right: true},
			{title: "Files", key: "files", right: true},
			{title: "Bytes", key: "bytes", right: true},
			{title: "Archives", key: "archives", right: true},
			{title: "What is wrong", key: "reason"},
		},
	}
	if o.server != "" {
		out.title = "Runs of server " + printable(o.server)
	}
	if l.More {
		out.footer += "; there are older ones: --limit lists more"
	}
	for _, run := range l.Runs {
		out.rows = append(out.rows, run.row(l.Now))
	}
	return out
}

func (e runEntry) row(now time.Time) []cell {
	took := cell{}
	switch {
	case !e.EndTime.IsZero():
		took = spanCell(e.EndTime.Sub(e.StartTime))
	case e.Status == wordRunning:
		took = cell{shown: span(now.Sub(e.StartTime)) + " so far"}
	}
	result := cell{shown: e.Status, plain: e.Status}
	switch e.Status {
	case wordFailed, wordPartly, wordUnfinished:
		result.shown = strings.ToUpper(e.Status)
	}
	wrong := e.wrong()
	return []cell{
		textCell(e.Run), timeCell(e.StartTime), took, result, numberCell(e.Servers), numberCell(e.Servers - e.Good), numberCell(e.Files), sizeCell(e.Bytes),
		numberCell(e.Archives),
		{shown: printable(wrong), plain: wrong},
	}
}

// longestWrong is how many troubles of a run are told in its row.
const longestWrong = 3

// wrong says in a few words what is wrong with a run.
func (e runEntry) wrong() string {
	var words []string
	if e.Reason != "" && e.Reason != e.Status {
		words = append(words, because("", e.Reason, e.Detail))
	}
	for i, trouble := range e.Troubles {
		if i == longestWrong {
			words = append(words, "…")
			break
		}
		who := trouble.Example
		if trouble.Count > 1 && trouble.Archive {
			who = count(trouble.Count, "archive")
		} else if trouble.Count > 1 {
			who = count(trouble.Count, "server")
		}
		words = append(words, who+": "+strings.ReplaceAll(trouble.Reason, "_", " "))
	}
	if e.Waiting > 0 {
		words = append(words, count(e.Waiting, "archive")+" waiting for extraction")
	}
	return strings.Join(words, "; ")
}
