package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// addScheduled adds a run of the schedule: for an interval, and when it really started.
func (f *fakeTemporal) addScheduled(t *testing.T, id string, at, started time.Time, status enumspb.WorkflowExecutionStatus) {
	t.Helper()
	payload, err := converter.GetDefaultDataConverter().ToPayload(at)
	require.NoError(t, err)
	f.listed = append(f.listed, &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: id}, StartTime: timestamppb.New(started), Status: status,
		SearchAttributes: &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"TemporalScheduledStartTime": payload}},
	})
}

// TestBackfill: one run for all that was missed, none if a run has started since, each its own with --all.
func TestBackfill(t *testing.T) {
	f := newFake()
	f.start(t.Context(), "backfill", "--last", "1h").unusable(t, "there is no schedule yet", "starter schedule create")
	assert.Zero(t, f.start(t.Context(), "schedule", "create", "--jitter", "5s").code)
	begin := time.Date(2026, time.January, 5, 6, 0, 0, 0, time.UTC)
	f.schedule.info.CreatedAt = begin.Add(-time.Hour)
	period := []string{"backfill", "--from", "2026-01-05T06:00:00Z", "--to", "2026-01-05 07:00"}
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	completed := enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	f.addScheduled(t, "collect/0", at(0), at(0), completed)
	f.addScheduled(t, "collect/45", at(45), at(45), completed)
	f.addScheduled(t, "collect/70", at(70), at(70), enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED)

	got := f.start(t.Context(), period...)
	assert.Equal(t, call{stdout: "no run started in 3 of 5 intervals, the last time at 2026-01-05 07:00:00\n1 run requested; starter status shows them at work\n"}, got)
	one := func(minutes int) client.ScheduleBackfill {
		return client.ScheduleBackfill{Start: at(minutes), End: at(minutes).Add(5 * time.Second), Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL}
	}
	assert.Equal(t, []client.ScheduleBackfill{one(60)}, f.schedule.filled)
	assert.Equal(t, "TemporalScheduledById = 'collect' AND StartTime >= '2026-01-05T06:00:00Z'", f.queries[0])

	f.schedule.filled = nil
	f.addScheduled(t, "collect/75", at(75), at(75), completed)
	got = f.start(t.Context(), period...)
	assert.Contains(t, got.stdout, "collect/75 has started since and takes whatever was new: nothing to do")
	assert.Zero(t, got.code)
	assert.Empty(t, f.schedule.filled)
	got = f.start(t.Context(), append(period, "--all", "-o", "json")...)
	var view backfillView
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &view))
	assert.Equal(t, []time.Time{at(15), at(30), at(60)}, view.Missed)
	assert.Equal(t, view.Missed, view.Requested)
	assert.Equal(t, "collect/75", view.CaughtUp)
	assert.Equal(t, []client.ScheduleBackfill{one(15), one(30), one(60)}, f.schedule.filled)

	f.schedule.filled = nil
	for _, minutes := range []int{15, 30, 60} {
		f.addScheduled(t, "collect/x", at(minutes), at(80), completed)
	}
	got = f.start(t.Context(), append(period, "--all")...)
	assert.Equal(t, "nothing was missed from 2026-01-05 06:00:00 to 2026-01-05 07:00:00: each of 5 intervals has had its run\n", got.stdout)
	f.schedule.info.CreatedAt = at(61)
	got = f.start(t.Context(), period...)
	assert.Contains(t, got.stdout, "the schedule had no interval in that time", "before it was created")
	assert.Empty(t, f.schedule.filled)
}

func TestBackfillBounds(t *testing.T) {
	f := newFake()
	assert.Zero(t, f.start(t.Context(), "schedule", "create", "--every", "1m").code)
	long := []string{"backfill", "--from", "2026-01-05T00:00:00Z", "--to", "2026-01-05T05:00:00Z"}
	f.start(t.Context(), append(long, "--all")...).unusable(t, "301 intervals were missed", "at most 200", "leave --all out")
	assert.Contains(t, f.start(t.Context(), long...).stdout, "1 run requested", "one is enough")
	f.start(t.Context(), "backfill", "--from", "2026-01-01").unusable(t, "more than 1000 intervals of 1m0s")
	f.schedule.options.Spec.Calendars = []client.ScheduleCalendarSpec{{}}
	f.start(t.Context(), long...).unusable(t, "temporal schedule backfill")
}

// TestMissedOnlyWhenLate: an interval whose start is due at this moment is not missed.
func TestMissedOnlyWhenLate(t *testing.T) {
	f := newFake()
	assert.Zero(t, f.start(t.Context(), "schedule", "create", "--jitter", "30s").code)
	description, err := f.schedule.Describe(t.Context())
	require.NoError(t, err)
	due := time.Date(2026, time.January, 5, 6, 0, 0, 0, time.UTC)
	for late, missed := range map[time.Duration]int{0: 0, 39 * time.Second: 0, 40 * time.Second: 1} {
		view, err := findMissed(t.Context(), f, description, due.Add(-time.Minute), due.Add(late), due.Add(late))
		require.NoError(t, err)
		assert.Len(t, view.Missed, missed, late)
	}
}

func TestIntervalsBetween(t *testing.T) {
	begin := time.Date(2026, time.January, 5, 6, 0, 0, 0, time.UTC)
	every := client.ScheduleIntervalSpec{Every: 15 * time.Minute, Offset: 2 * time.Minute}
	times, err := intervalsBetween(every, begin, begin.Add(17*time.Minute))
	require.NoError(t, err)
	assert.Equal(t, []time.Time{begin.Add(2 * time.Minute), begin.Add(17 * time.Minute)}, times)
	times, err = intervalsBetween(every, begin.Add(3*time.Minute), begin.Add(16*time.Minute))
	require.NoError(t, err)
	assert.Empty(t, times)
}
