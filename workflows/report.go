package workflows

import (
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// ReportWorkflow returns one page of a run's full report. It exists because the catalog is on tiger and the starter may be anywhere: every answer
// goes through Temporal, in pages that stay far below the payload limit.
func ReportWorkflow(ctx workflow.Context, in activities.ReportInput) (activities.ReportPage, error) {
	var page activities.ReportPage
	err := cheaply(ctx, tigerCall, "report of "+in.Run, tiger.ReadReport, in, &page)
	return page, err
}
