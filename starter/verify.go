package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/config"
	"talon/internal/commandline"
	"talon/workflows"
)

// slowestRead is the lowest rate that a verification takes: below it a worker that reads looks like one that hangs.
const slowestRead = 4 << 10

type verifyOptions struct {
	servers            []string
	zipOnly, unzipOnly bool
	since, rate        string
	fetch, wait        bool
	show, output       string
}

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	command := &cobra.Command{
		Use:   "verify",
		Short: "Read every file in the warehouses again and compare it with the catalog",
		Long: "Read every collected and every extracted file again and compare its SHA-256 with the catalog's. What is damaged, missing or unreadable is\n" +
			"listed, and so are files that the catalog does not know (they are never touched) and archives whose decompression has vanished. With --fetch\n" +
			"damaged files are set aside (NAME.damaged-DATE, never removed), collected files are fetched again and extracted ones extracted again.\n" +
			"Exit codes, of what was found: 0 all intact, 1 nothing intact, 2 something not (3: could not run).",
		Example: "  starter verify\n  starter verify --server branch-001 --since 30d --rate 20MiB\n  starter verify --fetch -o json\n" +
			"  starter verify --show 20261128-020000-ab12",
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verify(cmd.Context(), o) },
	}
	f := command.Flags()
	f.StringArrayVar(&o.servers, "server", nil, "verify only files of this server (may be repeated)")
	f.BoolVar(&o.zipOnly, "zip-only", false, "only collected files")
	f.BoolVar(&o.unzipOnly, "unzip-only", false, "only extracted files")
	f.StringVar(&o.since, "since", "", "only what was collected or extracted since: a day, a time, or an age like 30d")
	f.StringVar(&o.rate, "rate", "", "read at most so many bytes per second (20MiB), to leave the disk to others")
	f.BoolVar(&o.fetch, "fetch", false, "set aside what is damaged, and have it and what is missing collected or extracted again")
	f.BoolVar(&o.wait, "wait", true, "show progress, wait for the end, print what was found")
	f.StringVar(&o.show, "show", "", "start nothing: wait for this verification, and print what it found")
	registerOutput(command, &o.output)
	return command
}

// input checks the options and makes the workflow's input of them.
func (o verifyOptions) input(now time.Time) (in workflows.VerifyInput, err error) {
	if err := checkOutput(o.output); err != nil {
		return in, err
	}
	in.Servers, in.Fetch = o.servers, o.fetch
	switch {
	case o.zipOnly && o.unzipOnly:
		return in, errors.New("--zip-only and --unzip-only leave nothing to verify: give one of them")
	case o.zipOnly:
		in.Area = activities.AreaZip
	case o.unzipOnly:
		in.Area = activities.AreaUnzip
	}
	if o.since != "" {
		if in.Since, err = parseMoment("since", o.since, now); err != nil {
			return in, err
		}
	}
	if o.rate == "" {
		return in, nil
	}
	rate, err := config.ParseSize(o.rate)
	if err != nil {
		return in, fmt.Errorf("--rate: %w", err)
	}
	if rate < slowestRead {
		return in, fmt.Errorf("--rate %s is too slow: the least is %d bytes per second", o.rate, slowestRead)
	}
	in.Rate = int64(rate)
	return in, nil
}

func (a *app) verify(ctx context.Context, o verifyOptions) error {
	called := time.Now()
	in, err := o.input(called)
	if err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	if o.show != "" {
		return a.showVerification(ctx, temporal, workflows.VerifyID(strings.TrimPrefix(o.show, workflows.VerifyID(""))), o.output)
	}
	run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.VerifyID(newKey(called)), TaskQueue: activities.TigerQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		StaticSummary: verifySummary(in), StaticDetails: verifyDetails(in), Memo: memo(),
	}, workflows.VerifyWorkflow, in)
	if err != nil {
		return fmt.Errorf("start the verification: %w", err)
	}
	if !o.wait {
		return a.announce(run.GetID(), o.output)
	}
	err = a.showVerification(ctx, temporal, run.GetID(), o.output)
	if err != nil && ctx.Err() != nil && !errors.As(err, new(commandline.ExitCode)) {
		return fmt.Errorf("interrupted; %s goes on: starter verify --show %s waits for it and shows what it found", run.GetID(), run.GetID())
	}
	return err
}

func verifySummary(in workflows.VerifyInput) string {
	what := map[string]string{"": "both warehouses", activities.AreaZip: "the zip warehouse", activities.AreaUnzip: "the unzip warehouse"}[in.Area]
	if len(in.Servers) > 0 {
		what += " of " + strings.Join(in.Servers, ", ")
	}
	if in.Fetch {
		what += ", and mend them"
	}
	return workflows.Summary("verify " + what)
}

func verifyDetails(in workflows.VerifyInput) string {
	text := "Every file is read again and compared with the catalog."
	if !in.Since.IsZero() {
		text += " Only what came since " + in.Since.Format(time.RFC3339) + "."
	}
	if in.Rate > 0 {
		text += fmt.Sprintf(" At most %d bytes are read in a second.", in.Rate)
	}
	if in.Fetch {
		text += " Damaged files are set aside; what is damaged or missing is collected or extracted again."
	}
	return workflows.Details(text + "\n\n`starter verify --show` shows what was found.")
}

// verification is the JSON of a verification.
type verification struct {
	Verification string                  `json:"verification"`
	Result       int                     `json:"result"`
	Counts       activities.VerifyCounts `json:"counts"`
	Mended       *workflows.Mended       `json:"mended,omitempty"`
	Findings     []activities.Finding    `json:"findings"`
	StartTime    time.Time               `json:"start_time"`
	EndTime      time.Time               `json:"end_time"`
}

// showVerification waits for a verification and for what mends, and prints what it found.
func (a *app) showVerification(ctx context.Context, c client.Client, id, output string) error {
	result, err := a.awaitVerification(ctx, c, id)
	if err != nil {
		return err
	}
	v := verification{
		Verification: id, Result: result.Result, Counts: result.Counts, Mended: result.Mended, StartTime: result.Start, EndTime: result.End,
	}
	if v.Findings, err = findings(ctx, c, id); err != nil {
		return err
	}
	if err := v.listing().print(a.stdout, output); err != nil {
		return err
	}
	if v.Result != activities.Success {
		return commandline.ExitCode(v.Result)
	}
	return nil
}

func (a *app) awaitVerification(ctx context.Context, c client.Client, id string) (result workflows.VerifyResult, err error) {
	display := newDisplay(a.stderr)
	defer display.close()
	f := follower{temporal: c, display: display}
	err = f.end(ctx, id, &result, func(p workflows.Progress) { display.verifying(p.State, p.Done, p.Total) })
	if err != nil {
		return result, err
	}
	if result.Verification == "" {
		return result, fmt.Errorf("%s was cancelled, terminated or out of time before it had a result", id)
	}
	if result.Mended == nil {
		return result, nil
	}
	for _, decompression := range result.Mended.Decompressions {
		var part workflows.DecompressResult
		if err := f.end(ctx, decompression, &part, f.archives); err != nil {
			return result, err
		}
		f.archivesDone += part.Total
		f.archivesTotal += part.Total
	}
	if result.Mended.Collection == "" {
		return result, nil
	}
	var collected workflows.CollectResult
	if err := f.end(ctx, result.Mended.Collection, &collected, f.servers); err != nil {
		return result, err
	}
	return result, f.decompressions(ctx, collected)
}

// findings reads all that a verification found.
func findings(ctx context.Context, c client.Client, id string) ([]activities.Finding, error) {
	all := []activities.Finding{}
	for in := (activities.FindingsInput{Verification: id}); ; {
		var page activities.FindingsPage
		err := ask(ctx, c, question{
			id: workflows.FindingsID(id, newKey(time.Now())), what: "read what " + id + " found", summary: "what " + id + " found",
			details: fmt.Sprintf("Findings of `%s` after number %d.", id, in.After), workflow: workflows.FindingsWorkflow, input: in,
		}, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Findings...)
		if !page.More || len(page.Findings) == 0 {
			return all, nil
		}
		in.After = page.Findings[len(page.Findings)-1].ID
	}
}

func (v verification) listing() listing {
	l := listing{
		title: "Not as it should be",
		columns: []column{
			{title: "What", key: "kind"},
			{title: "Warehouse", key: "area"},
			{title: "Server", key: "server"},
			{title: "File", key: "path"},
			{title: "Set aside as", key: "aside"},
			{title: "Done", key: "done"},
			{title: "Why", key: "detail"},
		},
		footer: v.footer(), document: v,
	}
	if len(v.Findings) == 0 {
		l.title = "Everything is as it should be"
	}
	for _, f := range v.Findings {
		l.rows = append(l.rows, []cell{
			textCell(f.Kind), textCell(f.Area), textCell(f.Server), textCell(f.Path), textCell(f.Aside), textCell(f.Done), textCell(f.Detail),
		})
	}
	return l
}

func (v verification) footer() string {
	c := v.Counts
	text := fmt.Sprintf("\n%s: %d files checked (%s) = %d intact + %d damaged + %d missing + %d unreadable", v.Verification, c.Checked, size(c.Bytes),
		c.Intact, c.Damaged, c.Missing, c.Unreadable)
	return text + v.asides() + v.mendedText()
}

// asides are the counts of what is no file of the catalog.
func (v verification) asides() string {
	var parts []string
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, text))
		}
	}
	add(v.Counts.Unknown, "unknown to the catalog")
	add(v.Counts.Unsettled, "of servers that are being worked on: nothing can be said of them yet")
	add(v.Counts.Aside, "set aside earlier")
	add(v.Counts.Stuck, "waiting for a decompression that is not running (the next run starts it again)")
	if len(parts) == 0 {
		return ""
	}
	return "\nBeside them: " + strings.Join(parts, ", ")
}

func (v verification) mendedText() string {
	m := v.Mended
	if m == nil {
		return ""
	}
	text := fmt.Sprintf("\nMended: %d set aside, %d to be collected again, %d to be extracted again, %d not to be mended. starter verify tells whether all is well now.",
		m.Aside, m.Forgotten, m.Again, m.Hopeless)
	if m.Collection != "" {
		text += fmt.Sprintf("\nWhat became of the collection: starter result %s", m.Collection)
	}
	return text
}
