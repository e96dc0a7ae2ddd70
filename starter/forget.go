package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"talon/activities"
	"talon/internal/commandline"
	"talon/workflows"
)

// maxForget bounds the names of one command: their answer is one payload.
const maxForget = 200

type forgetOptions struct {
	server      string
	allVersions bool
	output      string
}

func (a *app) forgetCommand() *cobra.Command {
	var o forgetOptions
	command := &cobra.Command{
		Use:   "forget FILE...",
		Short: "Have files collected again by the next collection",
		Long: "Forget that files were collected (or left alone, or watched until stable), so that the next collection of their server takes them for new. A\n" +
			"FILE is a remote path as results show it, or its path in the zip warehouse. Nothing is removed: reports and lineage stay, and a copy that lies\n" +
			"in the warehouse is never replaced. Collected again into another --buffer it counts as lying there. Exit codes: 0 all forgotten, 1 none, 2 some (3: could not run).",
		Example: "  starter forget --server branch-001 reports/a.zip && starter collect --server branch-001 --wait\n" +
			"  starter forget branch-001/reports/a~2.zip -o json",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > maxForget {
				return commandline.SeeHelp(command, fmt.Errorf("forget needs 1 to %d FILEs: %d given", maxForget, len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.forget(cmd.Context(), args, o) },
	}
	command.Flags().StringVar(&o.server, "server", "", "the server that the files are on; needed where several have one of that name")
	command.Flags().BoolVar(&o.allVersions, "all-versions", false, "forget each version of a file, not only the newest")
	registerOutput(command, &o.output)
	return command
}

func (a *app) forget(ctx context.Context, files []string, o forgetOptions) error {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	var result activities.ForgetResult
	names := strings.Join(files, ", ")
	err = ask(ctx, temporal, question{
		id: workflows.ForgetID(newKey(time.Now())), what: workflows.Summary("forget " + names), summary: workflows.Summary("forget " + names),
		details:  workflows.Details("The next collection takes these files for new: " + workflows.Quote(names)),
		workflow: workflows.ForgetWorkflow,
		input:    activities.ForgetInput{Files: files, Server: o.server, AllVersions: o.allVersions},
	}, &result)
	if err != nil {
		return err
	}
	if err := forgottenListing(result).print(a.stdout, o.output); err != nil {
		return err
	}
	return forgetCode(result)
}

func forgetCode(r activities.ForgetResult) error {
	var refused []error
	for _, refusal := range r.Refused {
		refused = append(refused, fmt.Errorf("%s: %s", printable(refusal.Name), refusal.Detail))
	}
	switch {
	case len(refused) == 0:
		return nil
	case len(r.Forgotten) == 0:
		return commandline.ExitCode(activities.Failed).Because(errors.Join(refused...))
	default:
		return commandline.ExitCode(activities.Partial).Because(errors.Join(refused...))
	}
}

func forgottenListing(r activities.ForgetResult) listing {
	l := listing{
		title: "Forgotten",
		columns: []column{
			{title: "Server", key: "server"},
			{title: "File", key: "path"},
			{title: "Version", key: "version", right: true},
			{title: "In the zip warehouse", key: "local_path"},
			{title: "Size", key: "size", right: true},
			{title: "Modified", key: "mtime"},
			{title: "Note", key: "note"},
		},
		document: r,
	}
	for _, f := range r.Forgotten {
		version := cell{}
		if f.Version > 0 {
			version = numberCell(f.Version)
		}
		l.rows = append(l.rows, []cell{
			textCell(f.Server), textCell(f.Path), version, textCell(f.LocalPath), sizeCell(f.Size), timeCell(f.ModTime), textCell(forgottenNote(f)),
		})
	}
	if r.More > 0 {
		l.footer = fmt.Sprintf("and %d more versions", r.More)
	}
	return l
}

// forgottenNote says what people should know of a forgotten file.
func forgottenNote(f activities.Forgotten) string {
	var notes []string
	if f.Kind != "collected" {
		notes = append(notes, "was "+f.Kind+", not collected")
	}
	if f.Again {
		notes = append(notes, "had been forgotten before")
	}
	if done := map[string]string{"delete": "deleted", "move": "moved away", "rename": "renamed"}[f.Gone]; done != "" {
		notes = append(notes, "was "+done+" on the server when it had been collected: it cannot be had again unless it is put back")
	}
	return strings.Join(notes, "; ")
}
