package workflows

import (
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// CollectServerWorkflow collects the new and changed files of one server, a page at a time: list, download, commit, and start the decompression
// of what the page brought. Between pages, when nothing is in flight, it continues as new. A server that cannot be reached is a result with
// a reason; only a commit that cannot be done fails the workflow.
func CollectServerWorkflow(ctx workflow.Context, in ServerInput) (activities.ServerResult, error) {
	s := &serverRun{ServerInput: in, state: StateListing}
	if s.Start.IsZero() {
		s.Start = workflow.Now(ctx)
	}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, s.progress); err != nil {
		return activities.ServerResult{}, err
	}
	work, stop := workflow.WithCancel(ctx)
	if err := s.takeOrders(ctx, stop); err != nil {
		return activities.ServerResult{}, err
	}
	row, err := s.run(work)
	if err == nil {
		err = ctx.Err() // one that was skipped has not been cancelled: the run goes on
	}
	return row, err
}

// serverRun is the state of one page of CollectServerWorkflow.
type serverRun struct {
	ServerInput
	state string
	page  activities.FilePage
	rest  []activities.FileRef // of the page: not reached yet
	done  int                  // files of the page that are finished
	bytes int64                // of those that have arrived
	// underway are the files that are being fetched, with their sizes.
	underway []string
	// troubles are the files of the page that failed, with reason and sentence.
	troubles [][]string
	// gone is set once the whole server is known to be out of reach: the rest of its files are not tried one by one.
	gone    error
	skipped *Order
	closing bool // the books are being closed: it is too late for orders
}

func (s *serverRun) progress(int) (Progress, error) {
	return Progress{State: s.state, Done: s.done, Total: len(s.page.Files), Books: s.Books}, nil
}

func (s *serverRun) run(ctx workflow.Context) (activities.ServerResult, error) {
	if s.Paused != nil { // before this page
		s.awaitResume(ctx)
	}
	if err := s.list(ctx); err != nil {
		s.gone = err
	}
	s.rest = s.page.Files
	for {
		outcomes := s.download(ctx)
		row, err := s.commit(ctx, outcomes)
		switch {
		case err != nil:
			return activities.ServerResult{}, err // unwrapped: the parent reads its reason from it
		case row != nil:
			s.state = StateDone
			s.showResult(ctx, *row)
			return *row, nil
		case s.isOver() && (s.Again || s.page.More && s.gone == nil):
			return activities.ServerResult{}, s.nextPage(ctx)
		}
		s.awaitResume(ctx)
	}
}

// isOver: nothing of the page is left to be fetched.
func (s *serverRun) isOver() bool { return len(s.rest) == 0 || s.gone != nil }

func (s *serverRun) list(ctx workflow.Context) error {
	if err := s.listPage(ctx, "list "+s.Server); err != nil {
		return err
	}
	if s.page.Recheck > 0 {
		s.enter(ctx, StateWaitingForStability)
		wait := workflow.NewTimerWithOptions(ctx, s.page.Recheck, workflow.TimerOptions{Summary: "are files still being written?"})
		if err := wait.Get(ctx, nil); err != nil {
			return err
		}
		if err := s.listPage(ctx, "list "+s.Server+" again"); err != nil {
			return err
		}
	}
	s.Books = s.page.Books
	if s.state == StateListing {
		s.state = StateCollecting
		s.show(ctx)
	} else {
		s.enter(ctx, StateCollecting)
	}
	return nil
}

// listPage gets a page, and keeps of it what belongs into the row of the server.
func (s *serverRun) listPage(ctx workflow.Context, summary string) error {
	in := activities.ListInput{Run: s.Run, Server: s.Server, After: s.After, PageFiles: s.Settings.PageFiles, Try: s.Try}
	var page activities.FilePage
	if err := cheaply(ctx, tigerCall, summary, tiger.ListServer, in, &page); err != nil {
		return err
	}
	s.page = page
	s.Leftovers += page.Leftovers
	s.Warnings = append(s.Warnings, page.Warnings...)
	if s.After == 0 {
		s.Shrank = page.Shrank
	}
	return nil
}

// download fetches what rests of the page over as many lanes as the server allows connections; a lane takes the next file as soon as it is free.
// Files that were not reached before the server was paused or gone or the run cancelled rest: they stay pending until the books are closed.
func (s *serverRun) download(ctx workflow.Context) []activities.FileOutcome {
	outcomes := make([]activities.FileOutcome, 0, len(s.rest))
	lanes := workflow.NewWaitGroup(ctx)
	for range min(s.Connections, maxConnections, len(s.rest)) {
		lanes.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer lanes.Done()
			for len(s.rest) > 0 && s.gone == nil && s.Paused == nil && ctx.Err() == nil {
				file := s.rest[0]
				s.rest = s.rest[1:]
				s.underway = append(s.underway, fileSummary(file.Name, file.Size))
				if file.Size > s.Settings.SmallFile { // a small one has arrived before anybody looks
					s.show(ctx)
				}
				outcome, ok := s.fetch(ctx, file)
				s.arrived(file)
				if ok {
					outcomes = append(outcomes, outcome)
					s.note(file, outcome)
				}
				s.done++
				s.show(ctx)
			}
		})
	}
	lanes.Wait(ctx)
	return outcomes
}

// fetch downloads one file; ok is false when its fate is not its own (cancelled, server gone).
func (s *serverRun) fetch(ctx workflow.Context, file activities.FileRef) (outcome activities.FileOutcome, ok bool) {
	in := activities.DownloadInput{Run: s.Run, Server: s.Server, FileRef: file, Try: s.Try}
	summary := fileSummary(file.Name, file.Size)
	durable := func(ctx workflow.Context, summary string) workflow.Context { return transfer(ctx, summary, file.Size) }
	var download activities.Download
	var err error
	if file.Size <= s.Settings.SmallFile {
		err = cheaply(ctx, durable, summary, tiger.DownloadFile, in, &download)
	} else {
		err = workflow.ExecuteActivity(durable(ctx, summary), tiger.DownloadFile, in).Get(ctx, &download)
	}
	switch {
	case err == nil:
		return activities.FileOutcome{ID: file.ID, Download: &download}, true
	case ctx.Err() != nil:
		return outcome, false
	case activities.IsServerGone(err):
		s.gone = err
		return outcome, false
	default:
		return activities.MissingFile(file.ID, err), true
	}
}

// commit publishes the page and closes the books when this was the last one; then row is set. Staged data that a crash took is fetched once more.
// It goes on after a cancellation: what has arrived is kept.
func (s *serverRun) commit(ctx workflow.Context, outcomes []activities.FileOutcome) (row *activities.ServerResult, err error) {
	for round := 1; ; round++ {
		in := activities.CommitInput{
			Run: s.Run, Server: s.Server, ZipDir: s.Settings.ZipDir, UnzipDir: s.Settings.UnzipDir,
			Decompression: DecompressID(s.Run, s.Server, s.Decompressions+1),
			Files:         outcomes, Close: s.end(ctx), Try: s.Try,
		}
		if len(outcomes) == 0 && in.Close == nil && (len(s.rest) > 0 || s.Paused != nil) {
			return nil, nil // paused, and nothing has arrived
		}
		s.closing = in.Close != nil
		var result activities.CommitResult
		if err := cheaply(detached(ctx), tigerDuty, s.commitSummary(len(outcomes)), tiger.CommitServer, in, &result); err != nil {
			return nil, err
		}
		if err := s.decompress(detached(ctx), in.Decompression, result.Archives); err != nil {
			return nil, err
		}
		switch {
		case len(result.Lost) == 0 && (result.Row != nil || s.end(ctx) == nil):
			return s.withDecompressions(result.Row), nil
		case len(result.Lost) == 0:
			outcomes = nil // cancelled during the commit: the next page would not know, so the books are closed here
		case round < maxRounds && ctx.Err() == nil:
			s.again(s.files(result.Lost))
			outcomes = s.download(ctx)
		default:
			outcomes = activities.LostFiles(result.Lost)
		}
	}
}

// again puts files back that had arrived.
func (s *serverRun) again(lost []activities.FileRef) {
	s.rest = append(lost, s.rest...)
	s.done -= len(lost)
	for _, file := range lost {
		s.bytes -= file.Size
	}
}

func (s *serverRun) withDecompressions(row *activities.ServerResult) *activities.ServerResult {
	if row != nil {
		row.Decompressions, row.Archives, row.Try = s.Decompressions, s.Archives, s.Try
	}
	return row
}

// end returns what closes the books, nil while there are pages to come, or the server is paused: it must not be free for another run then.
func (s *serverRun) end(ctx workflow.Context) *activities.ServerEnd {
	if s.Paused != nil && ctx.Err() == nil {
		return nil
	}
	err := s.gone
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && (s.page.More || len(s.rest) > 0) || s.Again && ctx.Err() == nil {
		return nil
	}
	end := &activities.ServerEnd{Leftovers: s.Leftovers, Start: s.Start, Warnings: s.Warnings, Shrank: s.Shrank}
	end.Reason, end.Detail = activities.ReasonOf(err)
	if s.skipped != nil {
		end.Reason, end.Detail = activities.ReasonSkipped, s.skipped.String()
	}
	return end
}

func (s *serverRun) files(ids []int64) []activities.FileRef {
	wanted := make(map[int64]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	var files []activities.FileRef
	for _, file := range s.page.Files {
		if wanted[file.ID] {
			files = append(files, file)
		}
	}
	return files
}

// decompress starts the decompression of a page's archives and waits only until it exists: collection never waits for eagle. Cancelling the
// collection does not cancel it, because its archives have arrived.
func (s *serverRun) decompress(ctx workflow.Context, id string, archives int) error {
	if archives == 0 {
		return nil
	}
	in := DecompressInput{
		ZipDir: s.Settings.ZipDir, UnzipDir: s.Settings.UnzipDir, Server: s.Server, Run: s.Run, Archives: archives,
		Deadline: s.Settings.ExtractDeadline, SearchAttributes: s.Settings.SearchAttributes,
	}
	child := workflow.ExecuteChildWorkflow(decompressOptions(ctx, id, in), DecompressWorkflow, in)
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	if err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return fmt.Errorf("start %s: %w", id, err)
	}
	s.Decompressions++
	s.Archives += archives
	return nil
}

// decompressOptions are those of a decompression that outlives what starts it.
func decompressOptions(ctx workflow.Context, id string, in DecompressInput) workflow.Context {
	options := workflow.ChildWorkflowOptions{
		WorkflowID:        id,
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     Summary(count(in.Archives, "archive") + " of " + in.Server),
		StaticDetails:     decompressionDetails(in),
		Memo:              map[string]any{"run": in.Run},
	}
	if in.SearchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(
			AttributeServer.ValueSet(in.Server), AttributeRun.ValueSet(in.Run), AttributeState.ValueSet(StateExtracting))
	}
	return workflow.WithChildOptions(ctx, options)
}

// nextPage continues as new with what the next page must know: the next files of the listing or, if an operator wants it, the listing once more.
// Nothing is in flight here.
func (s *serverRun) nextPage(ctx workflow.Context) error {
	if err := workflow.Await(detached(ctx), func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	next := s.ServerInput
	next.Page++
	if s.page.More && s.gone == nil {
		next.After = s.page.Files[len(s.page.Files)-1].ID
	} else {
		next.After, next.Again, next.Try, next.Warnings = 0, false, s.Try+1, nil
	}
	return workflow.NewContinueAsNewError(ctx, CollectServerWorkflow, next)
}
