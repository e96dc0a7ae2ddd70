package workflows

import (
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// collectShards divides a list too long for one history over child CollectWorkflows. Each plans its own range of names, keeps the deadline
// itself and writes its rows for the same run.
func (c *collectRun) collectShards(ctx workflow.Context) (CollectResult, error) {
	c.state = StateCollecting
	total := CollectResult{Run: c.run, ZipDir: c.plan.Settings.ZipDir, Start: c.start}
	var children []workflow.ChildWorkflowFuture
	for i, shard := range c.plan.Shards {
		id := fmt.Sprintf("%s/%d", c.run, i+1)
		options := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID:          id,
			ParentClosePolicy:   enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
			WaitForCancellation: true,
			StaticSummary:       fmt.Sprintf("servers %s, part %d of %d", rangeName(shard), i+1, len(c.plan.Shards)),
		})
		children = append(children, workflow.ExecuteChildWorkflow(options, CollectWorkflow, CollectInput{
			Servers: c.in.Servers, Buffer: c.in.Buffer, Shard: &shard, Root: c.run, Window: max(1, c.plan.Window/len(c.plan.Shards)),
		}))
		total.Shards = append(total.Shards, id)
	}
	for i, child := range children {
		var part CollectResult
		if err := child.Get(ctx, &part); err != nil {
			return CollectResult{}, fmt.Errorf("part %d of the run: %w", i+1, err)
		}
		total.add(part)
		c.books.Add(part.Books)
	}
	total.Result, total.End = fold(total), workflow.Now(ctx)
	input := activities.CloseRunInput{Run: c.run, Result: total.Result, Start: c.start, ZipDir: c.plan.Settings.ZipDir}
	if err := cheaply(detached(ctx), tigerDuty, "close the run", tiger.CloseRun, input, nil); err != nil {
		return CollectResult{}, fmt.Errorf("close the run: %w", err)
	}
	c.state = StateDone
	c.show(ctx, total)
	return total, nil
}

// add folds a part into the whole. Lists stay with the parts: Shards says where.
func (r *CollectResult) add(part CollectResult) {
	r.Servers += part.Servers
	r.Good += part.Good
	r.Bad += part.Bad
	r.Books.Add(part.Books)
	room := maxBriefs - len(r.Failures)
	r.Failures = append(r.Failures, part.Failures[:min(room, len(part.Failures))]...)
}

func rangeName(shard activities.Shard) string {
	return strings.TrimSpace(shard.From + "…" + shard.Until)
}

// markdown is a collection's outcome for the Web UI.
func markdown(result CollectResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%d of %d servers complete**, %d files (%d bytes) collected, %d unchanged, %d failed, %d refused\n",
		result.Good, result.Servers, result.Books.Collected, result.Books.Bytes, result.Books.Unchanged, result.Books.Failed, result.Books.Refused)
	if len(result.Failures) > 0 {
		b.WriteString("\n| server | result | reason | what happened |\n|---|---|---|---|\n")
	}
	for _, f := range result.Failures {
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", f.Server, f.Result, f.Reason, strings.ReplaceAll(f.Detail, "|", "\\|"))
	}
	return b.String()
}
