package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// DecompressWorkflow has archives extracted by eagle and sealed by tiger, a page of batches at a time. Those of a collection are in the
// catalog when it starts; a decompression of its own scans a directory first. While no eagle polls, it says so and waits, up to its
// deadline; nobody else waits for it.
func DecompressWorkflow(ctx workflow.Context, in DecompressInput) (DecompressResult, error) {
	d := &decompression{DecompressInput: in, id: workflow.GetInfo(ctx).WorkflowExecution.ID, state: StatePlanning}
	if d.Start.IsZero() {
		d.Start = workflow.Now(ctx)
	}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, d.progress); err != nil {
		return DecompressResult{}, err
	}
	ctx, stop := workflow.WithCancel(ctx)
	if err := d.takeOrders(ctx, stop); err != nil {
		return DecompressResult{}, err
	}
	return d.run(ctx)
}

// decompression is the state of one page of DecompressWorkflow.
type decompression struct {
	DecompressInput
	id      string
	zipKey  string // see activities.ExtractInput
	state   string
	blocked int           // batches that wait for the gateway
	trouble string        // why
	resting bool          // one of them lets time pass
	pause   time.Duration // how much
	passed  int           // batches that got through
	failed  error

	pushed    int // how often an operator had the gateway tried at once
	cancelled *Order
}

func (d *decompression) progress(int) (Progress, error) {
	return Progress{State: d.state, Done: d.Totals.Succeeded + d.Totals.Partly + d.Totals.Failed, Total: d.Archives}, nil
}

func (d *decompression) run(ctx workflow.Context) (DecompressResult, error) {
	plan, err := d.plan(ctx)
	switch {
	case ctx.Err() != nil:
		return d.close(ctx)
	case err != nil:
		return DecompressResult{}, err
	}
	d.enter(ctx, StateExtracting)
	d.work(ctx, plan.Batches)
	switch {
	case d.failed != nil:
		return DecompressResult{}, d.failed
	case plan.Next != 0 && ctx.Err() == nil:
		if err := workflow.Await(detached(ctx), func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
			return DecompressResult{}, err
		}
		next := d.DecompressInput
		next.After = plan.Next
		return DecompressResult{}, workflow.NewContinueAsNewError(ctx, DecompressWorkflow, next)
	}
	return d.close(ctx)
}

func (d *decompression) plan(ctx workflow.Context) (activities.ExtractionPlan, error) {
	var plan activities.ExtractionPlan
	err := cheaply(ctx, tigerCall, "which archives", tiger.PlanExtraction, activities.ExtractionInput{
		Decompression: d.id, ZipDir: d.ZipDir, UnzipDir: d.UnzipDir, Scan: d.Own && d.After == 0, Recursive: d.Recursive, After: d.After,
	}, &plan)
	if err != nil {
		return plan, err
	}
	d.zipKey = plan.ZipKey
	if d.Own {
		d.Deadline, d.SearchAttributes = plan.Deadline, plan.SearchAttributes
		d.Archives = max(d.Archives, plan.Total)
	}
	return plan, nil
}

// work extracts and seals the page's batches, several in flight, while a watch looks out for eagle.
func (d *decompression) work(ctx workflow.Context, batches []activities.Batch) {
	watchCtx, endWatch := workflow.WithCancel(ctx)
	workflow.Go(watchCtx, d.watchEagle)
	slots := workflow.NewSemaphore(ctx, batchesInFlight)
	inFlight := workflow.NewWaitGroup(ctx)
	for _, batch := range batches {
		if err := slots.Acquire(ctx, 1); err != nil {
			break // cancelled
		}
		inFlight.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer inFlight.Done()
			defer slots.Release(1)
			d.process(ctx, batch)
		})
	}
	inFlight.Wait(ctx)
	endWatch()
}

// process takes one batch from extraction to the unzip warehouse. Deliveries that got damaged in the stage are extracted once more.
func (d *decompression) process(ctx workflow.Context, batch activities.Batch) {
	for round := 1; ; round++ {
		deliveries := d.extract(ctx, batch)
		if ctx.Err() != nil && len(deliveries) == 0 {
			return
		}
		in := activities.SealInput{Decompression: d.id, UnzipDir: d.UnzipDir, Deliveries: deliveries, LastRound: round == maxRounds}
		var sealed activities.SealResult
		if err := cheaply(detached(ctx), sealing(deliveries), "seal "+describe(batch), tiger.SealArchives, in, &sealed); err != nil {
			d.failed = fmt.Errorf("seal: %w", err)
			return
		}
		d.Totals.Add(sealed)
		d.show(ctx)
		if len(sealed.Damaged) == 0 {
			return
		}
		batch = activities.Batch{Archives: sealed.Damaged}
	}
}

// extract returns a delivery for every archive of the batch, except after a cancellation. A batch that cannot be done as a whole is divided: one
// archive that brings eagle down must not take its neighbours with it. Where eagle cannot get at tiger's directories no archive is to blame: the
// batch waits for as long as the deadline allows.
func (d *decompression) extract(ctx workflow.Context, batch activities.Batch) []activities.Delivery {
	var wait gatewayWait
	defer func() { d.endWait(&wait) }()
	var delivered []activities.Delivery // before an outage
	for {
		done, err := d.tryToExtract(ctx, batch)
		switch {
		case err == nil:
			d.gotThrough(ctx, &wait)
			return append(delivered, done...)
		case ctx.Err() != nil:
			return delivered
		case activities.IsOutage(err) && d.timeLeft(ctx) > lastChance:
			kept := activities.DeliveredBefore(err)
			delivered, batch = append(delivered, kept...), batch.Without(kept)
			if d.waitForGateway(ctx, &wait, err) != nil {
				return delivered
			}
			continue
		case len(batch.Archives) == 1 || activities.IsDeadline(err) || activities.IsOutage(err):
			return append(delivered, activities.Undelivered(batch, err, workflow.Now(ctx))...)
		}
		d.endWait(&wait)
		return append(delivered, d.extractSingly(ctx, batch)...)
	}
}

func (d *decompression) extractSingly(ctx workflow.Context, batch activities.Batch) []activities.Delivery {
	var deliveries []activities.Delivery
	for _, single := range batch.Singles() {
		deliveries = append(deliveries, d.extract(ctx, single)...)
	}
	return deliveries
}

func (d *decompression) tryToExtract(ctx workflow.Context, batch activities.Batch) ([]activities.Delivery, error) {
	in := activities.ExtractInput{Decompression: d.id, ZipDir: d.ZipDir, ZipKey: d.zipKey, Batch: batch}
	var done activities.Deliveries
	options := extract(ctx, describe(batch), batch.Size(), d.timeLeft(ctx))
	err := workflow.ExecuteActivity(options, eagle.ExtractArchives, in).Get(ctx, &done)
	return done.Archives, err
}

// gatewayWait is what a batch knows of its waiting for the gateway.
type gatewayWait struct {
	waiting bool
	woken   bool // once before its time, when another batch got through
}

// waitForGateway shows why a batch does not get on and returns when it is time to try again. Of all that wait one rests at a time and then tries,
// so that two days without a gateway do not fill a history; as soon as one gets through, the others try as well. What keeps only this batch from
// getting through keeps no other.
func (d *decompression) waitForGateway(ctx workflow.Context, wait *gatewayWait, cause error) error {
	_, d.trouble = activities.ReasonOf(cause)
	if !wait.waiting {
		wait.waiting = true
		d.blocked++
	}
	d.enter(ctx, StateWaitingForGateway)
	seen, pushed := d.passed, d.pushed
	isOver := func() bool { return !wait.woken && d.passed != seen || d.pushed != pushed }
	if err := workflow.Await(ctx, func() bool { return isOver() || !d.resting }); err != nil {
		return err
	}
	if !isOver() {
		d.resting = true
		defer func() { d.resting = false }()
		d.pause = min(max(2*d.pause, outagePause), outageRecheck)
		rest := workflow.AwaitOptions{Timeout: d.pause, TimerOptions: workflow.TimerOptions{Summary: "then try the gateway again"}}
		if _, err := workflow.AwaitWithOptions(ctx, rest, isOver); err != nil {
			return err
		}
	}
	wait.woken = wait.woken || isOver()
	return nil
}

// gotThrough notes that eagle can get at tiger's directories.
func (d *decompression) gotThrough(ctx workflow.Context, wait *gatewayWait) {
	d.passed++
	d.pause = 0
	d.endWait(wait)
	d.showExtracting(ctx)
}

func (d *decompression) endWait(wait *gatewayWait) {
	if wait.waiting {
		d.blocked--
	}
	*wait = gatewayWait{}
}

// showExtracting: an eagle is there, and unless a batch says otherwise it can work.
func (d *decompression) showExtracting(ctx workflow.Context) {
	if d.blocked == 0 {
		d.enter(ctx, StateExtracting)
	}
}

// timeLeft is what remains of the business deadline, which counts from the start of the decompression and not anew for each batch.
func (d *decompression) timeLeft(ctx workflow.Context) time.Duration {
	return max(d.Deadline-workflow.Now(ctx).Sub(d.Start), lastChance)
}

// watchEagle shows waiting-for-eagle while no eagle polls its queue, from the first moment on that the work takes longer than usual. It ends with
// the page.
func (d *decompression) watchEagle(ctx workflow.Context) {
	for wait := eaglePatience; ; wait = min(2*wait, eagleRecheck) {
		timer := workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: "then look whether an eagle is there"})
		if timer.Get(ctx, nil) != nil {
			return
		}
		var found bool
		err := workflow.ExecuteLocalActivity(firstTryOptions(ctx, "is an eagle there?"), tiger.FindEagle).Get(ctx, &found)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			workflow.GetLogger(ctx).Warn("cannot ask for eagle", "error", err)
		case found:
			d.showExtracting(ctx)
		default:
			d.enter(ctx, StateWaitingForEagle)
		}
	}
}

// enter changes the state where people see it: query, details, search attribute.
func (d *decompression) enter(ctx workflow.Context, state string) {
	if d.state == state {
		return
	}
	d.state = state
	switch state {
	case StateWaitingForEagle:
		workflow.GetLogger(ctx).Warn("waiting for an eagle worker", "queue", activities.EagleQueue)
	case StateWaitingForGateway:
		workflow.GetLogger(ctx).Warn("waiting for the gateway", "trouble", d.trouble)
	}
	d.show(ctx)
	setState(ctx, d.SearchAttributes, state)
}

// close ends the decompression. After a cancellation it still cleans the stage.
func (d *decompression) close(ctx workflow.Context) (DecompressResult, error) {
	in := activities.CloseDecompressionInput{Decompression: d.id, Own: d.Own, Result: d.code(ctx), Start: d.Start}
	if ctx.Err() != nil {
		in.Reason = activities.ReasonCancelled
		if d.cancelled != nil {
			in.Detail = d.cancelled.String()
		}
	}
	if err := cheaply(detached(ctx), tigerDuty, "close the decompression", tiger.CloseDecompression, in, nil); err != nil {
		return DecompressResult{}, fmt.Errorf("close the decompression: %w", err)
	}
	d.state = StateDone
	result := DecompressResult{
		Result: in.Result, Total: d.Totals.Succeeded + d.Totals.Partly + d.Totals.Failed,
		Succeeded: d.Totals.Succeeded, Partly: d.Totals.Partly, Failed: d.Totals.Failed,
		Files: d.Totals.Files, Bytes: d.Totals.Bytes, Start: d.Start, End: workflow.Now(ctx),
	}
	d.showResult(ctx, result)
	return result, ctx.Err()
}

// code is the result code. A decompression that was cancelled is no success, however well it went until then.
func (d *decompression) code(ctx workflow.Context) int {
	code := d.Totals.Code()
	switch {
	case ctx.Err() == nil || code != activities.Success:
		return code
	case d.Totals.Succeeded > 0:
		return activities.Partial
	default:
		return activities.Failed
	}
}

func describe(batch activities.Batch) string {
	if len(batch.Archives) == 1 {
		return fileSummary(batch.Archives[0].Path, batch.Size())
	}
	return fmt.Sprintf("%d archives (%s): %s, …", len(batch.Archives), bytesText(batch.Size()), batch.Archives[0].Path)
}
