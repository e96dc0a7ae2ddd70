package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"

	"talon/workflows"
)

// lookUp asks tiger's catalog one question and returns one page of the answer. command is what the user called.
func lookUp(ctx context.Context, c client.Client, command string, in workflows.LookupInput) (workflows.LookupPage, error) {
	var page workflows.LookupPage
	what := in.What()
	err := ask(ctx, c, question{
		id: workflows.LookupID(what, newKey(time.Now())), summary: "look up " + what, details: "Asked by `starter " + command + "`.",
		what: "look up " + what, workflow: workflows.LookupWorkflow, input: in,
	}, &page)
	return page, err
}

// word is a result for programs; verdict is the same for people.
func word(code int) string {
	switch code {
	case 0:
		return wordComplete
	case 1:
		return wordFailed
	default:
		return wordPartly
	}
}

// Results in words.
const (
	wordComplete = "complete"
	wordPartly   = "partly"
	wordFailed   = "failed"
)

// span is a length of time in the one or two units that matter.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 2*day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	}
}

// spanCell is a length of time: seconds for programs.
func spanCell(d time.Duration) cell {
	return cell{shown: span(d), plain: strconv.FormatFloat(d.Seconds(), 'f', -1, 64)}
}
