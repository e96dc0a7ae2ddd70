package workflows

import (
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// ForgetWorkflow makes the next collection take files for new. It exists because the catalog is on tiger and the starter may be anywhere.
func ForgetWorkflow(ctx workflow.Context, in activities.ForgetInput) (activities.ForgetResult, error) {
	var result activities.ForgetResult
	err := cheaply(ctx, tigerCall, "forget "+count(len(in.Files), "file"), tiger.ForgetFiles, in, &result)
	if err == nil {
		var d details
		d.add("**%s forgotten**%s", count(len(result.Forgotten), "version"), and(tally(quantity{len(result.Refused), "refused"})))
		d.show(ctx)
	}
	return result, err
}
