package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// enter changes the state where people see it. Runs from before it was shown in the search attribute do not show it there.
func (s *serverRun) enter(ctx workflow.Context, state string) {
	s.state = state
	s.show(ctx)
	if workflow.GetVersion(ctx, "state of servers", workflow.DefaultVersion, 1) >= 1 {
		setState(ctx, s.Settings.SearchAttributes, state)
	}
}

// arrived takes a file off those that are being fetched.
func (s *serverRun) arrived(file activities.FileRef) {
	if i := slices.Index(s.underway, fileSummary(file.Name, file.Size)); i >= 0 {
		s.underway = slices.Delete(s.underway, i, i+1)
	}
}

// note keeps what the details tell of a finished file.
func (s *serverRun) note(file activities.FileRef, outcome activities.FileOutcome) {
	if outcome.Download != nil {
		s.bytes += outcome.Download.Size
		return
	}
	s.troubles = append(s.troubles, []string{Quote(file.Name), outcome.State, trouble(s.Server, outcome.Reason, outcome.Detail, maxQuoted)})
}

// show tells how the collection of the server stands: what has arrived of the page, what is in trouble and why.
func (s *serverRun) show(ctx workflow.Context) {
	var d details
	if s.Paused != nil {
		d.add("**paused** %s; `starter resume %s` lets it go on", Quote(s.Paused.String()), s.Server)
	}
	if s.Again {
		d.add("It is listed once more when this page is done, by order.")
	}
	switch s.state {
	case StateListing:
		d.add("%s is being listed.", Quote(s.Server))
	case StateWaitingForStability:
		d.add("Files of %s may still be being written: they are looked at again after %s.", Quote(s.Server), TimeText(s.page.Recheck))
	default:
		d.add("**%d of %s fetched** (%s)%s%s; %s", s.done-len(s.troubles), count(len(s.page.Files), "file"), bytesText(s.bytes), s.pageText(),
			and(tally(quantity{len(s.troubles), "failed"})), tally(quantity{s.Books.Listed, "listed"}, quantity{s.Books.Unchanged, "unchanged"},
				quantity{s.Books.Deferred, "deferred"}, quantity{s.Books.Refused, "refused"}))
	}
	if len(s.underway) > 0 {
		d.add("On its way: %s", names(s.underway))
	}
	if s.gone != nil {
		reason, detail := activities.ReasonOf(s.gone)
		d.add("%s", trouble(s.Server, reason, detail, maxSentence))
	}
	d.table("file | state | what happened", s.troubles)
	d.show(ctx)
}

// pageText says which page it is, where there is more than one.
func (s *serverRun) pageText() string {
	if s.Page == 0 && !s.page.More {
		return ""
	}
	return fmt.Sprintf(" of page %d", s.Page+1)
}

func (s *serverRun) showResult(ctx workflow.Context, row activities.ServerResult) {
	var d details
	d.add("**%s**: %s; %d listed, in %s", resultWord(row.Result), collected(row.Books), row.Books.Listed, TimeText(row.End.Sub(row.Start)))
	if row.Reason != "" {
		d.add("%s", trouble(s.Server, row.Reason, row.Detail, maxSentence))
	}
	for _, warning := range row.Warnings {
		d.add("Look at: %s", Quote(warning))
	}
	d.table("file | state | what happened", s.troubles)
	d.show(ctx)
	setOutcome(ctx, s.Settings.SearchAttributes, row.Result, row.Books.Collected, row.Books.Failed+row.Books.Refused)
}

// commitSummary names what a commit is about.
func (s *serverRun) commitSummary(files int) string {
	if files == 0 {
		return Summary("close the books of " + s.Server)
	}
	return Summary(count(files, "file") + " of " + s.Server)
}
