package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/internal/commandline"
	"talon/workflows"
)

func (a *app) resultCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:     "result RUN",
		Short:   "Show what became of every server, file and archive of a run",
		Long:    "Show the result of RUN, a workflow ID or the key of a collection, from any host that reaches Temporal. The exit code is the result.",
		Example: "  starter result collect/20261123-051500-ab12\n  starter result 20261123-051500-ab12 -o csv",
		Args:    arguments("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			temporal, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer temporal.Close()
			return a.printResult(cmd.Context(), temporal, workflows.RunID(args[0]), time.Time{}, output)
		},
	}
	registerOutput(command, &output)
	return command
}

// printResult fetches the whole report of a run, prints it and returns its result as the exit code. called is when the call was made, if this
// program made it.
func (a *app) printResult(ctx context.Context, c client.Client, run string, called time.Time, output string) error {
	collector := newReport(run)
	if err := readReport(ctx, c, run, collector.add); err != nil {
		return err
	}
	if collector.open() {
		reason, err := standing(ctx, c, run)
		if err != nil {
			return err
		}
		collector.run.Reason = reason
	}
	result := collector.fold(called, time.Now())
	if err := a.print(result, output); err != nil {
		return err
	}
	if code := result.code(); code != activities.Success {
		return commandline.ExitCode(code)
	}
	return nil
}

// standing asks Temporal how a run stands whose account in the catalog is open: it goes on, or it ended without closing its account.
func standing(ctx context.Context, c client.Client, run string) (string, error) {
	answer, err := c.DescribeWorkflowExecution(ctx, run, "")
	if errors.As(err, new(*serviceerror.NotFound)) { // older than what Temporal keeps
		return reasonUnfinished, nil
	}
	if err != nil {
		return "", fmt.Errorf("ask Temporal whether %s is still running: %w", run, err)
	}
	switch answer.GetWorkflowExecutionInfo().GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return activities.ReasonCancelled, nil
	case enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return activities.ReasonTimeout, nil
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		return reasonUnfinished, nil
	default: // completed: between the two questions
		return activities.ReasonRunning, nil
	}
}

// readReport fetches the pages of a report one after the other.
func readReport(ctx context.Context, c client.Client, run string, add func(activities.ReportPage)) error {
	in := activities.ReportInput{Run: run}
	for {
		page, err := readPage(ctx, c, in)
		if err != nil {
			return err
		}
		add(page)
		if page.Next == "" {
			return nil
		}
		in.Cursor = page.Next
	}
}

func readPage(ctx context.Context, c client.Client, in activities.ReportInput) (activities.ReportPage, error) {
	var page activities.ReportPage
	err := ask(ctx, c, question{
		id: workflows.ReportID(in.Run, newKey(time.Now())), summary: "page of the report of " + in.Run,
		details: "Asked by `starter result`.", what: "read the report of " + in.Run, workflow: workflows.ReportWorkflow, input: in,
	}, &page)
	if r, ok := errors.AsType[*refusal](err); ok && r.kind == activities.UnknownRun {
		if err := notBegun(ctx, c, in.Run); err != nil {
			return page, err
		}
		return page, fmt.Errorf("%s; a run is called by its workflow ID, as the Web UI shows it", r.message)
	}
	return page, err
}

// notBegun says what Temporal knows of a run that the catalog does not: it failed before it began, or nobody has taken it up. It is nil if Temporal does
// not know it either.
func notBegun(ctx context.Context, c client.Client, run string) error {
	description, err := c.DescribeWorkflowExecution(ctx, run, "")
	if err != nil {
		return nil
	}
	if description.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return fmt.Errorf("%s has not begun yet: no tiger worker has taken it up", run)
	}
	var application *temporal.ApplicationError
	if err := c.GetWorkflow(ctx, run, "").Get(ctx, nil); errors.As(err, &application) {
		return fmt.Errorf("%s %w: %s", run, errBroken, application.Message())
	}
	return fmt.Errorf("%s ended before it began: the Web UI shows its history", run)
}
