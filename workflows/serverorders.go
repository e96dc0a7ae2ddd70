package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// takeOrders: a server that is at work takes orders until its books are being closed. stop ends the work.
func (s *serverRun) takeOrders(ctx workflow.Context, stop workflow.CancelFunc) error {
	return take(
		ctx,
		control{PauseUpdate, "fetch nothing more until resumed; what is on its way arrives and is published", s.checkPause, s.pause},
		control{ResumeUpdate, "go on", s.checkResume, s.resume},
		control{RetryUpdate, "list once more at the end, and fetch what has failed", s.checkRetry, s.retry},
		control{SkipUpdate, "end here; what has arrived is published", s.mine, func(ctx workflow.Context, o Order) string {
			s.skipped = &o
			stop()
			return s.Server + " is being skipped; what has arrived is published"
		}},
	)
}

// mine refuses what is not for this server, or comes too late.
func (s *serverRun) mine(o Order) error {
	switch {
	case o.Server != s.Server:
		return notHere("%s collects %q, not %q", ServerID(s.Server), s.Server, o.Server)
	case s.skipped != nil:
		return refuse("%s is being skipped already, %s", s.Server, *s.skipped)
	case s.closing:
		return refuse("%s is just finishing", s.Server)
	}
	return nil
}

func (s *serverRun) checkPause(o Order) error {
	if err := s.mine(o); err != nil {
		return err
	}
	if s.Paused != nil {
		return refuse("%s is paused already, %s", s.Server, *s.Paused)
	}
	return nil
}

func (s *serverRun) pause(ctx workflow.Context, o Order) string {
	s.Paused = &o
	s.show(ctx)
	setState(ctx, s.Settings.SearchAttributes, StatePaused)
	return s.Server + " is paused: what is on its way arrives and is published, nothing more is fetched until it is resumed"
}

func (s *serverRun) checkResume(o Order) error {
	if err := s.mine(o); err != nil {
		return err
	}
	if s.Paused == nil {
		return refuse("%s is not paused", s.Server)
	}
	return nil
}

func (s *serverRun) resume(ctx workflow.Context, _ Order) string {
	s.Paused = nil
	s.show(ctx)
	setState(ctx, s.Settings.SearchAttributes, s.state)
	return s.Server + " goes on"
}

func (s *serverRun) checkRetry(o Order) error {
	if err := s.mine(o); err != nil {
		return err
	}
	switch {
	case s.Again:
		return refuse("%s is going to be tried again already", s.Server)
	case s.gone == nil && s.Books.Failed == 0 && len(s.troubles) == 0:
		return refuse("nothing of %s has failed so far in this run", s.Server)
	}
	return nil
}

func (s *serverRun) retry(ctx workflow.Context, _ Order) string {
	s.Again = true
	s.show(ctx)
	return s.Server + " is listed once more when this page is done, and what has failed is fetched again"
}

// awaitResume waits until nobody wants the server paused, or the work is cancelled.
func (s *serverRun) awaitResume(ctx workflow.Context) {
	if err := workflow.Await(ctx, func() bool { return s.Paused == nil }); err != nil {
		s.Paused = nil // cancelled: what is left is to close the books
	}
}

// enter changes the state where people see it. Runs from before it was shown in the search attribute do not show it there.
func (s *serverRun) enter(ctx workflow.Context, state string) {
	s.state = state
	s.show(ctx)
	if workflow.GetVersion(ctx, "state of servers", workflow.DefaultVersion, 1) >= 1 {
		setState(ctx, s.Settings.SearchAttributes, state)
	}
}

// note keeps what the details tell of a finished file.
func (s *serverRun) note(file activities.FileRef, outcome activities.FileOutcome) {
	if outcome.Download != nil {
		s.bytes += outcome.Download.Size
		return
	}
	s.troubles = append(s.troubles, []string{file.Name, outcome.State, outcome.Reason, outcome.Detail})
}

// show tells how the collection of the server stands: what has arrived of the page, what is in trouble and why.
func (s *serverRun) show(ctx workflow.Context) {
	lines := []string{fmt.Sprintf("**%s**, page %d: **%d of %d files fetched** (%s), %d failed; %d listed, %d unchanged, %d deferred, %d refused",
		s.Server, s.Page+1, s.done-len(s.troubles), len(s.page.Files), bytesText(s.bytes), len(s.troubles),
		s.Books.Listed, s.Books.Unchanged, s.Books.Deferred, s.Books.Refused)}
	switch {
	case s.Paused != nil:
		lines = append(lines, "", "**paused** "+markdownCell(s.Paused.String())+"; `starter resume "+s.Server+"` lets it go on")
	case s.state == StateListing:
		lines = []string{"**" + s.Server + "**: the server is being listed"}
	case s.state == StateWaitingForStability:
		lines = append(lines, "", fmt.Sprintf("Files may still be being written: they are looked at again after %s.", s.page.Recheck))
	}
	if s.Again {
		lines = append(lines, "", "It is listed once more when this page is done, by order.")
	}
	if s.gone != nil {
		reason, detail := activities.ReasonOf(s.gone)
		lines = append(lines, "", fmt.Sprintf("**%s**: %s", reason, markdownCell(detail)))
	}
	if len(s.troubles) > 0 {
		lines = append(lines, tableOf("file | what became of it | reason | what happened", s.troubles)...)
	}
	workflow.SetCurrentDetails(ctx, strings.Join(lines, "\n"))
}

func (s *serverRun) showResult(ctx workflow.Context, row activities.ServerResult) {
	lines := []string{fmt.Sprintf("**%s: %s**: %d files (%s) collected; %d listed, %d unchanged, %d deferred, %d refused, %d failed, in %s",
		row.Server, resultWord(row.Result), row.Books.Collected, bytesText(row.Books.Bytes), row.Books.Listed, row.Books.Unchanged,
		row.Books.Deferred, row.Books.Refused, row.Books.Failed, row.End.Sub(row.Start).Round(time.Millisecond))}
	if row.Reason != "" {
		lines = append(lines, "", fmt.Sprintf("**%s**: %s", row.Reason, markdownCell(row.Detail)))
	}
	for _, warning := range row.Warnings {
		lines = append(lines, "", "Look at: "+markdownCell(warning))
	}
	if len(s.troubles) > 0 {
		lines = append(lines, tableOf("file | what became of it | reason | what happened", s.troubles)...)
	}
	workflow.SetCurrentDetails(ctx, strings.Join(lines, "\n"))
	setOutcome(ctx, s.Settings.SearchAttributes, row.Result, row.Books.Collected, row.Books.Failed+row.Books.Refused)
}
