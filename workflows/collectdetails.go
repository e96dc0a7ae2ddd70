package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// showProgress tells how a collection stands: what has finished, who is at work, who is held back, what is in trouble and why.
func (c *collectRun) showProgress(ctx workflow.Context) {
	var d details
	if c.cancelled != nil {
		d.add("**cancelled** %s", Quote(c.cancelled.String()))
	}
	waiting := len(c.plan.Servers) - len(c.final) - len(c.running)
	d.add("**%d of %s finished**, %d at work%s; %s", len(c.final), count(len(c.plan.Servers), "server"), len(c.running),
		and(tally(quantity{waiting, "waiting for their turn"})), collected(c.books()))
	if len(c.running) > 0 {
		d.add("At work: %s", names(workflow.DeterministicKeys(c.running)))
	}
	for _, server := range workflow.DeterministicKeys(c.held) {
		d.add("Held back: %s, paused %s", Quote(server), Quote(c.held[server].String()))
	}
	var rows [][]string
	for _, row := range c.outcomes() {
		if row.Reason != "" {
			rows = append(rows, []string{unbroken(row.Server), resultWord(row.Result), trouble(row.Server, row.Reason, row.Detail, maxQuoted)})
		}
	}
	d.table("server | result | what happened", rows)
	d.show(ctx)
}

// collected counts what has arrived, and what has not.
func collected(b activities.Books) string {
	return fmt.Sprintf("%s (%s) collected%s", count(b.Collected, "file"), bytesText(b.Bytes), and(tally(
		quantity{b.Unchanged, "unchanged"}, quantity{b.Deferred, "deferred"}, quantity{b.Failed, "failed"}, quantity{b.Refused, "refused"},
	)))
}

// and joins what there may be none of.
func and(more string) string {
	if more == "" {
		return ""
	}
	return ", " + more
}

// showResult tells the outcome.
func (c *collectRun) showResult(ctx workflow.Context, result CollectResult) {
	var d details
	switch {
	case c.cancelled != nil:
		d.add("**cancelled** %s", Quote(c.cancelled.String()))
	case ctx.Err() != nil:
		d.add("**cancelled**")
	}
	if ctx.Err() != nil {
		d.add("What had arrived from servers that were at work is kept; `starter result %s` counts it.", result.Run)
	}
	d.add("**%d of %s complete**: %s, in %s", result.Good, count(result.Servers, "server"), collected(result.Books), TimeText(result.End.Sub(result.Start)))
	var rows [][]string
	for _, f := range result.Failures {
		rows = append(rows, []string{unbroken(f.Server), resultWord(f.Result), trouble(f.Server, f.Reason, f.Detail, maxQuoted)})
	}
	d.table("server | result | what happened", rows)
	archives := 0
	for _, part := range result.Decompressions {
		archives += part.Archives
	}
	if archives > 0 {
		d.add("%s went to eagle: the workflows `%s…` tell what became of them.", count(archives, "archive"), DecompressID(result.Run, "", 1))
	}
	d.add("Every file: `starter result %s`", result.Run)
	d.show(ctx)
	setOutcome(ctx, c.plan.Settings.SearchAttributes, result.Result, result.Books.Collected, result.Books.Failed+result.Books.Refused)
}

// serverDetails says what the workflow of a server is there for.
func serverDetails(run, server, zipDir string) string {
	return Details(fmt.Sprintf("Collects the new and changed files of **%s** for `%s`, and publishes them below `%s/%s`. While it is at work, no other run "+
		"touches this server.\n\nOrders: `starter pause %[4]s`, `resume`, `skip`, `retry`. The branch's history: `starter servers %[4]s` and "+
		"`starter files --server %[4]s`.", Quote(server), run, zipDir, server))
}

// CollectDetails says what a collection is there for; how says how it came to be started.
func CollectDetails(how string) string {
	return Details(Quote(how) + " Collects the new and changed files of the branches' FTP servers: one workflow `server/…` each, whose archives go to eagle with " +
		"workflows `decompress/…`.\n\nOrders: `starter cancel` with this workflow's ID; `starter pause`, `resume`, `skip` and `retry` with a server's name. Result: " +
		"`starter result` with this workflow's ID.")
}
