package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

const (
	// maxIntervals bounds what is looked at, and maxStarts what is requested: Temporal holds at most 1,000 starts back.
	maxIntervals = 1000
	maxStarts    = 200
	// startGrace is what a start may take beyond its jitter before its interval counts as missed.
	startGrace = 10 * time.Second
)

type backfillOptions struct {
	from, to string
	last     time.Duration
	all      bool
	output   string
}

func (a *app) backfillCommand() *cobra.Command {
	var o backfillOptions
	command := &cobra.Command{
		Use:   "backfill",
		Short: "Make up for intervals of the schedule in which no run started",
		Long: "Look for intervals of the schedule in which no run started, because Temporal was away, the schedule was paused or a run was still at work,\n" +
			"and have the schedule start what is missing. One run usually suffices, whatever number of intervals was missed: a collection takes everything that\n" +
			"is new since the last one. So backfill starts one run, for the last interval that was missed, and none at all if a run has started since. With --all\n" +
			"every missed interval gets a run of its own, one after the other, since two at once would find each other's servers busy; at most 200. They begin\n" +
			"when the run that is at work has ended, also while the schedule is paused. Intervals before the schedule was created do not count, and runs older\n" +
			"than what Temporal keeps are not known.",
		Example: "  starter backfill --last 6h\n  starter backfill --from 2026-11-23T02:00:00Z --to \"2026-11-23 05:15\" --all",
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.backfill(cmd.Context(), o, time.Now()) },
	}
	command.Flags().StringVar(&o.from, "from", "", "begin of the time to look at: how long ago (24h, 7d), a day or a time")
	command.Flags().StringVar(&o.to, "to", "", "its end (default: now)")
	command.Flags().DurationVar(&o.last, "last", 0, "instead: the last so many hours, such as 6h")
	command.Flags().BoolVar(&o.all, "all", false, "a run for every missed interval, even if a later run has collected what was new")
	command.Flags().StringVarP(&o.output, "output", "o", outputTable, "output format: table or json")
	return command
}

// period returns the time to look at.
func (o backfillOptions) period(now time.Time) (from, to time.Time, err error) {
	switch {
	case o.output != outputTable && o.output != outputJSON:
		return from, to, fmt.Errorf("there is no output format %q: use -o table or json", o.output)
	case o.last < 0 || o.last != 0 && (o.from != "" || o.to != ""):
		return from, to, errors.New("--last is a time such as 6h, and instead of --from and --to")
	case o.last > 0:
		return now.Add(-o.last), now, nil
	case o.from == "":
		return from, to, errors.New("say which time to look at: --last 6h, or --from T, perhaps with --to T")
	}
	to = now
	if from, err = parseMoment("from", o.from, now); err != nil {
		return from, to, err
	}
	if o.to != "" {
		to, err = parseMoment("to", o.to, now)
	}
	switch {
	case err != nil:
		return from, to, err
	case from.After(now) || to.After(now):
		return from, to, errors.New("the future cannot be made up for: --from and --to lie in the past")
	case !from.Before(to):
		return from, to, errors.New("--from must be before --to")
	}
	return from, to, nil
}

// backfillView is what backfill found and did; its JSON names are what scripts read.
type backfillView struct {
	From      time.Time   `json:"from"`
	To        time.Time   `json:"to"`
	Intervals int         `json:"intervals"` // of the schedule in that time
	Missed    []time.Time `json:"missed"`    // those without a run
	CaughtUp  string      `json:"caught_up_by,omitempty"`
	Requested []time.Time `json:"requested"`
}

func (a *app) backfill(ctx context.Context, o backfillOptions, now time.Time) error {
	from, to, err := o.period(now)
	if err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	return useSchedule(ctx, temporal, func(h client.ScheduleHandle) error {
		description, err := describeSchedule(ctx, h)
		if err != nil {
			return err
		}
		view, err := findMissed(ctx, temporal, description, from, to, now)
		if err != nil {
			return err
		}
		if err := request(ctx, h, description.Schedule.Spec.Jitter, o.all, &view); err != nil {
			return err
		}
		return a.printBackfill(view, o.output)
	})
}

// findMissed compares the intervals of the schedule with its runs.
func findMissed(ctx context.Context, c client.Client, d *client.ScheduleDescription, from, to, now time.Time) (backfillView, error) {
	spec := d.Schedule.Spec
	view := backfillView{From: from, To: to, Missed: []time.Time{}, Requested: []time.Time{}}
	if len(spec.Intervals) != 1 || len(spec.Calendars) > 0 {
		return view, errors.New("the schedule has not one interval, so it is none of starter schedule create: use temporal schedule backfill")
	}
	if created := d.Info.CreatedAt; from.Before(created) {
		from = created
	}
	if last := now.Add(-spec.Jitter - startGrace); to.After(last) {
		to = last // what is due now is not missed
	}
	times, err := intervalsBetween(spec.Intervals[0], from, to)
	if err != nil {
		return view, err
	}
	runs, err := scheduledRuns(ctx, c, from)
	if err != nil {
		return view, err
	}
	had := map[int64]bool{}
	for _, run := range runs {
		had[nominal(run).Unix()] = true
	}
	view.Intervals = len(times)
	for _, t := range times {
		if !had[t.Unix()] {
			view.Missed = append(view.Missed, t)
		}
	}
	view.CaughtUp = caughtUpBy(runs, view.Missed)
	return view, nil
}

// intervalsBetween are the times of an interval from one moment to another, both included. Temporal counts intervals from 1970 on.
func intervalsBetween(interval client.ScheduleIntervalSpec, from, to time.Time) (times []time.Time, err error) {
	every := interval.Every
	first := from.Add(-interval.Offset).UnixNano()
	first = (first + int64(every) - 1) / int64(every) * int64(every)
	for t := time.Unix(0, first).Add(interval.Offset).UTC(); !t.After(to); t = t.Add(every) {
		if len(times) == maxIntervals {
			return nil, fmt.Errorf("that time holds more than %d intervals of %s: look at less, for one run collects everything anyway", maxIntervals, every)
		}
		times = append(times, t)
	}
	return times, nil
}

// scheduledRuns are the runs of the schedule that have started since a moment.
func scheduledRuns(ctx context.Context, c client.Client, since time.Time) (runs []*workflowpb.WorkflowExecutionInfo, err error) {
	request := &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: maxListed, Query: fmt.Sprintf("TemporalScheduledById = '%s' AND StartTime >= '%s'", scheduleID, since.UTC().Format(time.RFC3339Nano)),
	}
	for {
		answer, err := c.ListWorkflow(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("which runs the schedule has started: %w", err)
		}
		runs = append(runs, answer.GetExecutions()...)
		if request.NextPageToken = answer.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return runs, nil
		}
	}
}

// nominal is the interval that a run was started for, zero if it does not say.
func nominal(run *workflowpb.WorkflowExecutionInfo) (t time.Time) {
	payload := run.GetSearchAttributes().GetIndexedFields()["TemporalScheduledStartTime"]
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &t) != nil {
		return time.Time{}
	}
	return t
}

// caughtUpBy is a run that has started since the last of the missed intervals, and did not break off: it has collected, or will, what was new.
func caughtUpBy(runs []*workflowpb.WorkflowExecutionInfo, missed []time.Time) string {
	if len(missed) == 0 {
		return ""
	}
	for _, run := range runs {
		good := run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
		if good && run.GetStartTime().AsTime().After(missed[len(missed)-1]) {
			return run.GetExecution().GetWorkflowId()
		}
	}
	return ""
}

// request has the schedule start what is missing.
func request(ctx context.Context, h client.ScheduleHandle, jitter time.Duration, all bool, view *backfillView) error {
	wanted := view.Missed
	switch {
	case all && len(wanted) > maxStarts:
		return fmt.Errorf("%d intervals were missed, and at most %d runs may be requested: look at less, or leave --all out: one run collects everything",
			len(wanted), maxStarts)
	case !all && (len(wanted) == 0 || view.CaughtUp != ""):
		return nil
	case !all:
		wanted = wanted[len(wanted)-1:]
	}
	if len(wanted) == 0 {
		return nil
	}
	fills := make([]client.ScheduleBackfill, len(wanted))
	for i, t := range wanted { // the jitter of a start lies between the two
		fills[i] = client.ScheduleBackfill{Start: t, End: t.Add(jitter), Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL}
	}
	if err := h.Backfill(ctx, client.ScheduleBackfillOptions{Backfill: fills}); err != nil {
		return fmt.Errorf("request the runs: %w", err)
	}
	view.Requested = wanted
	return nil
}

func (a *app) printBackfill(v backfillView, output string) error {
	if output == outputJSON {
		return writeJSON(a.stdout, v)
	}
	text := fmt.Sprintf("nothing was missed from %s to %s: ", day(v.From), day(v.To))
	if v.Intervals == 0 {
		text += "the schedule had no interval in that time"
	} else {
		text += fmt.Sprintf("each of %s has had its run", count(v.Intervals, "interval"))
	}
	if missed := len(v.Missed); missed > 0 {
		text = fmt.Sprintf("no run started in %d of %s, the last time at %s", missed, count(v.Intervals, "interval"), day(v.Missed[missed-1]))
		switch {
		case len(v.Requested) > 0:
			text += fmt.Sprintf("\n%s requested; starter status shows them at work", count(len(v.Requested), "run"))
		default:
			text += fmt.Sprintf("\n%s has started since and takes whatever was new: nothing to do", v.CaughtUp)
		}
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}
