package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/workflows"
)

// restart starts a collection's decompression again that ended before all of its archives had a result: it was terminated, or could not seal
// them for a day. Those that have one are left alone.
func restart(ctx context.Context, c client.Client, id string, order workflows.Order) (string, error) {
	description, err := c.DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return "", fmt.Errorf("there is no %s at Temporal, or no more: its name is that in the Web UI, such as decompress/20261123-051500-ab12/branch-001", id)
	}
	if err != nil {
		return "", fmt.Errorf("how did %s end: %w", id, err)
	}
	switch description.GetWorkflowExecutionInfo().GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return "", fmt.Errorf("%s has finished: each of its archives has a result", id)
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return "", fmt.Errorf("%s was cancelled, and that is its archives' result: starter forget them, and the next run collects and extracts them", id)
	}
	in, err := decompressInput(ctx, c, id)
	if err != nil {
		return "", err
	}
	if in.Own {
		return "", fmt.Errorf("%s belongs to no collection: run starter decompress %s %s again", id, in.ZipDir, in.UnzipDir)
	}
	options := client.StartWorkflowOptions{
		ID: id, TaskQueue: activities.TigerQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		StaticSummary: workflows.Summary("started again " + order.String()),
		StaticDetails: "Extracts the archives that had no result when this decompression ended the last time.",
		Memo:          map[string]any{"run": in.Run},
	}
	if in.SearchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.AttributeServer.ValueSet(in.Server),
			workflows.AttributeRun.ValueSet(in.Run), workflows.AttributeState.ValueSet(workflows.StateExtracting))
	}
	if _, err := c.ExecuteWorkflow(ctx, options, workflows.DecompressWorkflow, in); err != nil {
		return "", fmt.Errorf("start %s again: %w", id, err)
	}
	return id + " is started again for the archives that have no result yet", nil
}

// decompressInput is what the last execution of a decompression was started with, from its first page on.
func decompressInput(ctx context.Context, c client.Client, id string) (in workflows.DecompressInput, err error) {
	history := c.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := history.Next()
	if err == nil {
		err = converter.GetDefaultDataConverter().FromPayloads(first.GetWorkflowExecutionStartedEventAttributes().GetInput(), &in)
	}
	if err != nil {
		return in, fmt.Errorf("what %s was started with: %w", id, err)
	}
	in.After, in.Start = 0, time.Time{} // the deadline counts anew
	return in, nil
}
