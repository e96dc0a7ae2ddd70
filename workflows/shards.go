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
	var parts []workflow.ChildWorkflowFuture
	for i, shard := range c.plan.Shards {
		id := fmt.Sprintf("%s/%d", c.run, i+1)
		total.Shards = append(total.Shards, id)
		parts = append(parts, c.startShard(ctx, id, i, shard))
	}
	for i, child := range parts {
		var part CollectResult
		if err := child.Get(ctx, &part); err != nil && ctx.Err() == nil {
			return CollectResult{}, fmt.Errorf("part %d of the run: %w", i+1, err)
		}
		total.add(part)
		c.parts.Add(part.Books)
	}
	total.Result, total.End = fold(total), workflow.Now(ctx)
	if ctx.Err() != nil { // a cancelled part brings no counts; its rows are in the catalog
		total.Result = activities.Failed
		if total.Good > 0 {
			total.Result = activities.Partial
		}
	}
	return c.close(ctx, total)
}

func (c *collectRun) startShard(ctx workflow.Context, id string, i int, shard activities.Shard) workflow.ChildWorkflowFuture {
	options := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:          id,
		ParentClosePolicy:   enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WaitForCancellation: true,
		StaticSummary:       Summary(fmt.Sprintf("servers %s, part %d of %d", rangeName(shard), i+1, len(c.plan.Shards))),
		StaticDetails:       Details(fmt.Sprintf("A part of `%s`, whose list of servers is too long for one workflow. Each part keeps the deadline itself.", c.run)),
		Memo:                map[string]any{"run": c.run},
	})
	return workflow.ExecuteChildWorkflow(options, CollectWorkflow, CollectInput{
		Servers: c.in.Servers, Buffer: c.in.Buffer, Shard: &shard, Root: c.run, Window: max(1, c.plan.Window/len(c.plan.Shards)),
	})
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
