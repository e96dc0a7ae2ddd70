package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/config"
	"talon/workflows"
)

// scheduleID names the one schedule of an installation; scheduledRun is the workflow ID to which Temporal adds the time of each start.
const (
	scheduleID   = "collect"
	scheduledRun = "scheduled"
)

// catchUp is how late a start may be made up for after an outage: under overlap skip it yields one run, not one for each missed time.
const catchUp = 10 * time.Minute

func (a *app) scheduleCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "schedule",
		Short: "Collect every 15 minutes: create, describe, pause, unpause, trigger or delete the schedule",
		Long: "Have Temporal start a collection every 15 minutes, or as often as you say. A run that is still at work is never overtaken: the next\n" +
			"one is skipped, and describe counts it.",
		Example: "  starter schedule create --config talon.yaml\n  starter schedule describe\n  starter schedule pause --note \"bank holiday\"",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	command.AddCommand(
		a.scheduleCreateCommand(),
		a.scheduleDescribeCommand(),
		a.scheduleStep("pause", "Start no more runs until unpause; what runs goes on", "paused", func(ctx context.Context, h client.ScheduleHandle, note string) error {
			return h.Pause(ctx, client.SchedulePauseOptions{Note: note})
		}),
		a.scheduleStep("unpause", "Start runs again", "unpaused", func(ctx context.Context, h client.ScheduleHandle, note string) error {
			return h.Unpause(ctx, client.ScheduleUnpauseOptions{Note: note})
		}),
		a.scheduleStep("trigger", "Start a run now, as if its time had come", "triggered", func(ctx context.Context, h client.ScheduleHandle, _ string) error {
			return h.Trigger(ctx, client.ScheduleTriggerOptions{})
		}),
		a.scheduleStep("delete", "Remove the schedule; what runs goes on", "deleted", func(ctx context.Context, h client.ScheduleHandle, _ string) error {
			return h.Delete(ctx)
		}),
	)
	return command
}

type scheduleOptions struct {
	config        string
	every, jitter time.Duration
	servers       []string
}

func (a *app) scheduleCreateCommand() *cobra.Command {
	o := scheduleOptions{every: 15 * time.Minute, jitter: 10 * time.Second}
	command := &cobra.Command{
		Use:     "create",
		Short:   "Create the schedule, or update it to these settings",
		Example: "  starter schedule create --config talon.yaml\n  starter schedule create --every 5m",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.fromConfig(cmd); err != nil {
				return err
			}
			return a.createSchedule(cmd.Context(), o)
		},
	}
	command.Flags().StringVar(&o.config, "config", "", "take schedule.every and schedule.jitter from this configuration file")
	command.Flags().DurationVar(&o.every, "every", o.every, "interval")
	command.Flags().DurationVar(&o.jitter, "jitter", o.jitter, "put each start off by a random time up to this")
	command.Flags().StringArrayVar(&o.servers, "server", nil, "collect only this server (may be repeated)")
	return command
}

// fromConfig takes the settings of the file that no flag overrides.
func (o *scheduleOptions) fromConfig(cmd *cobra.Command) error {
	if o.config != "" {
		settings, err := config.Load(o.config)
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("every") {
			o.every = settings.Schedule.Every
		}
		if !cmd.Flags().Changed("jitter") {
			o.jitter = settings.Schedule.Jitter
		}
		if err := checkServers(settings, o.servers); err != nil {
			return err
		}
	}
	switch {
	case o.every < time.Minute:
		return fmt.Errorf("--every %s is too short: a collection needs a minute at least", o.every)
	case o.jitter < 0 || o.jitter >= o.every:
		return fmt.Errorf("--jitter %s does not fit into the interval of %s: use 0s or a time below it", o.jitter, o.every)
	}
	return nil
}

func (a *app) createSchedule(ctx context.Context, o scheduleOptions) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: scheduleID, Spec: o.spec(), Action: o.action(), Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchUp,
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return a.updateSchedule(ctx, c, o)
	}
	if err != nil {
		return fmt.Errorf("create the schedule: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "schedule %s created: every %s\n", scheduleID, o.every)
	return err
}

func (a *app) updateSchedule(ctx context.Context, c client.Client, o scheduleOptions) error {
	err := c.ScheduleClient().GetHandle(ctx, scheduleID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := in.Description.Schedule
			spec := o.spec()
			schedule.Spec, schedule.Action = &spec, o.action()
			schedule.Policy.Overlap, schedule.Policy.CatchupWindow = enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, catchUp
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("update the schedule: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "schedule %s updated: every %s\n", scheduleID, o.every)
	return err
}

func (o scheduleOptions) spec() client.ScheduleSpec {
	return client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: o.every}}, Jitter: o.jitter}
}

func (o scheduleOptions) action() *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: workflows.CollectID(scheduledRun), Workflow: workflows.CollectWorkflow, TaskQueue: activities.TigerQueue,
		Args: []any{workflows.CollectInput{Servers: o.servers}},
		// One stuck run would silence every later one under overlap skip.
		WorkflowExecutionTimeout: runLimit,
		StaticSummary:            o.summary(),
		StaticDetails:            o.details(),
		Memo:                     o.memo(),
	}
}

// memo says who made the schedule, for nobody starts its runs.
func (o scheduleOptions) memo() map[string]any {
	m := memo()
	m["by"] = fmt.Sprintf("schedule %s, made by %s", scheduleID, m["by"])
	return m
}

func (o scheduleOptions) summary() string {
	what := "all servers"
	if len(o.servers) > 0 {
		what = strings.Join(o.servers, ", ")
	}
	return workflows.Summary("started by the schedule: collect " + what)
}

// details says what a scheduled collection is there for.
func (o scheduleOptions) details() string {
	return workflows.CollectDetails(fmt.Sprintf("By the schedule, every %s unless one is still at work.", workflows.TimeText(o.every)))
}

// scheduleStep is a subcommand that does one thing to the schedule.
func (a *app) scheduleStep(name, short, done string, step func(context.Context, client.ScheduleHandle, string) error) *cobra.Command {
	var note string
	command := &cobra.Command{
		Use: name, Short: short, Args: arguments(), Example: "  starter schedule " + name,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSchedule(cmd.Context(), func(h client.ScheduleHandle) error {
				if err := step(cmd.Context(), h, note); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "schedule %s %s\n", scheduleID, done)
				return err
			})
		},
	}
	if name == "pause" || name == "unpause" {
		command.Flags().StringVar(&note, "note", "by hand", "why; shown by describe and in the Web UI")
	}
	return command
}

// withSchedule calls do with the schedule and says what to do when there is none.
func (a *app) withSchedule(ctx context.Context, do func(client.ScheduleHandle) error) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return useSchedule(ctx, c, do)
}

// useSchedule does the same with a client that is there.
func useSchedule(ctx context.Context, c client.Client, do func(client.ScheduleHandle) error) error {
	err := do(c.ScheduleClient().GetHandle(ctx, scheduleID))
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) {
		return errors.New("there is no schedule yet: starter schedule create makes it")
	}
	return err
}

// scheduleView is what describe shows; its JSON names are what scripts read.
type scheduleView struct {
	ID      string        `json:"id"`
	Every   time.Duration `json:"every_ns"`
	Paused  bool          `json:"paused"`
	Note    string        `json:"note,omitempty"`
	Next    time.Time     `json:"next,omitzero"`
	LastRun string        `json:"last_run,omitempty"`
	Last    time.Time     `json:"last,omitzero"`
	Running []string      `json:"running"`
	Actions int           `json:"actions"`
	Skipped int           `json:"skipped_overlap"`
	Missed  int           `json:"missed_catchup_window"`
	Overlap string        `json:"overlap"`
	CatchUp time.Duration `json:"catchup_window_ns"`
}

func (a *app) scheduleDescribeCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "describe", Short: "Show interval, next and last run, and what was skipped or missed", Args: arguments(),
		Example: "  starter schedule describe\n  starter schedule describe -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != outputTable && output != outputJSON {
				return fmt.Errorf("there is no output format %q: use -o table or json", output)
			}
			return a.withSchedule(cmd.Context(), func(h client.ScheduleHandle) error {
				description, err := describeSchedule(cmd.Context(), h)
				if err != nil {
					return err
				}
				return a.printSchedule(viewOf(description), output)
			})
		},
	}
	command.Flags().StringVarP(&output, "output", "o", outputTable, "output format: table or json")
	return command
}

// describeTries and describePause bound how often Temporal is asked again for a schedule that it had no time to tell of.
const (
	describeTries = 5
	describePause = 300 * time.Millisecond
)

// describeSchedule asks for the schedule. Temporal asks a workflow of its own for it, and gives up early when that is busy, starting a run, say.
func describeSchedule(ctx context.Context, h client.ScheduleHandle) (*client.ScheduleDescription, error) {
	for try := 1; ; try++ {
		description, err := h.Describe(ctx)
		if !errors.As(err, new(*serviceerror.DeadlineExceeded)) || try == describeTries {
			return description, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(describePause):
		}
	}
}

func viewOf(d *client.ScheduleDescription) scheduleView {
	v := scheduleView{
		ID: scheduleID, Paused: d.Schedule.State.Paused, Note: d.Schedule.State.Note, Running: []string{}, Actions: d.Info.NumActions,
		Skipped: d.Info.NumActionsSkippedOverlap, Missed: d.Info.NumActionsMissedCatchupWindow,
		Overlap: d.Schedule.Policy.Overlap.String(), CatchUp: d.Schedule.Policy.CatchupWindow,
	}
	for _, interval := range d.Schedule.Spec.Intervals {
		v.Every = interval.Every
	}
	if len(d.Info.NextActionTimes) > 0 && !v.Paused {
		v.Next = d.Info.NextActionTimes[0]
	}
	if n := len(d.Info.RecentActions); n > 0 {
		last := d.Info.RecentActions[n-1]
		v.Last = last.ActualTime
		if last.StartWorkflowResult != nil {
			v.LastRun = last.StartWorkflowResult.WorkflowID
		}
	}
	for _, run := range d.Info.RunningWorkflows {
		v.Running = append(v.Running, run.WorkflowID)
	}
	return v
}

func (a *app) printSchedule(v scheduleView, output string) error {
	if output == outputJSON {
		return writeJSON(a.stdout, v)
	}
	state := "active"
	if v.Paused {
		state = "PAUSED (" + v.Note + ")"
	}
	running := "none"
	if len(v.Running) > 0 {
		running = strings.Join(v.Running, ", ")
	}
	_, err := fmt.Fprintf(a.stdout, "schedule %s: every %s, %s\nnext run: %s\nlast run: %s\nrunning: %s\nruns: %d, skipped because one was running: %d, missed: %d\n",
		v.ID, v.Every, state, day(v.Next), strings.TrimSpace(day(v.Last)+" "+v.LastRun), running, v.Actions, v.Skipped, v.Missed)
	return err
}

func day(t time.Time) string {
	if t.IsZero() {
		return "none"
	}
	return t.Local().Format(time.DateTime)
}
