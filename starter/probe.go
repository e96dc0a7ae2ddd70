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
	"talon/internal/commandline"
	"talon/workflows"
)

const (
	// probeLimit ends a page of a probe that is stuck, or that no tiger worker takes.
	probeLimit = 2 * time.Hour
	// cancelWithin bounds the request to cancel a probe, after which the program ends.
	cancelWithin = 10 * time.Second
)

type probeOptions struct {
	servers []string
	write   bool
	output  string
}

func (a *app) probeCommand() *cobra.Command {
	var o probeOptions
	command := &cobra.Command{
		Use:   "probe [SERVER...]",
		Short: "Find out what servers can do, what is wrong with them, and what to do about it",
		Long: "Have tiger log in to all configured servers, or to those named, list them, fetch a byte and try REST and the number of sessions; print what was\n" +
			"learned, which the next collection uses, and what is wrong, in words that a branch's administrator can act on. Nothing is changed on a server\n" +
			"unless --write says so. Exit codes: 0 all are fine, 1 none can be collected, 2 some have problems (3: could not run).",
		Example: "  starter probe\n  starter probe branch-001 branch-002 -o json\n  starter probe branch-001 --write",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.servers = args
			return a.probe(cmd.Context(), o)
		},
	}
	command.Flags().BoolVar(&o.write, "write", false, "also try out the rights that after: needs: store a small file, rename it, delete it")
	command.Flags().StringVarP(&o.output, "output", "o", outputTable, "output format: table or json")
	return command
}

func (a *app) probe(ctx context.Context, o probeOptions) error {
	if o.output != outputTable && o.output != outputJSON {
		return fmt.Errorf("there is no output format %q: use -o table or json", o.output)
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	probes, err := a.probeServers(ctx, temporal, newKey(time.Now()), o)
	if err != nil {
		return err
	}
	if err := printProbes(a.stdout, probes, o.output); err != nil {
		return err
	}
	codes := make([]int, len(probes))
	for i, probe := range probes {
		codes[i] = probe.Result
	}
	if code := foldCodes(codes); code != activities.Success {
		return commandline.ExitCode(code)
	}
	return nil
}

// probeServers probes page by page, and shows the progress.
func (a *app) probeServers(ctx context.Context, c client.Client, key string, o probeOptions) ([]activities.ServerProbe, error) {
	display := newDisplay(a.stderr)
	defer display.close()
	var probes []activities.ServerProbe
	in := workflows.ProbeInput{Servers: o.servers, Write: o.write}
	for n := 1; ; n++ {
		page, err := probePage(ctx, c, workflows.ProbeID(key, n), in, func(p workflows.Progress) {
			for _, brief := range p.Finished {
				display.probed(brief)
			}
			display.probing(len(probes)+p.Done, p.Servers)
		})
		if err != nil {
			return nil, err
		}
		probes = append(probes, page.Servers...)
		if in.After = page.Next; in.After == "" {
			return probes, nil
		}
	}
}

// probePage runs one page to its end. An interrupt cancels it: tiger must not go on trying servers that nobody asks about any more.
func probePage(
	ctx context.Context, c client.Client, id string, in workflows.ProbeInput, show func(workflows.Progress),
) (page workflows.ProbePage, err error) {
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: activities.TigerQueue, WorkflowExecutionTimeout: probeLimit,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL, StaticSummary: probeSummary(in),
		StaticDetails: probeDetails(in), Memo: memo(),
	}, workflows.ProbeWorkflow, in)
	if err != nil {
		return page, fmt.Errorf("start the probe: %w", err)
	}
	f := follower{temporal: c}
	err = f.end(ctx, id, &page, func(p workflows.Progress) {
		f.position = p.Position
		show(p)
	})
	switch {
	case err == nil && len(page.Servers) == 0:
		return page, fmt.Errorf("%s was cancelled, terminated or out of time before it had a result", id)
	case err == nil || ctx.Err() == nil:
		return page, err
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelWithin)
	defer cancel()
	if err := c.CancelWorkflow(grace, id, ""); err != nil {
		return page, errors.Join(fmt.Errorf("interrupted, but %s could not be cancelled and goes on", id), err)
	}
	return page, fmt.Errorf("interrupted; %s is being cancelled", id)
}

// probeDetails says what a page of a probe is there for.
func probeDetails(in workflows.ProbeInput) string {
	details := "Tiger logs in to each server once, lists it, fetches a byte, and tries what it can do; the next collection uses what was learned."
	if in.Write {
		details += " It also stores a small file there, renames and deletes it."
	} else {
		details += " Nothing is changed on a server."
	}
	if in.After != "" {
		details += fmt.Sprintf("\n\nThis page begins after `%s`.", in.After)
	}
	return workflows.Details(details)
}

func probeSummary(in workflows.ProbeInput) string {
	what := "all servers"
	if len(in.Servers) > 0 {
		what = strings.Join(in.Servers, ", ")
	}
	if in.Write {
		return workflows.Summary("probe and write to " + what)
	}
	return workflows.Summary("probe " + what)
}
