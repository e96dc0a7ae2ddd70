package workflows

import (
	"go.temporal.io/sdk/workflow"
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
	_ = workflow.Await(ctx, func() bool { return s.Paused == nil }) // cancelled: what is left is to close the books
}
