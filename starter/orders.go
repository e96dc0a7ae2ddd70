package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"talon/workflows"
)

// maxRuns bounds how many running collections are asked for a server.
const maxRuns = 100

// giver gives an order to the workflows that are concerned, and returns their answer.
type giver func(ctx context.Context, c client.Client, target string, order workflows.Order) (string, error)

// orderCommand is a command that orders something of a running collection.
func (a *app) orderCommand(update, argument, short, long, example string, carryOut giver) *cobra.Command {
	var why, output string
	command := &cobra.Command{
		Use: update + " " + argument, Short: short, Long: long, Example: example, Args: arguments(argument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != outputTable && output != outputJSON {
				return fmt.Errorf("there is no output format %q: use -o table or json", output)
			}
			temporal, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer temporal.Close()
			answer, err := carryOut(cmd.Context(), temporal, args[0], workflows.Order{By: whoami(), Why: why})
			if err != nil {
				return err
			}
			if output == outputJSON {
				return writeJSON(a.stdout, map[string]string{"order": update, "target": args[0], "answer": answer})
			}
			_, err = fmt.Fprintln(a.stdout, printable(answer))
			return err
		},
	}
	command.Flags().StringVar(&why, "why", "", "the reason; shown in the Web UI and in results")
	command.Flags().StringVarP(&output, "output", "o", outputTable, "output format: table or json")
	return command
}

// serverOrders are the commands for one server of a running collection.
func (a *app) serverOrders() []*cobra.Command {
	return []*cobra.Command{
		a.orderCommand(
			workflows.PauseUpdate, "SERVER", "Fetch nothing more from a server that is being collected, until resume",
			"Pause the running collection of SERVER. Files that are on their way still arrive and are published; nothing more is asked of the server. It stays\n"+
				"paused, also for later runs, which find it busy, until starter resume SERVER. A server whose turn has not come is held back.",
			"  starter pause branch-001 --why \"the branch needs its line\"", orderServer(workflows.PauseUpdate),
		),
		a.orderCommand(
			workflows.ResumeUpdate, "SERVER", "Let a paused server go on", "Let SERVER, which starter pause has paused, go on where it stood.",
			"  starter resume branch-001", orderServer(workflows.ResumeUpdate),
		),
		a.orderCommand(
			workflows.SkipUpdate, "SERVER", "End a server's part of the running collection now",
			"End what the running collection does with SERVER. What has arrived is published and counts; the rest has the reason \"skipped\" and is collected by the\n"+
				"next run.",
			"  starter skip branch-001 --why \"down until Monday\"", orderServer(workflows.SkipUpdate),
		),
		a.orderCommand(
			workflows.RetryUpdate, "SERVER|DECOMPRESSION", "Try again now what has failed in the running collection, or what waits for the gateway",
			"Collect SERVER once more in the running collection, at once if it has finished, else when it has: what failed is fetched again. With the workflow ID of\n"+
				"a decompression (decompress/…): try the gateway now, or start it again if it ended before its archives had a result.",
			"  starter retry branch-001\n  starter retry decompress/20261123-051500-ab12/branch-001", a.retry,
		),
	}
}

func (a *app) cancelCommand() *cobra.Command {
	return a.orderCommand(
		workflows.CancelUpdate, "RUN", "End a running collection or decompression; what has arrived is kept",
		"Cancel RUN, a workflow ID or the key of a collection. What is on its way is given up, what has arrived is published and counts; starter result RUN tells\n"+
			"what that is. Archives that were collected are still decompressed.",
		"  starter cancel 20261123-051500-ab12 --why \"wrong buffer\"", orderRun(workflows.CancelUpdate),
	)
}

// whoami is the operator, as histories name him.
func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

// orderServer gives an order for a server: to its own workflow if it is at work, else to the run that has it on its list.
func orderServer(update string) giver {
	return func(ctx context.Context, c client.Client, server string, order workflows.Order) (string, error) {
		order.Server = server
		answer, err := give(ctx, c, workflows.ServerID(server), update, order)
		if !isOver(err) {
			return answer, err
		}
		return orderRuns(ctx, c, update, order)
	}
}

// orderRuns asks the running collections one after the other for the one that has the server on its list.
func orderRuns(ctx context.Context, c client.Client, update string, order workflows.Order) (string, error) {
	answer, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: maxRuns, Query: "WorkflowType = 'CollectWorkflow' AND ExecutionStatus = 'Running'",
	})
	if err != nil {
		return "", fmt.Errorf("which collections are running: %w", err)
	}
	for _, run := range answer.GetExecutions() {
		done, err := give(ctx, c, run.GetExecution().GetWorkflowId(), update, order)
		if isOver(err) || isRefusal(err, workflows.NotHere) {
			continue
		}
		return done, err
	}
	message := fmt.Sprintf("no collection of %q is running: there is nothing to %s", order.Server, update)
	switch update {
	case workflows.RetryUpdate:
		message += fmt.Sprintf("; collect it now with starter collect --server %s", order.Server)
	case workflows.PauseUpdate, workflows.SkipUpdate:
		message += "; to keep it out of coming runs, take it out of the configuration"
	}
	return "", errors.New(message)
}

func orderRun(update string) giver {
	return func(ctx context.Context, c client.Client, run string, order workflows.Order) (string, error) {
		id := workflows.RunID(run)
		answer, err := give(ctx, c, id, update, order)
		if isOver(err) {
			return "", fmt.Errorf("%s is not running: starter runs shows those that are, starter result %s what became of it", id, id)
		}
		return answer, err
	}
}

// retry tries a server again or, by its workflow ID, a decompression.
func (a *app) retry(ctx context.Context, c client.Client, what string, order workflows.Order) (string, error) {
	if !isDecompression(what) {
		return orderServer(workflows.RetryUpdate)(ctx, c, what, order)
	}
	answer, err := give(ctx, c, what, workflows.RetryUpdate, order)
	if !isOver(err) {
		return answer, err
	}
	return restart(ctx, c, what, order)
}

// give sends an order to a workflow and returns what it did. An order that is refused is a *refusal.
func give(ctx context.Context, c client.Client, id, update string, order workflows.Order) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: update, Args: []any{order}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, &answer)
	}
	var application *temporal.ApplicationError
	switch {
	case err == nil:
		return answer, nil
	case errors.As(err, &application):
		return "", &refusal{kind: application.Type(), message: strings.TrimSpace(application.Message())}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("%s did not answer within %s: no tiger worker is there to carry the order out; start one with worker --role tiger", id, answerPatience)
	default:
		return "", fmt.Errorf("%s %s: %w", update, id, err)
	}
}

// isOver: there is no such workflow, or it has ended.
func isOver(err error) bool { return errors.As(err, new(*serviceerror.NotFound)) }

func isRefusal(err error, kind string) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.kind == kind
}
