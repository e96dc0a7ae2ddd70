package main

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/spf13/cobra"

	"talon/config/dial"
	"talon/internal/commandline"
)

// exitTrouble is the exit code of a status that has problems.
const exitTrouble = 1

// thresholds are what an operator calls too much.
type thresholds struct {
	lag        float64       // intervals of the schedule that a server may go without a complete collection
	backlogAge time.Duration // of the oldest task in a queue
}

type statusOptions struct {
	limits thresholds
	output string
}

func (a *app) statusCommand() *cobra.Command {
	o := statusOptions{limits: thresholds{lag: 4, backlogAge: 5 * time.Minute}}
	command := &cobra.Command{
		Use:   "status",
		Short: "Tell whether everything is well and, if not, what is wrong and what to do",
		Long: "Look at Temporal, the workers, the schedule, what is at work and what waits, and every server's last complete collection, within seconds.\n" +
			"What needs somebody is a problem, with a stable code for monitoring: no_temporal, no_tiger, no_eagle, tiger_backlog, eagle_backlog,\n" +
			"schedule_paused, schedule_overdue, schedule_skipped (one run holds up the next ones), schedule_missing (there was one), run_failed, server_silent,\n" +
			"waiting_for_eagle, waiting_for_gateway, workflow_stuck. The rest are notes: schedule_missing (there never was one), schedule_missed,\n" +
			"schedule_skipped (that was earlier), server_paused, servers_unknown, search_attributes_missing.\n" +
			"Exit codes: 0 healthy, perhaps with notes; 1 there are problems; 3 could not find out everything. -o csv lists the problems and notes.",
		Example: "  starter status\n  starter status --lag 8 --backlog-age 15m\n  starter status -o json | jq -r '.problems[].code'",
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), o) },
	}
	command.Flags().Float64Var(&o.limits.lag, "lag", o.limits.lag, "intervals of the schedule after which a server that was not collected completely is a problem")
	command.Flags().DurationVar(&o.limits.backlogAge, "backlog-age", o.limits.backlogAge, "age of a queue's oldest task from which on it is a problem")
	registerOutput(command, &o.output)
	return command
}

func (o statusOptions) check() error {
	switch {
	case math.IsNaN(o.limits.lag) || o.limits.lag <= 0:
		return errors.New("--lag is a number of intervals: more than 0")
	case o.limits.backlogAge <= 0:
		return errors.New("--backlog-age is a time: more than 0s")
	default:
		return checkOutput(o.output)
	}
}

func (a *app) status(ctx context.Context, o statusOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return a.noTemporal(err, o.output)
	}
	defer temporal.Close()
	g, err := newGatherer(temporal)
	if err != nil {
		return err
	}
	report := judge(g.gather(ctx), o.limits)
	if err := report.print(a.stdout, o.output); err != nil {
		return err
	}
	switch {
	case len(report.Problems) > 0:
		return commandline.ExitCode(exitTrouble)
	case len(report.Unknown) > 0:
		return commandline.ExitCode(commandline.ExitUnusable)
	default:
		return nil
	}
}

// noTemporal is the status without Temporal: programs get a document all the same, people the error alone.
func (a *app) noTemporal(cause error, output string) error {
	if !errors.Is(cause, dial.ErrUnreachable) {
		return cause
	}
	if output != outputTable {
		report := statusReport{survey: newSurvey(), Verdict: verdictUnknown, Notes: []finding{}, Problems: []finding{{
			Code: codeNoTemporal, What: cause.Error(), Advice: "without Temporal nothing is known and nothing is collected",
		}}}
		if err := report.print(a.stdout, output); err != nil {
			return err
		}
	}
	return commandline.ExitCode(commandline.ExitUnusable).Because(cause)
}
