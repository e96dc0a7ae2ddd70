package workflows

import "go.temporal.io/sdk/workflow"

// takeOrders: a decompression is cancelled, and one that waits for the gateway tries it at once.
func (d *decompression) takeOrders(ctx workflow.Context, stop workflow.CancelFunc) error {
	return take(
		ctx,
		control{RetryUpdate, "try the gateway at once", d.checkRetry, func(workflow.Context, Order) string {
			d.pushed++
			return d.id + " tries the gateway now"
		}},
		control{CancelUpdate, "end here; what has been extracted is kept", d.checkCancel, func(ctx workflow.Context, o Order) string {
			d.cancelled = &o
			stop()
			d.show(ctx)
			return d.id + " is being cancelled; what has been extracted is kept"
		}},
	)
}

func (d *decompression) checkRetry(Order) error {
	switch {
	case d.state == StateWaitingForEagle:
		return refuse("%s waits for an eagle, which takes the archives as soon as it polls: start one", d.id)
	case d.blocked == 0:
		return refuse("%s is at work (%s): nothing waits that could be tried at once", d.id, d.state)
	}
	return nil
}

func (d *decompression) checkCancel(Order) error {
	switch {
	case d.cancelled != nil:
		return refuse("%s is being cancelled already, %s", d.id, *d.cancelled)
	case d.state == StateDone:
		return refuse("%s has finished", d.id)
	}
	return nil
}
