package workflows

import (
	"fmt"
	"slices"
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
	c := &collectRun{
		in: in, run: in.Root, state: StatePlanning, start: workflow.Now(ctx),
		final: map[string]int{}, running: map[string]bool{}, held: map[string]Order{}, retrying: map[string]bool{},
	}
	if c.run == "" {
		c.run = workflow.GetInfo(ctx).WorkflowExecution.ID
	}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, c.progress); err != nil {
		return CollectResult{}, err
	}
	ctx, stop := workflow.WithCancel(ctx)
	if err := c.takeOrders(ctx, stop); err != nil {
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
	// planned are the servers of the plan.
	planned map[string]bool
	// rows are the outcomes in the order in which servers finished. One that was retried has several; final is the place of the one that
	// counts, by server. unwritten are those that the server's own workflow did not write into the catalog.
	rows      []activities.ServerResult
	final     map[string]int
	unwritten []activities.ServerResult
	parts     activities.Books // of the finished shards of a long list
	// starting counts children between the decision to start them and their first event: the run must not close in between, or they
	// never start. running are the started ones, slots the window that they go through.
	starting int
	running  map[string]bool
	slots    workflow.Semaphore
	closed   bool // no more children
	// What operators ordered: servers that are not to be started, servers that are collected once more, the end of the run.
	held      map[string]Order
	retrying  map[string]bool
	cancelled *Order
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
	c.adopt(detached(ctx))
	if len(c.plan.Shards) > 0 {
		return c.collectShards(ctx)
	}
	c.state = StateCollecting
	upsert(ctx, c.plan.Settings.SearchAttributes, AttributeState.ValueSet(c.state), AttributeRun.ValueSet(c.run))
	c.showProgress(ctx)
	c.fanOut(ctx)
	c.reportUnfinished(ctx)
	return c.close(ctx, c.result(ctx))
}

// adopt starts the decompressions again that nobody is at work on. They go on by themselves.
func (c *collectRun) adopt(ctx workflow.Context) {
	for _, orphan := range c.plan.Orphans {
		in := DecompressInput{
			ZipDir: orphan.ZipDir, UnzipDir: orphan.UnzipDir, Server: orphan.Server, Run: orphan.Run, Archives: orphan.Archives,
			Deadline: c.plan.Settings.ExtractDeadline, SearchAttributes: c.plan.Settings.SearchAttributes,
		}
		child := workflow.ExecuteChildWorkflow(decompressOptions(ctx, orphan.ID, in), DecompressWorkflow, in)
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
		if err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			workflow.GetLogger(ctx).Error("a decompression of an earlier run cannot be started again", "decompression", orphan.ID, "error", err)
		}
	}
}

// fanOut runs the servers through the window and returns when all are finished, at the deadline, or when the run is cancelled and its
// children have ended.
func (c *collectRun) fanOut(ctx workflow.Context) {
	window := c.plan.Window
	if c.in.Window > 0 {
		window = c.in.Window
	}
	c.slots = workflow.NewSemaphore(ctx, int64(window))
	c.planned = make(map[string]bool, len(c.plan.Servers))
	for _, server := range c.plan.Servers {
		c.planned[server.Name] = true
		workflow.Go(ctx, func(ctx workflow.Context) { c.collectInTurn(ctx, server, nil) })
	}
	finished := func() bool { return len(c.final) == len(c.plan.Servers) && len(c.retrying) == 0 }
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

// collectInTurn collects a server when a place in the window is free and nobody holds it back. before is its outcome if it had its turn already.
func (c *collectRun) collectInTurn(ctx workflow.Context, server activities.PlannedServer, before *activities.ServerResult) {
	for {
		if err := c.slots.Acquire(ctx, 1); err != nil {
			return // cancelled before its turn
		}
		if !c.isHeld(server.Name) {
			break
		}
		c.slots.Release(1)
		if err := workflow.Await(ctx, func() bool { return !c.isHeld(server.Name) || c.closed }); err != nil || c.closed {
			return
		}
	}
	defer c.slots.Release(1)
	if c.closed || ctx.Err() != nil || before == nil && c.has(server.Name) { // skipped
		return
	}
	row, err := c.collectServer(ctx, server, before)
	switch {
	case err == nil:
		c.add(row)
	case before == nil:
		c.addUnwritten(c.failedRow(ctx, server.Name, err))
	}
	c.showProgress(ctx)
}

// collectServer runs one server's child from start to end.
func (c *collectRun) collectServer(
	ctx workflow.Context, server activities.PlannedServer, before *activities.ServerResult,
) (row activities.ServerResult, err error) {
	in := ServerInput{Run: c.run, Server: server.Name, Connections: server.Connections, Settings: c.plan.Settings}
	if before != nil { // their workflow IDs are taken
		in.Decompressions, in.Archives, in.Try = before.Decompressions, before.Archives, before.Try+1
	}
	c.starting++
	child := workflow.ExecuteChildWorkflow(c.childOptions(ctx, server.Name), CollectServerWorkflow, in)
	err = child.GetChildWorkflowExecution().Get(ctx, nil)
	c.starting--
	if err != nil {
		return row, err
	}
	c.running[server.Name] = true
	defer delete(c.running, server.Name)
	c.showProgress(ctx)
	err = child.Get(ctx, &row)
	return row, err
}

func (c *collectRun) childOptions(ctx workflow.Context, server string) workflow.Context {
	options := workflow.ChildWorkflowOptions{
		WorkflowID:          ServerID(server),
		ParentClosePolicy:   enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WaitForCancellation: true,
		StaticSummary:       activities.Clip("collect "+server, maxSummary),
		StaticDetails:       serverDetails(c.run, server, c.plan.Settings.ZipDir),
		Memo:                map[string]any{"run": c.run},
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

// has tells whether a server has an outcome.
func (c *collectRun) has(server string) bool {
	_, ok := c.final[server]
	return ok
}

func (c *collectRun) add(row activities.ServerResult) {
	if c.has(row.Server) { // a copy: the run may be closing with the list as it is
		c.unwritten = slices.DeleteFunc(slices.Clone(c.unwritten), func(old activities.ServerResult) bool { return old.Server == row.Server })
	}
	c.final[row.Server] = len(c.rows)
	c.rows = append(c.rows, row)
}

// outcomes are the rows that count, in the order in which the servers finished.
func (c *collectRun) outcomes() []activities.ServerResult {
	counting := make([]activities.ServerResult, 0, len(c.final))
	for i, row := range c.rows {
		if c.final[row.Server] == i {
			counting = append(counting, row)
		}
	}
	return counting
}

// books are the sums of the rows that count; of a run that is divided, those of its parts.
func (c *collectRun) books() activities.Books {
	books := c.parts
	for _, row := range c.outcomes() {
		books.Add(row.Books)
	}
	return books
}

func (c *collectRun) addUnwritten(row activities.ServerResult) {
	c.add(row)
	c.unwritten = append(c.unwritten, row)
}

// reportUnfinished adds a row for each server that has none: still running, or never started.
func (c *collectRun) reportUnfinished(ctx workflow.Context) {
	for _, server := range c.plan.Servers {
		if c.has(server.Name) && !c.running[server.Name] {
			continue
		}
		row := activities.ServerResult{Server: server.Name, Start: c.start}
		if c.has(server.Name) { // it is being collected once more: what it had counts
			row = c.rows[c.final[server.Name]]
		}
		row.Result, row.End = activities.Failed, workflow.Now(ctx)
		switch {
		case c.running[server.Name]:
			row.Result = activities.Partial
			row.Reason, row.Detail = activities.ReasonRunning, "still at work when the run's deadline came; it goes on and its files are kept"
		case ctx.Err() != nil:
			row.Reason, row.Detail = activities.ReasonCancelled, "the run was cancelled before this server's turn"
		case c.isHeld(server.Name):
			row.Reason, row.Detail = activities.ReasonNotStarted, "paused "+c.held[server.Name].String()+"; the run's deadline came before it was resumed"
		default:
			row.Reason, row.Detail = activities.ReasonNotStarted, "the run's deadline came before this server's turn"
		}
		c.addUnwritten(row)
	}
}

func (c *collectRun) isHeld(server string) bool {
	_, held := c.held[server]
	return held
}

// close writes the run, and the rows that nobody else wrote, into the catalog. After a cancellation it does so too.
func (c *collectRun) close(ctx workflow.Context, result CollectResult) (CollectResult, error) {
	input := activities.CloseRunInput{
		Run: c.run, Result: result.Result, Start: c.start, ZipDir: c.plan.Settings.ZipDir, Servers: c.unwritten, Shard: c.in.Shard != nil,
	}
	if ctx.Err() != nil {
		input.Reason = activities.ReasonCancelled
		if c.cancelled != nil {
			input.Detail = c.cancelled.String()
		}
		if result.Servers == 0 {
			input.Result = activities.Failed
		}
	}
	if err := cheaply(detached(ctx), tigerDuty, "close the run", tiger.CloseRun, input, nil); err != nil {
		return CollectResult{}, fmt.Errorf("close the run: %w", err)
	}
	c.state = StateDone
	c.showResult(ctx, result)
	return result, ctx.Err()
}

// result folds the rows of all servers.
func (c *collectRun) result(ctx workflow.Context) CollectResult {
	result := CollectResult{
		Run: c.run, Servers: len(c.final), Books: c.books(), ZipDir: c.plan.Settings.ZipDir, Start: c.start, End: workflow.Now(ctx),
	}
	for _, row := range c.outcomes() {
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
	return Brief{
		Server: row.Server, Result: row.Result, Reason: row.Reason, Detail: activities.Clip(row.Detail, longEnough),
		Collected: row.Books.Collected, Bytes: row.Books.Bytes,
	}
}

// progress answers the query: counts, and the servers that finished since position.
func (c *collectRun) progress(position int) (Progress, error) {
	p := Progress{State: c.state, Servers: len(c.plan.Servers), Done: len(c.final), Total: len(c.plan.Servers), Books: c.books(), Position: position}
	for ; p.Position < len(c.rows) && len(p.Finished) < maxBriefs; p.Position++ {
		row := c.rows[p.Position]
		p.Finished = append(p.Finished, brief(row))
		if row.Decompressions > 0 {
			p.Decompressions = append(p.Decompressions, Decompressions{Server: row.Server, Count: row.Decompressions, Archives: row.Archives})
		}
	}
	return p, nil
}
