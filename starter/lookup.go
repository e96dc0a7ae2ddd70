package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"talon/workflows"
)

// errNoAnswer: a worker that knows less than this program has answered.
var errNoAnswer = errors.New("tiger's worker has no answer to this question: it is older than this program")

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

// parseMoment reads what people write for a moment: how long ago (24h, 7d), a day or a time in their zone, or RFC 3339. "" is the zero time.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := parseAge(flag, text); err == nil {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("--%s %q is no moment: write how long ago (24h, 7d), a day (2026-11-23), or a time (\"2026-11-23 05:15\")", flag, text)
}

// checkWord refuses what is not one of the words that a flag takes; "" is nothing.
func checkWord(flag, given string, words ...string) error {
	if given == "" || slices.Contains(words, given) {
		return nil
	}
	return fmt.Errorf("--%s %q is none of %s", flag, given, strings.Join(words, ", "))
}
