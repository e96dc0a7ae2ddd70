package e2e

import (
	"encoding/csv"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

// status is the part of the JSON of `starter status -o json` that is looked at here.
type status struct {
	Verdict  string    `json:"verdict"`
	Problems []finding `json:"problems"`
	Notes    []finding `json:"notes"`
	Temporal struct {
		Address   string `json:"address"`
		Namespace string `json:"namespace"`
		Version   string `json:"version"`
	} `json:"temporal"`
	Queues []struct {
		Queue   string           `json:"queue"`
		Type    string           `json:"type"`
		Workers []map[string]any `json:"workers"`
		Backlog int64            `json:"backlog"`
		Oldest  time.Duration    `json:"oldest_ns"`
	} `json:"queues"`
	Runs []struct {
		Run      string    `json:"run"`
		Progress *progress `json:"progress"`
		Silent   string    `json:"silent"`
	} `json:"runs"`
	AtWork []struct {
		Workflow string `json:"workflow"`
		Retries  []struct {
			Activity string `json:"activity"`
			Attempt  int    `json:"attempt"`
			Failure  string `json:"failure"`
		} `json:"retries"`
	} `json:"at_work"`
	Servers struct {
		Known bool   `json:"known"`
		Why   string `json:"why"`
		Total int    `json:"total"`
	} `json:"servers"`
	code int
}

type finding struct {
	Code   string `json:"code"`
	What   string `json:"what"`
	Advice string `json:"advice"`
}

// told is what a status says under a code, "" if the code is not there.
func told(findings []finding, code string) string {
	for _, f := range findings {
		if f.Code == code {
			return f.What + " → " + f.Advice
		}
	}
	return ""
}

// askStatus asks how things stand.
func (s *stack) askStatus(args ...string) (answer status) {
	s.t.Helper()
	c := s.starter(append([]string{"status", "-o", "json"}, args...)...)
	c.decode(&answer)
	answer.code = c.process.ExitCode()
	return answer
}

// requireProblem waits for a problem that says these words, and demands the exit code that belongs to it.
func (s *stack) requireProblem(code string, words []string, args ...string) (answer status) {
	s.t.Helper()
	s.eventually(fmt.Sprint("the problem ", code, " that says ", words), func() bool {
		answer = s.askStatus(args...)
		said := told(answer.Problems, code)
		return said != "" && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) })
	})
	assert.Equal(s.t, "trouble", answer.Verdict)
	assert.Equal(s.t, failed, answer.code)
	return answer
}

// requireNote waits for a note that says these words.
func (s *stack) requireNote(code string, words ...string) (answer status) {
	s.t.Helper()
	s.eventually(fmt.Sprint("the note ", code, " that says ", words), func() bool {
		answer = s.askStatus()
		said := told(answer.Notes, code)
		return said != "" && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) })
	})
	assert.Empty(s.t, told(answer.Problems, code))
	return answer
}

// TestStatusHealthy: an installation that does its work is healthy, and says who does it.
func TestStatusHealthy(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("x.csv", text("x", 100))
	s.configure("")
	s.watch()
	s.start()
	s.starter("schedule", "create", "--every", "1000h").code(complete)
	s.starter("schedule", "trigger").code(complete)
	s.eventually("the end of the run", func() bool {
		return s.workflows("WorkflowType = 'CollectWorkflow' AND ExecutionStatus = 'Completed'") == 1
	})

	var answer status
	s.eventually("health", func() bool { // once both workers have polled and the catalog knows the server
		answer = s.askStatus("--lag", "1")
		return answer.code == complete
	})
	assert.Equal(t, "healthy", answer.Verdict)
	assert.Empty(t, answer.Problems)
	assert.Empty(t, answer.Notes)
	assert.Equal(t, s.server.Address(), answer.Temporal.Address)
	assert.Equal(t, s.namespace, answer.Temporal.Namespace)
	assert.NotEmpty(t, answer.Temporal.Version)
	assert.True(t, answer.Servers.Known)
	assert.Equal(t, 1, answer.Servers.Total)
	require.Len(t, answer.Queues, 3)
	for _, q := range answer.Queues {
		require.Len(t, q.Workers, 1, q)
		assert.Contains(t, q.Workers[0]["identity"], q.Queue+"-host")
	}

	shown := s.starter("status").code(complete).stdout.String()
	for _, text := range []string{"Temporal   " + s.server.Address(), "tiger-host", "eagle-host", "every 1000h0m0s", "complete", "none is at work", "\nhealthy\n"} {
		assert.Contains(t, shown, text)
	}
	assert.NotContains(t, shown, "\x1b")
	assert.Equal(t, "kind,code,what,advice\n", s.starter("status", "-o", "csv").code(complete).stdout.String())

	// The schedule is gone, but the catalog knows its run.
	s.starter("schedule", "delete").code(complete)
	s.requireProblem("schedule_missing", []string{"there was one", "starter schedule create"})
}

// TestStatusNoTemporal: without Temporal nothing is known; programs get that as a document, people as an error.
func TestStatusNoTemporal(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	address := "127.0.0.1:" + strconv.Itoa(ftptest.ClosedPort(t))
	s.env = []string{"TEMPORAL_ADDRESS=" + address}
	said := s.starter("status").code(unusable)
	assert.Empty(t, said.stdout.String())
	assert.Contains(t, said.stderr.String(), "cannot reach Temporal at "+address)
	answer := s.askStatus()
	assert.Equal(t, unusable, answer.code)
	assert.Equal(t, "unknown", answer.Verdict)
	assert.Contains(t, told(answer.Problems, "no_temporal"), "cannot reach Temporal at "+address)
	rows, err := csv.NewReader(&s.starter("status", "-o", "csv").code(unusable).stdout).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, []string{"problem", "no_temporal"}, rows[1][:2])
}

// TestStatusWorkersAway: a run waits for tiger, its archives then for eagle; each queue tells how long.
func TestStatusWorkersAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("x.csv", text("x", 100))
	a.putZip("p.zip", member("m.txt", text("m", 1000)))
	s.configure("")
	s.watch()
	run := strings.TrimSpace(s.starter("collect").code(complete).stdout.String())

	answer := s.requireProblem("tiger_backlog", []string{"the oldest workflow task of tiger's queue has been waiting for", "about 1 task", "worker --role tiger"}, "--backlog-age", "1ms")
	assert.Contains(t, told(answer.Problems, "no_tiger"), "no tiger worker has polled for more than 1m30s: nothing is collected; 1 task waits, the oldest for")
	assert.Contains(t, told(answer.Problems, "no_eagle"), "no eagle worker has polled for more than 1m30s: archives wait, collection goes on")
	assert.Contains(t, told(answer.Notes, "servers_unknown"), "no tiger worker is there to ask")
	assert.Contains(t, told(answer.Notes, "schedule_missing"), "nothing is collected unless somebody calls starter collect")
	assert.Contains(t, told(answer.Notes, "search_attributes_missing"), "TalonState")
	assert.False(t, answer.Servers.Known)
	require.Len(t, answer.Runs, 1)
	assert.Equal(t, run, answer.Runs[0].Run)
	assert.Equal(t, "no tiger worker is there to answer", answer.Runs[0].Silent)
	assert.Positive(t, answer.Queues[0].Oldest)
	assert.Empty(t, told(s.askStatus("--backlog-age", "1h").Problems, "tiger_backlog"))

	s.startTiger()
	answer = s.requireProblem("waiting_for_eagle", []string{
		"1 decompression waits for an eagle worker, the oldest since 20", "No eagle worker polls the queue eagle", "worker --role eagle",
	}, "--backlog-age", "1ms")
	assert.Contains(t, told(answer.Problems, "eagle_backlog"), "the oldest activity task of eagle's queue has been waiting for")
	assert.Contains(t, told(answer.Problems, "no_eagle"), "; 1 task waits, the oldest for")
	assert.Empty(t, told(answer.Problems, "no_tiger"))
	shown := s.starter("status").code(failed).stdout.String()
	for _, text := range []string{"eagle (activity): NO WORKER; about 1 task waits", "waiting-for-eagle: 1", "\nTROUBLE\nPROBLEM no_eagle: ", "note schedule_missing: "} {
		assert.Contains(t, shown, text)
	}

	s.startEagle()
	s.eventually("health", func() bool { return s.askStatus().code == complete })
}

// TestStatusSchedule takes a schedule that fires every second through what can go wrong with it. Nobody works on its runs.
func TestStatusSchedule(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.createSchedule(time.Second)
	handle := s.temporal.ScheduleClient().GetHandle(t.Context(), "collect")

	// The first run goes on and on: it holds up all others.
	s.requireProblem("schedule_skipped", []string{"collect/scheduled-", "holds up the next runs", "starter cancel collect/scheduled-"})

	// It is terminated, and the next one begins.
	run := s.describeSchedule().Running[0]
	s.starter("schedule", "pause", "--note", "bank holiday").code(complete)
	require.NoError(t, s.temporal.TerminateWorkflow(t.Context(), run, "", "for the test"))
	answer := s.requireProblem("run_failed", []string{run + " was terminated at 20", "starter result " + run})
	assert.Contains(t, told(answer.Problems, "schedule_paused"), "the schedule is paused (bank holiday)")
	assert.Contains(t, told(answer.Problems, "schedule_paused"), "starter schedule unpause")
	assert.Empty(t, told(answer.Problems, "schedule_skipped"))
	assert.Empty(t, told(answer.Problems, "schedule_overdue"), "a paused schedule is not late")

	// It may start nothing more: not paused, but silent.
	require.NoError(t, handle.Update(t.Context(), client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := in.Description.Schedule
			schedule.State.Paused, schedule.State.LimitedActions, schedule.State.RemainingActions = false, true, 0
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	}))
	s.requireProblem("schedule_overdue", []string{"no run to start any more; the last one started", "starter schedule create"})
	s.requireNote("schedule_skipped", "because the run before was still at work")
}

// createSchedule makes Talon's schedule with an interval that starter schedule create refuses.
func (s *stack) createSchedule(every time.Duration) {
	s.t.Helper()
	_, err := s.temporal.ScheduleClient().Create(s.t.Context(), client.ScheduleOptions{
		ID: "collect", Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}},
		Action:  &client.ScheduleWorkflowAction{ID: "collect/scheduled", Workflow: "CollectWorkflow", TaskQueue: "tiger", Args: []any{map[string]any{}}},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: shortestCatchUp,
	})
	require.NoError(s.t, err)
}

// shortestCatchUp is the shortest catch-up window that Temporal takes.
const shortestCatchUp = 10 * time.Second

// TestStatusMissed: Temporal is away for longer than the schedule catches up, and says so when it is back.
func TestStatusMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{
		CLI: temporalCLI, Headless: true, DBFile: filepath.Join(dir, "temporal.db"), Log: filepath.Join(dir, "temporal.log"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Kill()) })
	s := newStackOn(t, server)
	s.createSchedule(time.Second)
	s.eventually("the first run", func() bool { return s.describeSchedule().LastRun != "" })
	require.NoError(t, server.Kill())
	killed := time.Now()
	s.eventually("the catch-up window to pass", func() bool { return time.Since(killed) > shortestCatchUp+2*time.Second })
	require.NoError(t, server.Restart(t.Context()))
	s.requireNote("schedule_missed", "did not happen because Temporal was away for longer than 10s", "the next run collects whatever is new")
}

// TestStatusServers: what a server lacks for how long, who is at work, what is tried again, and whom an operator has paused.
func TestStatusServers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("1.csv", text("a", 3000))
	s.addClosedSite("b")
	s.configure("")
	s.watch()
	s.start()
	s.collect(partly)
	answer := s.requireProblem("server_silent", []string{
		"1 of 2 servers not collected completely for more than 0.5 intervals, or never: b", "starter servers --lagging 0.5", "starter probe b",
	}, "--lag", "0.5")
	assert.True(t, answer.Servers.Known)
	assert.Contains(t, s.starter("status").code(failed).stdout.String(), "b: never collected completely: ")

	a.put("2.csv", text("a2", 3000))
	held := a.hold("2.csv")
	run := s.beginCollect()
	await(s, "transfer of 2.csv", held.held)
	s.eventually("the retries of b", func() bool {
		for _, w := range s.askStatus().AtWork {
			if w.Workflow == "server/b" && len(w.Retries) == 1 && w.Retries[0].Attempt > 1 {
				return w.Retries[0].Activity == "ListServer" && strings.Contains(w.Retries[0].Failure, "connection refused")
			}
		}
		return false
	})
	s.order("pause", "a", "--why", "the line is needed")
	answer = s.requireNote("server_paused", "busy for every run: a", "starter resume")
	require.Len(t, answer.Runs, 1)
	require.NotNil(t, answer.Runs[0].Progress)
	assert.Equal(t, 2, answer.Runs[0].Progress.Total)
	require.NotEmpty(t, answer.AtWork)
	assert.Equal(t, "server/a", answer.AtWork[0].Workflow)
	s.order("resume", "a")
	held.release()
	run.result(partly)
}

// TestStatusGatewayAway: archives that an eagle cannot get are said to wait, with the reason.
func TestStatusGatewayAway(t *testing.T) {
	t.Parallel()
	r, eagle := withoutGateway(t)
	run := r.collectAndWait("connection refused")
	answer := r.requireProblem("waiting_for_gateway", []string{
		"1 decompression waits for the gateway", "connection refused", "starter retry " + run.decompression,
	})
	assert.Empty(t, told(answer.Problems, "no_eagle"))
	r.startGateway()
	r.requireDone(run, eagle)
}

// TestStatusStuck: a worker whose workflow code is broken leaves its workflows where they are.
func TestStatusStuck(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	broken, err := client.NewClientFromExistingWithContext(t.Context(), s.temporal, client.Options{
		Namespace: s.namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	defer broken.Close()
	w := worker.New(broken, "tiger", worker.Options{})
	w.RegisterWorkflowWithOptions(func(workflow.Context, any) error { panic("a bad build") }, workflow.RegisterOptions{Name: "CollectWorkflow"})
	require.NoError(t, w.Start())
	defer w.Stop()
	run := strings.TrimSpace(s.starter("collect").code(complete).stdout.String())
	answer := s.requireProblem("workflow_stuck", []string{run + " cannot go on", "a bad build", "tiger worker that was started or upgraded last"})
	require.Len(t, answer.Runs, 1)
	assert.Contains(t, answer.Runs[0].Silent, "it ")
}

// TestBackfill: a schedule that was paused misses intervals; one run makes up for them, and each gets its own if that is asked for.
func TestBackfill(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("x.csv", text("x", 100))
	s.configure("")
	s.watch()
	s.start()
	begin := time.Now().UTC().Format(time.RFC3339)
	s.starter("backfill", "--last", "1h").code(unusable)
	s.createSchedule(time.Second)
	s.starter("schedule", "pause").code(complete)

	type backfill struct {
		Missed    []time.Time `json:"missed"`
		CaughtUp  string      `json:"caught_up_by"`
		Requested []time.Time `json:"requested"`
	}
	var first backfill
	s.eventually("intervals that were missed", func() bool {
		s.starter("backfill", "--from", begin, "-o", "json").code(complete).decode(&first)
		return len(first.Requested) > 0
	})
	require.Len(t, first.Requested, 1)
	last := first.Requested[0].UTC().Format(time.RFC3339)
	s.eventually("the run that makes up for them", func() bool {
		return s.workflows("WorkflowId = 'collect/scheduled-"+last+"' AND ExecutionStatus = 'Completed'") == 1
	})
	s.requireWarehouse()

	period := []string{"backfill", "--from", begin, "--to", last}
	again := s.starter(period...).code(complete).stdout.String()
	if len(first.Missed) > 1 {
		assert.Contains(t, again, "has started since and takes whatever was new: nothing to do")
	}
	s.starter(append(period, "--all")...).code(complete)
	s.eventually("a run for every interval", func() bool {
		var rest backfill
		s.starter(append(period, "-o", "json")...).code(complete).decode(&rest)
		return len(rest.Missed) == 0
	})
	assert.Contains(t, s.starter(append(period, "--all")...).code(complete).stdout.String(), "has had its run")
}

// TestCompletion: a shell is offered the runs that Temporal knows and the servers of the configuration, and nothing where neither is to be had.
func TestCompletion(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.addClosedSite("branch-001")
	s.configure("")
	run := strings.TrimSpace(s.starter("collect").code(complete).stdout.String())
	s.eventually("the run among the completions", func() bool {
		return strings.HasPrefix(s.starter("__complete", "result", "").code(complete).stdout.String(), run+"\t20")
	})
	assert.Equal(t, "branch-001\n:4\n", s.starter("__complete", "collect", "--config", s.config, "--server", "").code(complete).stdout.String())
	s.env = append(s.env, "TALON_CONFIG="+s.config)
	assert.Equal(t, "branch-001\n:4\n", s.starter("__complete", "skip", "br").code(complete).stdout.String())
	s.env = append(s.env, "TEMPORAL_ADDRESS=127.0.0.1:"+strconv.Itoa(ftptest.ClosedPort(t)))
	away := s.starter("__complete", "result", "").code(complete)
	assert.Equal(t, ":4\n", away.stdout.String())
}
