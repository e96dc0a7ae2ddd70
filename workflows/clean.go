package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// CleanWorkflow removes what is of no more use, or counts it, a page at a time, and continues as new after each.
func CleanWorkflow(ctx workflow.Context, in CleanInput) (CleanResult, error) {
	c := &cleaning{CleanInput: in, id: workflow.GetInfo(ctx).WorkflowExecution.ID, state: StateCleaning}
	if c.Start.IsZero() {
		c.Start = workflow.Now(ctx)
	}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, c.progress); err != nil {
		return CleanResult{}, err
	}
	return c.run(ctx)
}

// cleaning is the state of one page of CleanWorkflow.
type cleaning struct {
	CleanInput
	id    string
	state string
}

// progress counts what was removed or counted; how much there will be nobody knows.
func (c *cleaning) progress(int) (Progress, error) {
	done := 0
	for _, kind := range workflow.DeterministicKeys(c.Spent) {
		done += c.Spent[kind].Count
	}
	return Progress{State: c.state, Done: done, Total: done}, nil
}

func (c *cleaning) run(ctx workflow.Context) (CleanResult, error) {
	var page activities.CleanPage
	in := activities.CleanInput{CleanOptions: c.CleanOptions, From: c.From}
	if err := workflow.ExecuteActivity(reading(ctx, c.verb()+" what is of no more use"), tiger.CleanWarehouse, in).Get(ctx, &page); err != nil {
		return CleanResult{}, err
	}
	c.take(page)
	c.show(ctx)
	switch {
	case page.Done:
		c.state = StateDone
		return CleanResult{Cleaning: c.id, Meant: c.Meant, Spent: c.Spent, Start: c.Start, End: workflow.Now(ctx)}, nil
	case ctx.Err() != nil:
		return CleanResult{}, ctx.Err()
	}
	return CleanResult{}, workflow.NewContinueAsNewError(ctx, CleanWorkflow, c.CleanInput)
}

func (c *cleaning) verb() string {
	if c.Meant {
		return "remove"
	}
	return "count"
}

// take adds what a page removed or counted.
func (c *cleaning) take(page activities.CleanPage) {
	sums := map[string]activities.Spent{}
	for _, kind := range workflow.DeterministicKeys(c.Spent) {
		sums[kind] = c.Spent[kind]
	}
	for _, kind := range workflow.DeterministicKeys(page.Spent) {
		sum := sums[kind]
		sum.Add(page.Spent[kind])
		sums[kind] = sum
	}
	c.Spent, c.From = sums, page.Next
}

// show tells people what went so far.
func (c *cleaning) show(ctx workflow.Context) {
	var rows [][]string
	for _, kind := range workflow.DeterministicKeys(c.Spent) {
		rows = append(rows, []string{Quote(kind), fmt.Sprint(c.Spent[kind].Count), bytesText(c.Spent[kind].Bytes)})
	}
	var d details
	if c.Meant {
		d.add("**removed**")
	} else {
		d.add("**to be removed**, were it meant")
	}
	d.table("what | how many | size", rows)
	d.show(ctx)
}
