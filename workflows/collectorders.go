package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// takeOrders: a run takes orders for its servers that are not at work (one that is takes its own), and for itself.
func (c *collectRun) takeOrders(ctx workflow.Context, stop workflow.CancelFunc) error {
	return take(
		ctx,
		control{PauseUpdate, "hold a server back whose turn has not come", c.checkPause, c.pause},
		control{ResumeUpdate, "let a server that is held back have its turn", c.checkResume, c.resume},
		control{SkipUpdate, "leave a server out whose turn has not come", c.checkSkip, c.skip},
		control{RetryUpdate, "collect a server once more that was not complete", c.checkRetry, func(_ workflow.Context, o Order) string {
			return c.retry(ctx, o) // the run's context: what is started outlives the order
		}},
		control{CancelUpdate, "end the run; what has arrived is kept", c.checkCancel, func(ctx workflow.Context, o Order) string {
			c.cancelled = &o
			stop()
			c.showProgress(ctx)
			return "the run is being cancelled; what has arrived is kept"
		}},
	)
}

// mine refuses what is not for a server of this run, or comes too late.
func (c *collectRun) mine(o Order) error {
	switch {
	case !c.planned[o.Server]:
		return notHere("%s does not collect %q", c.run, o.Server)
	case c.closed:
		return refuse("%s is ending: it starts no more servers", c.run)
	}
	return nil
}

// waits refuses what is not for a server of this run whose turn has not come.
func (c *collectRun) waits(o Order) error {
	if err := c.mine(o); err != nil {
		return err
	}
	switch {
	case c.running[o.Server]:
		return refuse("%s is at work: ask %s", o.Server, ServerID(o.Server))
	case c.has(o.Server):
		return refuse("%s has finished in this run", o.Server)
	}
	return nil
}

func (c *collectRun) checkPause(o Order) error {
	if err := c.waits(o); err != nil {
		return err
	}
	if held, ok := c.held[o.Server]; ok {
		return refuse("%s is paused already, %s", o.Server, held)
	}
	return nil
}

func (c *collectRun) pause(ctx workflow.Context, o Order) string {
	c.held[o.Server] = o
	c.showProgress(ctx)
	return o.Server + " is held back until it is resumed, or the run's deadline comes"
}

func (c *collectRun) checkResume(o Order) error {
	if err := c.mine(o); err != nil {
		return err
	}
	if _, ok := c.held[o.Server]; !ok {
		return refuse("%s is not paused", o.Server)
	}
	return nil
}

func (c *collectRun) resume(ctx workflow.Context, o Order) string {
	delete(c.held, o.Server)
	c.showProgress(ctx)
	return o.Server + " is collected when its turn comes"
}

func (c *collectRun) checkSkip(o Order) error { return c.waits(o) }

func (c *collectRun) skip(ctx workflow.Context, o Order) string {
	delete(c.held, o.Server)
	c.addUnwritten(activities.ServerResult{
		Server: o.Server, Result: activities.Failed, Reason: activities.ReasonSkipped, Detail: o.String(),
		Start: c.start, End: workflow.Now(ctx),
	})
	c.showProgress(ctx)
	return o.Server + " is left out of this run"
}

func (c *collectRun) checkRetry(o Order) error {
	if err := c.mine(o); err != nil {
		return err
	}
	switch {
	case c.running[o.Server] || c.retrying[o.Server]:
		return refuse("%s is at work: ask %s", o.Server, ServerID(o.Server))
	case !c.has(o.Server):
		return refuse("%s has not had its turn yet", o.Server)
	case c.rows[c.final[o.Server]].Result == activities.Success:
		return refuse("%s is complete: nothing is left to be tried again", o.Server)
	}
	return nil
}

// retry collects a server once more. Until it has a new outcome the old one stands.
func (c *collectRun) retry(ctx workflow.Context, o Order) string {
	c.retrying[o.Server] = true
	before := c.rows[c.final[o.Server]]
	for _, server := range c.plan.Servers {
		if server.Name != o.Server {
			continue
		}
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer delete(c.retrying, server.Name)
			c.collectInTurn(ctx, server, &before)
		})
	}
	return fmt.Sprintf("%s is collected once more in %s", o.Server, c.run)
}

func (c *collectRun) checkCancel(Order) error {
	if c.in.Shard != nil { // a part that ends early is none of its run's outcomes
		return refuse("this is a part of %s: cancel that", c.run)
	}
	if c.cancelled != nil {
		return refuse("%s is being cancelled already, %s", c.run, *c.cancelled)
	}
	if c.state == StateDone {
		return refuse("%s has finished", c.run)
	}
	return nil
}
