package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// Updates are what operators ask of runs that are at work. The input is an Order, the answer a sentence that says what was done. What cannot be
// done is refused before it is in history, with an application error of type NotHere or OrderRefused.
const (
	PauseUpdate  = "pause"
	ResumeUpdate = "resume"
	RetryUpdate  = "retry"
	SkipUpdate   = "skip"
	CancelUpdate = "cancel"
)

// Types of the errors that refuse an Order.
const (
	NotHere      = "NotHere"      // the workflow has nothing to do with that server; another one may
	OrderRefused = "OrderRefused" // as things stand; the message says how they stand
)

// Order is what an operator asks for.
type Order struct {
	Server string `json:"server,omitempty"` // none for the whole workflow
	By     string `json:"by,omitempty"`     // user@host
	Why    string `json:"why,omitempty"`
}

// String names the operator, and the reason if there is one.
func (o Order) String() string {
	words := "by " + o.By
	if o.By == "" {
		words = "by an operator"
	}
	if o.Why != "" {
		words += ": " + o.Why
	}
	return activities.Clip(words, maxWords)
}

// maxWords bounds what an operator has to say, in bytes: it goes into details, rows and messages.
const maxWords = 300

// control is an order that a workflow takes: check refuses it or not, do carries it out and says so. Neither may block.
type control struct {
	update, description string

	check func(Order) error
	do    func(workflow.Context, Order) string
}

// take makes a workflow take orders.
func take(ctx workflow.Context, controls ...control) error {
	for _, c := range controls {
		carryOut := func(ctx workflow.Context, order Order) (string, error) { return c.do(ctx, order), nil }
		err := workflow.SetUpdateHandlerWithOptions(ctx, c.update, carryOut, workflow.UpdateHandlerOptions{
			Validator:   func(_ workflow.Context, order Order) error { return c.check(order) },
			Description: c.description,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func refuse(format string, args ...any) error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(format, args...), OrderRefused, nil)
}

func notHere(format string, args ...any) error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(format, args...), NotHere, nil)
}
