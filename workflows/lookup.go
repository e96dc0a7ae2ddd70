package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// LookupWorkflow answers one question to tiger's catalog with one page, for the same reason for which there is a ReportWorkflow. It fails on what the
// activity refuses (an unknown server), and on an input that asks for nothing, or for several things.
func LookupWorkflow(ctx workflow.Context, in LookupInput) (LookupPage, error) {
	var page LookupPage
	what := in.What()
	summary := "look up " + what
	var err error
	switch what {
	case LookupServers:
		err = cheaply(ctx, tigerCall, summary, tiger.ReadServers, *in.Servers, &page.Servers)
	case LookupRuns:
		err = cheaply(ctx, tigerCall, summary, tiger.ReadRuns, *in.Runs, &page.Runs)
	case LookupFiles:
		err = cheaply(ctx, tigerCall, summary, tiger.ReadFiles, *in.Files, &page.Files)
	default:
		err = temporal.NewNonRetryableApplicationError(fmt.Sprintf("a lookup asks one question, this one %q", what), activities.BadQuestion, nil)
	}
	return page, err
}
