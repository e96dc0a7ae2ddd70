package main

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"talon/workflows"
)

// TestScheduleCreate: create makes the schedule, and makes it anew from other settings when it is there; a pause outlives that.
func TestScheduleCreate(t *testing.T) {
	f := newFake()
	got := f.start(t.Context(), "schedule", "create")
	assert.Equal(t, call{stdout: "schedule collect created: every 15m0s\n"}, got)
	s := f.schedule
	assert.Equal(t, "collect", s.options.ID)
	assert.Equal(t, client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: 15 * time.Minute}}, Jitter: 10 * time.Second}, s.options.Spec)
	assert.Equal(t, enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, s.options.Overlap)
	assert.Equal(t, 10*time.Minute, s.options.CatchupWindow)
	action := s.options.Action.(*client.ScheduleWorkflowAction)
	assert.Equal(t, "collect/scheduled", action.ID)
	assert.Equal(t, "tiger", action.TaskQueue)
	assert.Equal(t, 24*time.Hour, action.WorkflowExecutionTimeout, "a stuck run must not silence all later ones")
	assert.Equal(t, []any{workflows.CollectInput{}}, action.Args)
	assert.Equal(t, "started by the schedule: collect all servers", action.StaticSummary)
	assert.Contains(t, action.StaticDetails, "every 15 min")
	assert.Equal(t, "schedule collect, made by "+whoami(), action.Memo["by"])

	assert.Zero(t, f.start(t.Context(), "schedule", "pause", "--note", "holiday").code)
	s.options.Overlap, s.options.CatchupWindow = enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL, time.Hour // somebody's experiment
	got = f.start(t.Context(), "schedule", "create", "--config", writeConfig(t, settings), "--server", "branch-001")
	assert.Equal(t, call{stdout: "schedule collect updated: every 20m0s\n"}, got)
	assert.Equal(t, client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: 20 * time.Minute}}, Jitter: 5 * time.Second}, s.options.Spec)
	assert.Equal(t, []any{workflows.CollectInput{Servers: []string{"branch-001"}}}, s.options.Action.(*client.ScheduleWorkflowAction).Args)
	assert.Equal(t, enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, s.options.Overlap)
	assert.Equal(t, 10*time.Minute, s.options.CatchupWindow)
	assert.True(t, s.paused)

	got = f.start(t.Context(), "schedule", "create", "--config", writeConfig(t, settings), "--every", "1h", "--jitter", "0s")
	assert.Equal(t, "schedule collect updated: every 1h0m0s\n", got.stdout, "flags override the file")
	assert.Zero(t, s.options.Spec.Jitter)
	action = s.options.Action.(*client.ScheduleWorkflowAction)
	assert.Contains(t, action.StaticDetails, "every 1 h")
}

func TestScheduleSteps(t *testing.T) {
	f := newFake()
	assert.Zero(t, f.start(t.Context(), "schedule", "create").code)
	s := f.schedule

	assert.Equal(t, call{stdout: "schedule collect paused\n"}, f.start(t.Context(), "schedule", "pause", "--note", "bank holiday"))
	assert.True(t, s.paused)
	assert.Equal(t, "bank holiday", s.note)
	assert.Equal(t, call{stdout: "schedule collect unpaused\n"}, f.start(t.Context(), "schedule", "unpause"))
	assert.False(t, s.paused)
	assert.Equal(t, "by hand", s.note)
	assert.Equal(t, call{stdout: "schedule collect triggered\n"}, f.start(t.Context(), "schedule", "trigger"))
	assert.Equal(t, 1, s.triggered)
	f.start(t.Context(), "schedule", "trigger", "--note", "x").unusable(t, "unknown flag: --note")
	assert.Equal(t, call{stdout: "schedule collect deleted\n"}, f.start(t.Context(), "schedule", "delete"))
	assert.Nil(t, s.options)
	assert.Equal(t, f.dialled, f.closed, "every connection was closed")
}

func TestNoSchedule(t *testing.T) {
	for _, step := range []string{"describe", "pause", "unpause", "trigger", "delete"} {
		newFake().start(t.Context(), "schedule", step).unusable(t, "there is no schedule yet: starter schedule create makes it")
	}
}

func TestScheduleBroken(t *testing.T) {
	f := newFake()
	f.schedule.broken = errors.New("permission denied")
	f.start(t.Context(), "schedule", "create").unusable(t, "create the schedule: permission denied")
	f.schedule.broken = nil
	require.Zero(t, f.start(t.Context(), "schedule", "create").code)
	for _, step := range []string{"describe", "pause", "unpause", "trigger", "delete"} {
		require.Zero(t, f.start(t.Context(), "schedule", "create").code)
		f.schedule.broken = errors.New("permission denied")
		f.start(t.Context(), "schedule", step).unusable(t, "permission denied")
		f.schedule.broken = nil
	}
}

func TestScheduleDescribe(t *testing.T) {
	f := newFake()
	require.Zero(t, f.start(t.Context(), "schedule", "create").code)
	assert.Equal(t, `schedule collect: every 15m0s, active
next run: none
last run: none
running: none
runs: 0, skipped because one was running: 0, missed: 0
`, f.start(t.Context(), "schedule", "describe").stdout)

	f.schedule.info = client.ScheduleInfo{
		NumActions: 7, NumActionsSkippedOverlap: 2, NumActionsMissedCatchupWindow: 1,
		RunningWorkflows: []client.ScheduleWorkflowExecution{{WorkflowID: "collect/scheduled-3"}},
		RecentActions: []client.ScheduleActionResult{
			{ActualTime: at(0, 0)},
			{ActualTime: at(15, 3), StartWorkflowResult: &client.ScheduleWorkflowExecution{WorkflowID: "collect/scheduled-3"}},
		},
		NextActionTimes: []time.Time{at(30, 0), at(45, 0)},
	}
	assert.Equal(t, `schedule collect: every 15m0s, active
next run: 2026-11-23 05:30:00
last run: 2026-11-23 05:15:03 collect/scheduled-3
running: collect/scheduled-3
runs: 7, skipped because one was running: 2, missed: 1
`, f.start(t.Context(), "schedule", "describe").stdout)

	require.Zero(t, f.start(t.Context(), "schedule", "pause", "--note", "holiday").code)
	paused := f.start(t.Context(), "schedule", "describe").stdout
	assert.Contains(t, paused, "PAUSED (holiday)\nnext run: none\n")

	got := f.start(t.Context(), "schedule", "describe", "-o", "json")
	assert.True(t, json.Valid([]byte(got.stdout)))
	assert.JSONEq(t, `{
		"id": "collect", "every_ns": 900000000000, "paused": true, "note": "holiday", "last_run": "collect/scheduled-3", "last": "2026-11-23T05:15:03Z",
		"running": ["collect/scheduled-3"], "actions": 7, "skipped_overlap": 2, "missed_catchup_window": 1, "overlap": "Skip",
		"catchup_window_ns": 600000000000
	}`, got.stdout)
}

// TestScheduleThatIsSlowToDescribe: Temporal may give up before its own workflow has answered; then it is asked again, but not for ever.
func TestScheduleThatIsSlowToDescribe(t *testing.T) {
	f := newFake()
	assert.Zero(t, f.start(t.Context(), "schedule", "create").code)
	f.schedule.slow = describeTries - 1
	assert.Zero(t, f.start(t.Context(), "schedule", "describe").code)
	f.schedule.slow = describeTries
	assert.Contains(t, f.start(t.Context(), "schedule", "describe").stderr, "deadline exceeded")
}
