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
	"talon/workflows"
)

// youngestRun is the least age of runs that are cleaned: a server may still be at work for a run that has ended.
const youngestRun = 7 * 24 * time.Hour

type cleanOptions struct {
	versions, runs, damaged string
	yes                     bool
	output                  string
}

func (a *app) cleanCommand() *cobra.Command {
	var o cleanOptions
	command := &cobra.Command{
		Use:   "clean",
		Short: "Remove what is of no more use: old versions, rows of old runs, leftovers",
		Long: "Show what is of no more use, and with --yes remove it: versions of collected files that have a newer one (never the newest, and never an archive\n" +
			"that waits for its extraction), rows of old runs in the catalog (never what keeps a file from being collected again, or leads from a file to its\n" +
			"source), what was staged and no attempt can own, and damaged files that verify set aside. Only what is asked for with an age goes, and the\n" +
			"leftovers of the stage.",
		Example: "  starter clean --versions-older-than 90d\n  starter clean --versions-older-than 90d --runs-older-than 400d --damaged-older-than 30d --yes",
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.clean(cmd.Context(), o) },
	}
	f := command.Flags()
	f.StringVar(&o.versions, "versions-older-than", "", "old versions of collected files that were collected longer ago (90d)")
	f.StringVar(&o.runs, "runs-older-than", "", "rows of runs that ended longer ago (400d, at least 7d), and of verifications")
	f.StringVar(&o.damaged, "damaged-older-than", "", "damaged files that were set aside longer ago (30d)")
	f.BoolVar(&o.yes, "yes", false, "remove it; without this flag nothing is changed")
	registerOutput(command, &o.output)
	return command
}

// options checks the flags and makes times of the ages.
func (o cleanOptions) options(now time.Time) (in activities.CleanOptions, err error) {
	if err := checkOutput(o.output); err != nil {
		return in, err
	}
	in.Meant = o.yes
	for _, of := range []struct {
		flag, text string
		least      time.Duration
		before     *time.Time
	}{
		{"--versions-older-than", o.versions, 0, &in.VersionsBefore},
		{"--runs-older-than", o.runs, youngestRun, &in.RunsBefore},
		{"--damaged-older-than", o.damaged, 0, &in.AsideBefore},
	} {
		if of.text == "" {
			continue
		}
		age, err := parseAge(of.flag, of.text)
		if err != nil {
			return in, err
		}
		if age < of.least {
			return in, fmt.Errorf("%s %s is too young: a run may still be at work; the least is %dd", of.flag, of.text, of.least/(24*time.Hour))
		}
		*of.before = now.Add(-age)
	}
	return in, nil
}

func (a *app) clean(ctx context.Context, o cleanOptions) error {
	called := time.Now()
	options, err := o.options(called)
	if err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	id := workflows.CleanID(newKey(called))
	_, err = temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: activities.TigerQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		StaticSummary: cleanSummary(o), StaticDetails: cleanDetails(options), Memo: memo(),
	}, workflows.CleanWorkflow, workflows.CleanInput{CleanOptions: options})
	if err != nil {
		return fmt.Errorf("start the cleaning: %w", err)
	}
	result, err := a.awaitCleaning(ctx, temporal, id)
	switch {
	case err == nil:
		return cleanListing(result).print(a.stdout, o.output)
	case ctx.Err() != nil && options.Meant:
		return fmt.Errorf("interrupted; %s goes on", id)
	default:
		return err
	}
}

func (a *app) awaitCleaning(ctx context.Context, c client.Client, id string) (result workflows.CleanResult, err error) {
	display := newDisplay(a.stderr)
	defer display.close()
	f := follower{temporal: c, display: display}
	err = f.end(ctx, id, &result, func(p workflows.Progress) { display.cleaning(p.Done) })
	if err == nil && result.Cleaning == "" {
		err = errors.New(id + " was cancelled or terminated before it had a result; what it had removed is gone")
	}
	return result, err
}

func cleanSummary(o cleanOptions) string {
	if o.yes {
		return "remove what is of no more use"
	}
	return "count what is of no more use"
}

func cleanDetails(in activities.CleanOptions) string {
	lines := []string{"Staged files that no attempt can own."}
	for _, of := range []struct {
		what   string
		before time.Time
	}{
		{"Old versions of collected files, collected before", in.VersionsBefore},
		{"Rows of runs that ended before", in.RunsBefore},
		{"Damaged files that were set aside before", in.AsideBefore},
	} {
		if !of.before.IsZero() {
			lines = append(lines, of.what+" "+of.before.UTC().Format(time.RFC3339)+".")
		}
	}
	if !in.Meant {
		lines = append(lines, "Nothing is removed: they are only counted.")
	}
	return workflows.Details("- " + strings.Join(lines, "\n- "))
}

// cleanKinds are what a cleaning is about, in the order of the list.
var cleanKinds = []string{
	activities.CleanVersions, activities.CleanRuns, activities.CleanFindings, activities.CleanStage, activities.CleanAside,
}

func cleanListing(r workflows.CleanResult) listing {
	l := listing{
		title: "Of no more use",
		columns: []column{
			{title: "What", key: "kind"}, {title: "How many", key: "count", right: true}, {title: "Size", key: "bytes", right: true}, {title: "Oldest", key: "oldest"},
		},
		footer: "Nothing was removed: add --yes to remove it", document: r,
	}
	if r.Meant {
		l.title, l.footer = "Removed", ""
	}
	for _, kind := range cleanKinds {
		spent := r.Spent[kind]
		bytes := sizeCell(spent.Bytes)
		if kind == activities.CleanRuns || kind == activities.CleanFindings {
			bytes = cell{} // the catalog's file keeps the room for new rows
		}
		l.rows = append(l.rows, []cell{textCell(kind), numberCell(spent.Count), bytes, timeCell(spent.Oldest)})
	}
	return l
}
