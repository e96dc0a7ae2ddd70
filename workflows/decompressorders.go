package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

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

// show tells how the decompression stands, what it waits for, and what could not be extracted.
func (d *decompression) show(ctx workflow.Context) {
	done := d.Totals.Succeeded + d.Totals.Partly + d.Totals.Failed
	lines := []string{fmt.Sprintf("**%s**: **%d of %d archives done**, %d partly, %d failed; %d files (%s) extracted",
		d.state, done, d.Archives, d.Totals.Partly, d.Totals.Failed, d.Totals.Files, bytesText(d.Totals.Bytes))}
	switch {
	case d.cancelled != nil:
		lines = append(lines, "", "**cancelled** "+markdownCell(d.cancelled.String()))
	case d.state == StateWaitingForEagle:
		lines = append(lines, "", fmt.Sprintf("No eagle worker polls the queue `%s`. The archives wait, at most %s; collection goes on meanwhile. "+
			"Start one: `worker --role eagle --config …`", activities.EagleQueue, d.Deadline))
	case d.state == StateWaitingForGateway:
		lines = append(lines, "", "Eagle cannot get at tiger's directories: "+d.trouble, "",
			fmt.Sprintf("The archives wait, at most %s; collection goes on meanwhile. `starter retry %s` tries at once.", d.Deadline, d.id))
	}
	workflow.SetCurrentDetails(ctx, strings.Join(append(lines, d.troubles()...), "\n"))
}

func (d *decompression) troubles() []string {
	if len(d.Totals.Troubles) == 0 {
		return nil
	}
	rows := make([][]string, len(d.Totals.Troubles))
	for i, t := range d.Totals.Troubles {
		rows[i] = []string{t.Archive, resultWord(t.Result), t.Reason, t.Detail}
	}
	return tableOf("archive | result | reason | what happened", rows)
}
