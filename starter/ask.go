package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
)

// answerPatience bounds one question: a tiger worker must be there to answer it from its catalog.
const answerPatience = 2 * time.Minute

// question is a short workflow that brings an answer from tiger, whose catalog is on its host while this program may be anywhere.
type question struct {
	id       string        // workflow ID
	summary  string        // what the Web UI shows of it
	details  string        // and where there is more room, in Markdown
	what     string        // completes "cannot …"
	patience time.Duration // 0: answerPatience
	workflow any
	input    any
}

// refusal is tiger's answer that a question cannot be answered as it is put.
type refusal struct {
	kind    string // type of the application error
	message string
}

// Error implements error.
func (r *refusal) Error() string { return r.message }

// ask runs the question's workflow and decodes its result into answer. An answer that tiger refuses is a *refusal.
func ask(ctx context.Context, c client.Client, q question, answer any) error {
	if q.patience == 0 {
		q.patience = answerPatience
	}
	handle, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: q.id, TaskQueue: activities.TigerQueue, WorkflowExecutionTimeout: q.patience, StaticSummary: q.summary, StaticDetails: q.details,
		Memo: memo(),
	}, q.workflow, q.input)
	if err == nil {
		err = handle.Get(ctx, answer)
	}
	var timeout *temporal.TimeoutError
	var application *temporal.ApplicationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &timeout):
		return fmt.Errorf("cannot %s: no tiger worker answered within %s, and what is asked for is in its catalog; start one with worker --role tiger",
			q.what, q.patience)
	case errors.As(err, &application):
		return fmt.Errorf("cannot %s: %w", q.what, &refusal{kind: application.Type(), message: strings.TrimSpace(application.Message())})
	default:
		return fmt.Errorf("cannot %s: %w", q.what, err)
	}
}
