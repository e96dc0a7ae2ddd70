package main

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	commonpb "go.temporal.io/api/common/v1"

	"talon/activities"
	"talon/workflows"
)

var judged = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// wellSurvey is a survey of an installation that lacks nothing.
func wellSurvey() survey {
	result := activities.Partial
	worker := func(name string) []workerView {
		return []workerView{{Identity: name, Seen: judged.Add(-20 * time.Second)}}
	}
	return survey{
		Now: judged, Temporal: temporalView{Address: "tiger:7233", Namespace: "default", Version: "1.29.1"},
		Queues: []queueView{
			{Queue: "tiger", Type: "workflow", Known: true, Workers: worker("1@tiger")},
			{Queue: "tiger", Type: "activity", Known: true, Workers: worker("1@tiger")},
			{Queue: "eagle", Type: "activity", Known: true, Workers: worker("2@eagle")},
		},
		Schedule: &schedulePlan{Changed: judged.Add(-time.Hour), scheduleView: scheduleView{
			ID: scheduleID, Every: 15 * time.Minute, Last: judged.Add(-10 * time.Minute), Next: judged.Add(5 * time.Minute), CatchUp: catchUp, Running: []string{}, Actions: 4,
		}},
		Last: &runView{
			Run: "collect/scheduled-1", Start: judged.Add(-10 * time.Minute), End: judged.Add(-9 * time.Minute), Status: "Completed",
			Result: &result, status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
		},
		Runs: []runView{}, AtWork: []workView{}, Waiting: []waitView{}, Servers: serversView{Known: true, Total: 2}, Counts: map[string]int{},
		standing: []serverStanding{standingAt("a", activities.Success, 0.5), standingAt("b", activities.Success, 0.5)},
	}
}

// standingAt is how a server stands whose last success is so many intervals ago; negative: it had none.
func standingAt(name string, result int, lag float64) serverStanding {
	s := serverStanding{Status: word(result)}
	s.Server, s.Run, s.Result = name, "collect/x", result
	if lag >= 0 {
		s.Lag = &lag
	}
	return s
}

// codes are what was found, "!" before what is a problem.
func (r statusReport) codes() (codes []string) {
	for _, f := range r.Problems {
		codes = append(codes, "!"+f.Code)
	}
	for _, f := range r.Notes {
		codes = append(codes, f.Code)
	}
	return codes
}

func TestJudge(t *testing.T) {
	limits := thresholds{lag: 4, backlogAge: 5 * time.Minute}
	for name, test := range map[string]struct {
		change func(*survey)
		codes  []string
		words  string // of the first finding
	}{
		"well":         {func(*survey) {}, nil, ""},
		"no tiger":     {func(s *survey) { s.Queues[0].Workers, s.Queues[1].Workers = nil, nil }, []string{"!no_tiger"}, "no tiger worker has polled for more than 1m30s: nothing is collected"},
		"half a tiger": {func(s *survey) { s.Queues[1].Workers = nil }, []string{"!no_tiger"}, "no tiger worker"},
		"no eagle": {func(s *survey) {
			s.Queues[2].Workers = nil
			s.Queues[2].Backlog = 3
			s.Queues[2].Oldest = 4 * time.Minute
		}, []string{"!no_eagle"}, "3 tasks wait, the oldest for 4m00s"},
		"busy eagle":          {func(s *survey) { s.Queues[2].Workers[0].Busy = true }, nil, ""},
		"unknown queue":       {func(s *survey) { s.Queues[2] = queueView{Queue: "eagle"} }, nil, ""},
		"backlog":             {func(s *survey) { s.Queues[1].Backlog, s.Queues[1].Oldest = 7, 6*time.Minute }, []string{"!tiger_backlog"}, "oldest activity task of tiger's queue has been waiting for 6m00s; about 7 tasks"},
		"young backlog":       {func(s *survey) { s.Queues[1].Backlog, s.Queues[1].Oldest = 700, 4*time.Minute }, nil, ""},
		"age without backlog": {func(s *survey) { s.Queues[1].Oldest = time.Hour }, nil, ""},
		"eagle's backlog":     {func(s *survey) { s.Queues[2].Backlog, s.Queues[2].Oldest = 1, time.Hour }, []string{"!eagle_backlog"}, "about 1 task"},
		"no schedule":         {func(s *survey) { s.Schedule = nil }, []string{"schedule_missing"}, "unless somebody calls"},
		"no schedule any more": {
			func(s *survey) { s.Schedule, s.wasScheduled = nil, true },
			[]string{"!schedule_missing"},
			"there was one",
		},
		"schedule unknown": {func(s *survey) { s.Schedule = nil; s.Unknown = []unknownView{{"the schedule", "timeout"}} }, nil, ""},
		"paused": {func(s *survey) {
			s.Schedule.Paused, s.Schedule.Note, s.Schedule.Last = true, "holiday", judged.Add(-48*time.Hour)
		}, []string{"!schedule_paused"}, "(holiday)"},
		"overdue":         {func(s *survey) { s.Schedule.Last = judged.Add(-31 * time.Minute) }, []string{"!schedule_overdue"}, "no run has started for 31m00s, although the interval is 15m0s"},
		"just in time":    {func(s *survey) { s.Schedule.Last = judged.Add(-30 * time.Minute) }, nil, ""},
		"new schedule":    {func(s *survey) { s.Schedule.Last, s.Schedule.Changed = time.Time{}, judged.Add(-time.Minute) }, nil, ""},
		"next has passed": {func(s *survey) { s.Schedule.Next = judged.Add(-16 * time.Minute) }, []string{"!schedule_overdue"}, "no run has started"},
		"exhausted":       {func(s *survey) { s.Schedule.Last, s.Schedule.Exhausted = judged.Add(-time.Hour), true }, []string{"!schedule_overdue"}, "no run to start any more"},
		"held up": {func(s *survey) {
			s.Schedule.Last, s.Schedule.Running, s.Schedule.Skipped = judged.Add(-time.Hour), []string{"collect/x"}, 3
		}, []string{"!schedule_skipped"}, "collect/x has been at work for 1h00m and holds up the next runs: 3 starts skipped so far"},
		"was held up": {func(s *survey) { s.Schedule.Skipped = 1 }, []string{"schedule_skipped"}, "1 scheduled start did not happen"},
		"missed":      {func(s *survey) { s.Schedule.Missed = 2 }, []string{"schedule_missed"}, "2 scheduled starts did not happen because Temporal was away for longer than 10m00s"},
		"terminated":  {func(s *survey) { s.Last.Result, s.Last.status = nil, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED }, []string{"!run_failed"}, "collect/scheduled-1 was terminated at 2026-11-23 11:51:00"},
		"timed out":   {func(s *survey) { s.Last.Result, s.Last.status = nil, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT }, []string{"!run_failed"}, "ran out of time"},
		"failed":      {func(s *survey) { s.Last.Result, s.Last.status = nil, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED }, []string{"!run_failed"}, "failed at"},
		"cancelled":   {func(s *survey) { s.Last.Result, s.Last.status = nil, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED }, nil, ""},
		"nothing":     {func(s *survey) { *s.Last.Result = activities.Failed }, []string{"!run_failed"}, "could not collect a single server"},
		"silent": {func(s *survey) {
			s.standing = []serverStanding{standingAt("a", activities.Failed, 4.1), standingAt("b", activities.Partial, -1), standingAt("c", activities.Failed, 4)}
			s.Servers.Total = 3
		}, []string{"!server_silent"}, "2 of 3 servers not collected completely for more than 4 intervals, or never: a, b"},
		"silent by tiger's configuration, and not by the schedule": {func(s *survey) {
			s.Schedule.Every, s.standing[0] = time.Hour, standingAt("a", activities.Failed, 5)
			age := (75 * time.Minute).Seconds()
			s.standing[0].Age = &age
		}, nil, ""},
		"silent by the schedule": {func(s *survey) {
			s.Schedule.Every, s.Schedule.Last, s.standing[0] = 5*time.Minute, judged.Add(-time.Minute), standingAt("a", activities.Failed, 2)
			age := (30 * time.Minute).Seconds()
			s.standing[0].Age = &age
		}, []string{"!server_silent"}, "1 of 2 servers"},
		"not tried": {func(s *survey) { s.standing[0] = standingAt("a", activities.Success, 100) }, nil, ""},
		"tried in vain": {func(s *survey) {
			s.standing[0] = standingAt("a", activities.Success, 100)
			s.standing[0].Latest = "busy"
		}, []string{"!server_silent"}, "1 of 2 servers"},
		"new server": {func(s *survey) { s.standing[0] = serverStanding{Status: wordNever} }, nil, ""},
		"first run":  {func(s *survey) { s.standing[0] = serverStanding{Status: wordNever}; s.standing[0].Latest = "running" }, nil, ""},
		"unknown":    {func(s *survey) { s.Servers = serversView{Why: "no tiger worker is there to ask"} }, []string{"servers_unknown"}, "is unknown: no tiger worker is there to ask"},
		"paused for long": {func(s *survey) {
			s.Paused, s.standing[0] = []string{"a"}, standingAt("a", activities.Success, 100)
			s.standing[0].Latest = "busy"
		}, []string{"server_paused"}, "a"},
		"paused server": {func(s *survey) { s.Paused = []string{"a", "b"} }, []string{"server_paused"}, "a, b"},
		"waits its turn": {func(s *survey) {
			s.Waiting = []waitView{{State: workflows.StateWaitingForEagle, Count: 2, Since: judged, Said: "No eagle."}}
		}, nil, ""},
		"waits": {func(s *survey) {
			s.Queues[2].Known = false
			s.Queues[2].Workers = nil
			s.Waiting = []waitView{{State: workflows.StateWaitingForEagle, Count: 2, Since: judged, Said: "No eagle."}}
		}, []string{"!waiting_for_eagle"}, "2 decompressions wait for an eagle worker, the oldest since 2026-11-23 12:00:00: No eagle."},
		"waits silently": {func(s *survey) {
			s.Waiting = []waitView{{State: workflows.StateWaitingForGateway, Count: 1, Since: judged}}
		}, []string{"!waiting_for_gateway"}, "1 decompression waits for the gateway, the oldest since 2026-11-23 12:00:00 → "},
		"stuck":         {func(s *survey) { s.Stuck = []stuckView{{"server/a", 3, "panic"}} }, []string{"!workflow_stuck"}, "server/a cannot go on: its workflow task failed 2 times: panic"},
		"no attributes": {func(s *survey) { s.Temporal.Missing = []string{"TalonRun"} }, []string{"search_attributes_missing"}, "TalonRun"},
	} {
		t.Run(name, func(t *testing.T) {
			s := wellSurvey()
			test.change(&s)
			r := judge(s, limits)
			assert.Equal(t, test.codes, r.codes())
			if found := append(r.Problems, r.Notes...); len(found) > 0 {
				assert.Contains(t, found[0].line(), test.words)
				assert.NotEmpty(t, found[0].Advice)
			}
			want := verdictHealthy
			if len(r.Problems) > 0 {
				want = verdictTrouble
			} else if len(r.Unknown) > 0 {
				want = verdictUnknown
			}
			assert.Equal(t, want, r.Verdict)
		})
	}
}

// TestStatusPrint: everything that a survey can hold, as people and programs see it.
func TestStatusPrint(t *testing.T) {
	s := wellSurvey()
	s.Queues[2].Workers, s.Queues[2].Backlog, s.Queues[2].Oldest = []workerView{{Identity: "2@eagle", Seen: judged.Add(-time.Minute), Busy: true}}, 2, 3*time.Minute
	s.Queues[1].Known, s.Unknown = false, []unknownView{{"the activity queue tiger", "deadline exceeded"}}
	s.Runs = []runView{
		{Run: "collect/1", Start: judged.Add(-90 * time.Second), Progress: &progressView{State: "collecting", Done: 3, Total: 9, Files: 12, Bytes: 4096}},
		{Run: "collect/2", Start: judged.Add(-time.Second), Silent: "it did not answer within 2s"},
	}
	s.AtWork = []workView{{Workflow: "server/a", Start: judged.Add(-80 * time.Second), State: "collecting", Retries: []retryView{
		{Activity: "DownloadFile", Attempt: 3, Failure: "server a: \x1b[31mconnection reset", Next: judged.Add(20 * time.Second)},
		{Activity: "DownloadFile", Attempt: 2, Failure: "server a: timeout"},
	}}}
	s.Counts = map[string]int{"CollectServerWorkflow": 6, "DecompressWorkflow": 2}
	s.Waiting = []waitView{{State: "waiting-for-gateway", Count: 2, Oldest: "decompress/1/a", Since: judged.Add(-time.Hour), Said: "connection refused"}}
	s.standing = []serverStanding{standingAt("a", activities.Failed, 8), standingAt("b", activities.Failed, -1)}
	s.standing[0].LastSuccess, s.standing[0].Reason, s.standing[0].Detail = judged.Add(-2*time.Hour), "server_unreachable", "connection refused"
	s.Paused, s.Stuck = []string{}, []stuckView{}
	s.Temporal.Missing = []string{"TalonRun"}
	r := judge(s, thresholds{lag: 4, backlogAge: time.Minute})
	for output, file := range map[string]string{"table": "status.txt", "json": "status.json", "csv": "status.csv"} {
		var b bytes.Buffer
		require.NoError(t, r.print(&b, output))
		golden(t, file, b.String())
	}
}

// TestBusyWorkers: a worker whose places are all taken does not poll; its heartbeats show that it is there.
func TestBusyWorkers(t *testing.T) {
	g := &gatherer{s: survey{Queues: []queueView{
		{Queue: "tiger", Type: "workflow"}, {Queue: "tiger", Type: "activity"}, {Queue: "eagle", Type: "activity", Workers: []workerView{{Identity: "1@eagle"}}},
	}}}
	pending := func(activity, worker string) *workflowpb.PendingActivityInfo {
		return &workflowpb.PendingActivityInfo{
			ActivityType: &commonpb.ActivityType{Name: activity}, LastWorkerIdentity: worker, State: enumspb.PENDING_ACTIVITY_STATE_STARTED,
			LastHeartbeatTime: timestamppb.Now(),
		}
	}
	all := []*workflowpb.PendingActivityInfo{
		pending("ExtractArchives", "1@eagle"), // polls as well
		pending("ExtractArchives", "2@eagle"), pending("DownloadFile", "5@tiger"), pending("DownloadFile", "5@tiger"),
	}
	for range 2 {
		g.busyWorkers("eagle", all)
		g.busyWorkers("tiger", all)
	}
	assert.Empty(t, g.s.Queues[0].Workers)
	require.Len(t, g.s.Queues[1].Workers, 1)
	assert.Equal(t, "5@tiger", g.s.Queues[1].Workers[0].Identity)
	require.Len(t, g.s.Queues[2].Workers, 2)
	assert.Equal(t, "2@eagle", g.s.Queues[2].Workers[1].Identity)
	assert.True(t, g.s.Queues[2].Workers[1].Busy)
}

// TestFailureOf: a workflow whose tasks fail is told from one that has lost a worker.
func TestFailureOf(t *testing.T) {
	timedOut := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT}
	completed := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED}
	failed := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, Attributes: &historypb.HistoryEvent_WorkflowTaskFailedEventAttributes{
		WorkflowTaskFailedEventAttributes: &historypb.WorkflowTaskFailedEventAttributes{Failure: &failurepb.Failure{Message: "panic"}},
	}}
	events := func(events ...*historypb.HistoryEvent) []*historypb.HistoryEvent { return events }
	assert.Equal(t, "panic", failureOf(events(failed, completed), 2))
	assert.Empty(t, failureOf(events(timedOut, completed), 2), "a worker was lost")
	assert.Empty(t, failureOf(events(timedOut, failed), mostLost+1))
	assert.Contains(t, failureOf(events(timedOut, completed), mostLost+2), "in time", "it is lost for ever")
	assert.Empty(t, failureOf(events(completed, failed), 9))
	assert.Empty(t, failureOf(nil, 9))
}

// TestCatalogSilent: a tiger that polls and does not answer leaves open how the servers stand; without one that is told already.
func TestCatalogSilent(t *testing.T) {
	f := newFake()
	f.broken = errors.New("the disk hangs")
	g := &gatherer{temporal: f, polled: true, s: wellSurvey()}
	g.s.Servers, g.s.standing = serversView{}, nil
	g.servers(t.Context())
	r := judge(g.s, thresholds{lag: 4, backlogAge: time.Minute})
	assert.Equal(t, verdictUnknown, r.Verdict)
	assert.Equal(t, []string{codeServersUnknown}, r.codes())
	assert.Contains(t, r.unknownLines()[0], "how the servers stand: cannot look up")
	assert.Contains(t, r.unknownLines()[0], "the disk hangs")

	g = &gatherer{temporal: f, s: wellSurvey()}
	g.servers(t.Context())
	assert.Empty(t, g.s.Unknown)
}

func TestStatusOptions(t *testing.T) {
	good := thresholds{lag: 4, backlogAge: time.Minute}
	assert.NoError(t, statusOptions{good, outputCSV}.check())
	assert.ErrorContains(t, statusOptions{good, "xml"}.check(), "xml")
	for _, lag := range []float64{0, -1, math.NaN()} {
		assert.ErrorContains(t, statusOptions{thresholds{lag: lag, backlogAge: 1}, outputCSV}.check(), "--lag")
	}
	assert.ErrorContains(t, statusOptions{thresholds{lag: 1}, outputCSV}.check(), "--backlog-age")
}
