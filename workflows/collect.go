package workflows

import (
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// CollectWorkflow collects all servers of the configuration, or those of its input: a window of CollectServerWorkflows in flight until the deadline.
// Partial failure is data: it completes with a result whatever the servers do; it fails only on input that cannot be worked on (unknown
// server, warehouse on two file systems).
func CollectWorkflow(ctx workflow.Context, in CollectInput) (CollectResult, error) {
	c := &collectRun{in: in, run: in.Root, state: StatePlanning, start: workflow.Now(ctx)}
	if c.run == "" {
		c.run = workflow.GetInfo(ctx).WorkflowExecution.ID
	}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, c.progress); err != nil {
		return CollectResult{}, err
	}
	return c.collect(ctx)
}

// collectRun is the state of a CollectWorkflow.
type collectRun struct {
	in    CollectInput
	run   string // workflow ID of the root
	state string
	start time.Time
	plan  activities.Plan
	// rows are the outcomes in the order in which servers finished; unwritten are those that the server's own workflow did not write
	// into the catalog.
	rows      []activities.ServerResult
	unwritten []activities.ServerResult
	books     activities.Books
	// starting counts children between the decision to start them and their first event: the run must not close in between, or they
	// never start. running are the started ones.
	starting int
	running  map[string]bool
	closed   bool // no more children
}

func (c *collectRun) collect(ctx workflow.Context) (CollectResult, error) {
	input := activities.PlanInput{Run: c.run, Servers: c.in.Servers, Buffer: c.in.Buffer}
	if c.in.Shard != nil {
		input.From, input.Until = c.in.Shard.From, c.in.Shard.Until
	}
	err := cheaply(ctx, tigerCall, "plan", tiger.PlanRun, input, &c.plan)
	switch {
	case ctx.Err() != nil: // the plan may have begun the run in the catalog
		return c.close(ctx, c.result(ctx))
	case err != nil:
		return CollectResult{}, err
	}
	if len(c.plan.Shards) > 0 {
		return c.collectShards(ctx)
	}
	c.state = StateCollecting
	setState(ctx, c.plan.Settings.SearchAttributes, c.state)
	c.fanOut(ctx)
	c.reportUnfinished(ctx)
	return c.close(ctx, c.result(ctx))
}

// fanOut runs the servers through the window and returns when all are finished, at the deadline, or when the run is cancelled and its
// children have ended.
func (c *collectRun) fanOut(ctx workflow.Context) {
	c.running = make(map[string]bool)
	window := c.plan.Window
	if c.in.Window > 0 {
		window = c.in.Window
	}
	slots := workflow.NewSemaphore(ctx, int64(window))
	for _, server := range c.plan.Servers {
		workflow.Go(ctx, func(ctx workflow.Context) {
			if err := slots.Acquire(ctx, 1); err != nil {
				return // cancelled before its turn
			}
			defer slots.Release(1)
			c.collectServer(ctx, server)
		})
	}
	finished := func() bool { return len(c.rows) == len(c.plan.Servers) }
	deadline := workflow.AwaitOptions{Timeout: c.plan.Deadline, TimerOptions: workflow.TimerOptions{Summary: "deadline of the run"}}
	if _, err := workflow.AwaitWithOptions(ctx, deadline, finished); err != nil {
		c.awaitChildren(detached(ctx)) // cancelled: they are winding down and write their rows
	}
	c.closed = true
	if err := workflow.Await(detached(ctx), func() bool { return c.starting == 0 }); err != nil {
		workflow.GetLogger(ctx).Error("waiting for children to start", "error", err)
	}
}

func (c *collectRun) awaitChildren(ctx workflow.Context) {
	c.closed = true
	if err := workflow.Await(ctx, func() bool { return c.starting == 0 && len(c.running) == 0 }); err != nil {
		workflow.GetLogger(ctx).Error("waiting for children to end", "error", err)
	}
}

// collectServer runs one server's child from start to end.
func (c *collectRun) collectServer(ctx workflow.Context, server activities.PlannedServer) {
	if c.closed || ctx.Err() != nil {
		return
	}
	c.starting++
	child := workflow.ExecuteChildWorkflow(c.childOptions(ctx, server.Name), CollectServerWorkflow, ServerInput{
		Run: c.run, Server: server.Name, Connections: server.Connections, Settings: c.plan.Settings,
	})
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	c.starting--
	if err == nil {
		c.running[server.Name] = true
		var row activities.ServerResult
		err = child.Get(ctx, &row)
		delete(c.running, server.Name)
		if err == nil {
			c.add(row)
			return
		}
	}
	c.addUnwritten(c.failedRow(ctx, server.Name, err))
}

func (c *collectRun) childOptions(ctx workflow.Context, server string) workflow.Context {
	options := workflow.ChildWorkflowOptions{
		WorkflowID:          ServerID(server),
		ParentClosePolicy:   enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WaitForCancellation: true,
		StaticSummary:       "collect " + server,
	}
	if c.plan.Settings.SearchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(
			AttributeServer.ValueSet(server), AttributeRun.ValueSet(c.run), AttributeState.ValueSet(StateCollecting))
	}
	return workflow.WithChildOptions(ctx, options)
}

// failedRow is the row of a server whose child could not start or did not complete.
func (c *collectRun) failedRow(ctx workflow.Context, server string, err error) activities.ServerResult {
	row := activities.ServerResult{Server: server, Result: activities.Failed, Start: c.start, End: workflow.Now(ctx)}
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		row.Reason, row.Detail = activities.ReasonBusy, "another run is at work on this server"
	} else {
		row.Reason, row.Detail = activities.ReasonOf(err)
	}
	return row
}

func (c *collectRun) add(row activities.ServerResult) {
	c.rows = append(c.rows, row)
	c.books.Add(row.Books)
}

func (c *collectRun) addUnwritten(row activities.ServerResult) {
	c.add(row)
	c.unwritten = append(c.unwritten, row)
}

// reportUnfinished adds a row for each server that has none: still running, or never started.
func (c *collectRun) reportUnfinished(ctx workflow.Context) {
	finished := make(map[string]bool, len(c.rows))
	for _, row := range c.rows {
		finished[row.Server] = true
	}
	for _, server := range c.plan.Servers {
		if finished[server.Name] {
			continue
		}
		row := activities.ServerResult{Server: server.Name, Result: activities.Failed, Start: c.start, End: workflow.Now(ctx)}
		switch {
		case c.running[server.Name]:
			row.Result = activities.Partial
			row.Reason, row.Detail = activities.ReasonRunning, "still at work when the run's deadline came; it goes on and its files are kept"
		case ctx.Err() != nil:
			row.Reason, row.Detail = activities.ReasonCancelled, "the run was cancelled before this server's turn"
		default:
			row.Reason, row.Detail = activities.ReasonNotStarted, "the run's deadline came before this server's turn"
		}
		c.addUnwritten(row)
	}
}

// close writes the run, and the rows that nobody else wrote, into the catalog. After a cancellation it does so too.
func (c *collectRun) close(ctx workflow.Context, result CollectResult) (CollectResult, error) {
	input := activities.CloseRunInput{
		Run: c.run, Result: result.Result, Start: c.start, ZipDir: c.plan.Settings.ZipDir, Servers: c.unwritten, Shard: c.in.Shard != nil,
	}
	if ctx.Err() != nil {
		input.Reason = activities.ReasonCancelled
		if result.Servers == 0 {
			input.Result = activities.Failed
		}
	}
	if err := cheaply(detached(ctx), tigerDuty, "close the run", tiger.CloseRun, input, nil); err != nil {
		return CollectResult{}, fmt.Errorf("close the run: %w", err)
	}
	c.state = StateDone
	c.show(ctx, result)
	return result, ctx.Err()
}

// result folds the rows of all servers.
func (c *collectRun) result(ctx workflow.Context) CollectResult {
	result := CollectResult{
		Run: c.run, Servers: len(c.rows), Books: c.books, ZipDir: c.plan.Settings.ZipDir, Start: c.start, End: workflow.Now(ctx),
	}
	for _, row := range c.rows {
		switch row.Result {
		case activities.Success:
			result.Good++
		case activities.Failed:
			result.Bad++
		}
		if row.Reason != "" && len(result.Failures) < maxBriefs {
			result.Failures = append(result.Failures, brief(row))
		}
		if row.Decompressions > 0 {
			result.Decompressions = append(result.Decompressions, Decompressions{Server: row.Server, Count: row.Decompressions, Archives: row.Archives})
		}
	}
	result.Result = fold(result)
	return result
}

// fold makes one result code out of those of all servers.
func fold(result CollectResult) int {
	switch {
	case result.Good == result.Servers:
		return activities.Success
	case result.Bad == result.Servers:
		return activities.Failed
	default:
		return activities.Partial
	}
}

func brief(row activities.ServerResult) Brief {
	const longEnough = 200 // bytes of detail; the whole sentence is in the catalog
	detail := row.Detail
	if len(detail) > longEnough {
		detail = strings.ToValidUTF8(detail[:longEnough], "") + "…"
	}
	return Brief{Server: row.Server, Result: row.Result, Reason: row.Reason, Detail: detail, Collected: row.Books.Collected, Bytes: row.Books.Bytes}
}

// progress answers the query: counts, and the servers that finished since position.
func (c *collectRun) progress(position int) (Progress, error) {
	p := Progress{State: c.state, Servers: len(c.plan.Servers), Done: len(c.rows), Total: len(c.plan.Servers), Books: c.books, Position: position}
	for ; p.Position < len(c.rows) && len(p.Finished) < maxBriefs; p.Position++ {
		row := c.rows[p.Position]
		p.Finished = append(p.Finished, brief(row))
		if row.Decompressions > 0 {
			p.Decompressions = append(p.Decompressions, Decompressions{Server: row.Server, Count: row.Decompressions, Archives: row.Archives})
		}
	}
	return p, nil
}

// show puts the outcome where the Web UI shows it.
func (c *collectRun) show(ctx workflow.Context, result CollectResult) {
	workflow.SetCurrentDetails(ctx, markdown(result))
	setOutcome(ctx, c.plan.Settings.SearchAttributes, result.Result, result.Books.Collected, result.Books.Failed+result.Books.Refused)
}
