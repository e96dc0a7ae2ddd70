package workflows

import (
	"fmt"
	"time"

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
	return s.run(ctx)
}

// serverRun is the state of one page of CollectServerWorkflow.
type serverRun struct {
	ServerInput
	state string
	page  activities.FilePage
	done  int // files of the page that are finished
	// gone is set once the whole server is known to be out of reach: the rest of its files are not tried one by one.
	gone error
}

func (s *serverRun) progress(int) (Progress, error) {
	return Progress{State: s.state, Done: s.done, Total: len(s.page.Files), Books: s.Books}, nil
}

func (s *serverRun) run(ctx workflow.Context) (activities.ServerResult, error) {
	if err := s.list(ctx); err != nil {
		s.gone = err
	}
	outcomes := s.download(ctx, s.page.Files)
	row, err := s.commit(ctx, outcomes)
	switch {
	case err != nil:
		return activities.ServerResult{}, err // unwrapped: the parent reads its reason from it
	case row == nil:
		return activities.ServerResult{}, s.nextPage(ctx)
	}
	s.state = StateDone
	s.showResult(ctx, *row)
	return *row, ctx.Err()
}

func (s *serverRun) list(ctx workflow.Context) error {
	if err := s.listPage(ctx, "list "+s.Server); err != nil {
		return err
	}
	if s.page.Recheck > 0 {
		s.state = StateWaitingForStability
		wait := workflow.NewTimerWithOptions(ctx, s.page.Recheck, workflow.TimerOptions{Summary: "are files still being written?"})
		if err := wait.Get(ctx, nil); err != nil {
			return err
		}
		if err := s.listPage(ctx, "list "+s.Server+" again"); err != nil {
			return err
		}
	}
	s.state = StateCollecting
	s.Books = s.page.Books
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s**, page %d: %d files to fetch; %d listed, %d unchanged",
		s.Server, s.Page+1, len(s.page.Files), s.Books.Listed, s.Books.Unchanged))
	return nil
}

// listPage gets a page, and keeps of it what belongs into the row of the server.
func (s *serverRun) listPage(ctx workflow.Context, summary string) error {
	in := activities.ListInput{Run: s.Run, Server: s.Server, After: s.After, PageFiles: s.Settings.PageFiles}
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

// download fetches files over as many lanes as the server allows connections; a lane takes the next file as soon as it is free. Files that were
// not reached before the server was gone or the run cancelled have no outcome: they stay pending until the books are closed.
func (s *serverRun) download(ctx workflow.Context, files []activities.FileRef) []activities.FileOutcome {
	outcomes := make([]activities.FileOutcome, 0, len(files))
	next := 0
	lanes := workflow.NewWaitGroup(ctx)
	for range min(s.Connections, maxConnections, len(files)) {
		lanes.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer lanes.Done()
			for next < len(files) && s.gone == nil && ctx.Err() == nil {
				file := files[next]
				next++
				if outcome, ok := s.fetch(ctx, file); ok {
					outcomes = append(outcomes, outcome)
				}
				s.done++
			}
		})
	}
	lanes.Wait(ctx)
	return outcomes
}

// fetch downloads one file; ok is false when its fate is not its own (cancelled, server gone).
func (s *serverRun) fetch(ctx workflow.Context, file activities.FileRef) (outcome activities.FileOutcome, ok bool) {
	in := activities.DownloadInput{Run: s.Run, Server: s.Server, FileRef: file}
	summary := fmt.Sprintf("%s, %d bytes", file.Name, file.Size)
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
			Files:         outcomes, Close: s.end(ctx),
		}
		var result activities.CommitResult
		summary := fmt.Sprintf("%d files of %s", len(outcomes), s.Server)
		if err := cheaply(detached(ctx), tigerDuty, summary, tiger.CommitServer, in, &result); err != nil {
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
			outcomes = s.download(ctx, s.files(result.Lost))
		default:
			outcomes = activities.LostFiles(result.Lost)
		}
	}
}

func (s *serverRun) withDecompressions(row *activities.ServerResult) *activities.ServerResult {
	if row != nil {
		row.Decompressions, row.Archives = s.Decompressions, s.Archives
	}
	return row
}

// end returns what closes the books, nil while there are pages to come.
func (s *serverRun) end(ctx workflow.Context) *activities.ServerEnd {
	err := s.gone
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && s.page.More {
		return nil
	}
	end := &activities.ServerEnd{Leftovers: s.Leftovers, Start: s.Start, Warnings: s.Warnings, Shrank: s.Shrank}
	end.Reason, end.Detail = activities.ReasonOf(err)
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
	options := workflow.ChildWorkflowOptions{
		WorkflowID:        id,
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:     fmt.Sprintf("%d archives of %s", archives, s.Server),
	}
	if s.Settings.SearchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(
			AttributeServer.ValueSet(s.Server), AttributeRun.ValueSet(s.Run), AttributeState.ValueSet(StateExtracting))
	}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), DecompressWorkflow, DecompressInput{
		ZipDir: s.Settings.ZipDir, UnzipDir: s.Settings.UnzipDir, Server: s.Server, Run: s.Run, Archives: archives,
		Deadline: s.Settings.ExtractDeadline, SearchAttributes: s.Settings.SearchAttributes,
	})
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	if err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return fmt.Errorf("start %s: %w", id, err)
	}
	s.Decompressions++
	s.Archives += archives
	return nil
}

// nextPage continues as new with what the next page must know. Nothing is in flight here.
func (s *serverRun) nextPage(ctx workflow.Context) error {
	next := s.ServerInput
	next.Page++
	next.After = s.page.Files[len(s.page.Files)-1].ID
	return workflow.NewContinueAsNewError(ctx, CollectServerWorkflow, next)
}

func (s *serverRun) showResult(ctx workflow.Context, row activities.ServerResult) {
	details := fmt.Sprintf("**%s**: %d files, %d bytes collected; %d listed, %d unchanged, %d deferred, %d refused, %d failed in %s",
		row.Server, row.Books.Collected, row.Books.Bytes, row.Books.Listed, row.Books.Unchanged, row.Books.Deferred, row.Books.Refused,
		row.Books.Failed, row.End.Sub(row.Start).Round(time.Millisecond))
	if row.Reason != "" {
		details += fmt.Sprintf("\n\n**%s**: %s", row.Reason, row.Detail)
	}
	workflow.SetCurrentDetails(ctx, details)
	setOutcome(ctx, s.Settings.SearchAttributes, row.Result, row.Books.Collected, row.Books.Failed+row.Books.Refused)
}
