package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"talon/activities"
	"talon/workflows"
)

// Codes of problems and notes. Monitoring depends on them: they are never renamed.
const (
	codeNoTemporal        = "no_temporal"
	codeNoTiger           = "no_tiger"
	codeNoEagle           = "no_eagle"
	codeTigerBacklog      = "tiger_backlog"
	codeEagleBacklog      = "eagle_backlog"
	codeScheduleMissing   = "schedule_missing"
	codeSchedulePaused    = "schedule_paused"
	codeScheduleOverdue   = "schedule_overdue"
	codeScheduleSkipped   = "schedule_skipped"
	codeScheduleMissed    = "schedule_missed"
	codeRunFailed         = "run_failed"
	codeServerSilent      = "server_silent"
	codeServerPaused      = "server_paused"
	codeServersUnknown    = "servers_unknown"
	codeWaitingForEagle   = "waiting_for_eagle"
	codeWaitingForGateway = "waiting_for_gateway"
	codeWorkflowStuck     = "workflow_stuck"
	codeAttributesMissing = "search_attributes_missing"
)

// Verdicts.
const (
	verdictHealthy = "healthy"
	verdictTrouble = "trouble"
	verdictUnknown = "unknown"
)

// overdueAfter is how many intervals may pass without a start: one is always under way or about to be.
const overdueAfter = 2

// finding is one thing that somebody should know.
type finding struct {
	Code   string `json:"code"`
	What   string `json:"what"`
	Advice string `json:"advice"`
}

// statusReport is a survey and what to think of it. Problems need somebody; notes are good to know.
type statusReport struct {
	Verdict  string    `json:"verdict"`
	Problems []finding `json:"problems"`
	Notes    []finding `json:"notes"`
	survey
}

// judge decides what is wrong. It asks nobody and knows no other time than the survey's.
func judge(s survey, limits thresholds) statusReport {
	r := statusReport{survey: s, Problems: []finding{}, Notes: []finding{}}
	r.judgeQueues(limits)
	r.judgeSchedule()
	r.judgeLast()
	r.judgeServers(limits)
	r.judgeWaiting()
	for _, w := range r.Stuck {
		r.problem(codeWorkflowStuck,
			"look at the tiger worker that was started or upgraded last, and at its log; workflows go on by themselves once a good one is there",
			"%s cannot go on: its workflow task failed %d times: %s", w.Workflow, w.Attempt-1, w.Failure)
	}
	if missing := r.Temporal.Missing; len(missing) > 0 {
		r.note(codeAttributesMissing, "a tiger worker registers them when it starts and may; everything else works without",
			"Temporal does not know %s: runs cannot be filtered in the Web UI", strings.Join(missing, ", "))
	}
	switch {
	case len(r.Problems) > 0:
		r.Verdict = verdictTrouble
	case len(r.Unknown) > 0:
		r.Verdict = verdictUnknown
	default:
		r.Verdict = verdictHealthy
	}
	return r
}

func (r *statusReport) problem(code, advice, format string, args ...any) {
	r.Problems = append(r.Problems, finding{Code: code, What: fmt.Sprintf(format, args...), Advice: advice})
}

func (r *statusReport) note(code, advice, format string, args ...any) {
	r.Notes = append(r.Notes, finding{Code: code, What: fmt.Sprintf(format, args...), Advice: advice})
}

// judgeQueues looks for workers, and for tasks that wait although they are there. Without a worker the backlog has a known cause.
func (r *statusReport) judgeQueues(limits thresholds) {
	for _, role := range []struct{ queue, absent, slow, meanwhile, remedy string }{
		{activities.TigerQueue, codeNoTiger, codeTigerBacklog, "nothing is collected", "give tiger's host more room, or start another tiger worker on it"},
		{activities.EagleQueue, codeNoEagle, codeEagleBacklog, "archives wait, collection goes on", "start another eagle worker"},
	} {
		queues := slices.DeleteFunc(slices.Clone(r.Queues), func(q queueView) bool { return q.Queue != role.queue || !q.Known })
		if len(queues) == 0 {
			continue // in Unknown
		}
		missing := slices.IndexFunc(queues, func(q queueView) bool { return len(q.Workers) == 0 })
		if missing >= 0 {
			what := fmt.Sprintf("no %s worker has polled for more than %s: %s", role.queue, span(pollerSeen), role.meanwhile)
			if tasks, oldest := backlogOf(queues); tasks > 0 {
				what += fmt.Sprintf("; %s, the oldest for %s", count(tasks, "task")+waits(tasks), span(oldest))
			}
			r.problem(role.absent, "start one: worker --role "+role.queue, "%s", what)
		}
		for _, q := range queues {
			if q.Backlog > 0 && q.Oldest > limits.backlogAge {
				advice := role.remedy
				if len(q.Workers) == 0 {
					advice = "start one: worker --role " + role.queue
				} else {
					advice += "; if they are --versioned, starter deployment tells which of them get work"
				}
				r.problem(role.slow, advice, "the oldest %s task of %s's queue has been waiting for %s; about %s",
					q.Type, q.Queue, span(q.Oldest), count(int(q.Backlog), "task"))
			}
		}
	}
}

func backlogOf(queues []queueView) (tasks int, oldest time.Duration) {
	for _, q := range queues {
		tasks += int(q.Backlog)
		oldest = max(oldest, q.Oldest)
	}
	return tasks, oldest
}

func waits(n int) string {
	if n == 1 {
		return " waits"
	}
	return " wait"
}

// judgeSchedule: a schedule that starts nothing is a problem, whatever keeps it. What it skipped or missed earlier is over: the next run collects
// whatever is new.
func (r *statusReport) judgeSchedule() {
	s := r.Schedule
	switch {
	case s == nil && r.isUnknown("the schedule"):
		return
	case s == nil && r.wasScheduled:
		r.problem(codeScheduleMissing, "starter schedule create makes it again", "there is no schedule, but there was one: Temporal knows its runs")
		return
	case s == nil:
		r.note(codeScheduleMissing, "starter schedule create makes one", "there is no schedule: nothing is collected unless somebody calls starter collect")
		return
	case s.Paused:
		r.problem(codeSchedulePaused, "starter schedule unpause, when that is over", "the schedule is paused (%s): no run starts by itself", s.Note)
	default:
		r.judgePace(s)
	}
	if s.Missed > 0 {
		r.note(codeScheduleMissed, "nothing to do: the next run collects whatever is new (see starter backfill --help)",
			"%s did not happen because Temporal was away for longer than %s", starts(s.Missed), span(s.CatchUp))
	}
}

// judgePace looks for a schedule that is not paused and all the same starts nothing.
func (r *statusReport) judgePace(s *schedulePlan) {
	since := s.Last
	if s.Changed.After(since) {
		since = s.Changed
	}
	quiet := r.Now.Sub(since)
	late := !s.Next.IsZero() && r.Now.Sub(s.Next) > s.Every
	switch {
	case quiet <= overdueAfter*s.Every && !late:
	case len(s.Running) > 0:
		r.problem(codeScheduleSkipped, "starter cancel "+s.Running[0]+" ends it; what it waits for is below",
			"%s has been at work for %s and holds up the next runs: %s so far", s.Running[0], span(quiet), skipped(s.Skipped))
		return
	case s.Exhausted:
		r.problem(codeScheduleOverdue, "starter schedule create puts it right", "the schedule has no run to start any more; the last one started %s ago", span(quiet))
	default:
		r.problem(codeScheduleOverdue,
			"right after starter schedule unpause this passes with the next run; else look at Temporal's log: its own worker starts the runs",
			"no run has started for %s, although the interval is %s; the next is due at %s", span(quiet), s.Every, day(s.Next))
	}
	if s.Skipped > 0 {
		r.note(codeScheduleSkipped, "if it happens again and again, a longer interval or a shorter collect.deadline helps",
			"%s did not happen because the run before was still at work", starts(s.Skipped))
	}
}

func starts(n int) string { return count(n, "scheduled start") }

func skipped(n int) string { return count(n, "start") + " skipped" }

func (r *statusReport) isUnknown(what string) bool {
	return slices.ContainsFunc(r.Unknown, func(u unknownView) bool { return u.What == what })
}

// judgeLast: partial failure is data, and silent servers tell of it; a run without any result, or without any good server, is a problem.
func (r *statusReport) judgeLast() {
	last := r.Last
	if last == nil {
		return
	}
	switch {
	case last.status == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		last.status == enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED,
		last.status == enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		how := map[enumspb.WorkflowExecutionStatus]string{
			enumspb.WORKFLOW_EXECUTION_STATUS_FAILED: "failed", enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED: "was terminated",
			enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "ran out of time",
		}[last.status]
		r.problem(codeRunFailed, "starter result "+last.Run+" shows what it did until then, the Web UI why; this passes with the next run that completes",
			"the last scheduled run %s %s at %s", last.Run, how, day(last.End))
	case last.Result != nil && *last.Result == activities.Failed:
		r.problem(codeRunFailed, "starter result "+last.Run+" shows why; starter probe tries the servers",
			"the last scheduled run %s could not collect a single server", last.Run)
	}
}

// judgeServers fills in which servers are silent: not collected completely for too long, and not just because no run has tried or an operator has
// paused them.
func (r *statusReport) judgeServers(limits thresholds) {
	r.Servers.Silent = []silentView{}
	if !r.Servers.Known {
		r.note(codeServersUnknown, "starter servers asks again, with more patience; starter deployment tells which of --versioned workers get work",
			"how the servers stand is unknown: %s", r.Servers.Why)
	}
	for _, s := range r.standing {
		tried := s.Status == wordFailed || s.Status == wordPartly || s.Status == wordComplete && s.Latest != ""
		lag := r.lag(s)
		if tried && (lag == nil || *lag > limits.lag) && !slices.Contains(r.Paused, s.Server) {
			r.Servers.Silent = append(r.Servers.Silent, silentView{s.Server, lag, s.LastSuccess, s.Reason, s.Detail})
		}
	}
	if silent := r.Servers.Silent; len(silent) > 0 {
		names := make([]string, len(silent))
		for i, s := range silent {
			names[i] = s.Server
		}
		r.problem(codeServerSilent, fmt.Sprintf("starter servers --lagging %g shows why; starter probe %s tries it", limits.lag, names[0]),
			"%d of %s not collected completely for more than %g intervals, or never: %s", len(silent), count(r.Servers.Total, "server"), limits.lag, someOf(names))
	}
	if len(r.Paused) > 0 {
		r.note(codeServerPaused, "starter resume SERVER lets it go on", "paused by an operator, and busy for every run: %s", someOf(r.Paused))
	}
}

// lag is how many intervals ago a server was last collected completely, nil if it never was: those of the schedule that starts the runs, if there is
// one. Tiger's configuration may name another (starter schedule create --every).
func (r *statusReport) lag(s serverStanding) *float64 {
	if r.Schedule == nil || r.Schedule.Every <= 0 || s.Age == nil {
		return s.Lag
	}
	lag := *s.Age / r.Schedule.Every.Seconds()
	return &lag
}

// someOf lists names in a line.
func someOf(names []string) string {
	const enough = 10
	if more := len(names) - enough; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), more)
	}
	return strings.Join(names, ", ")
}

// judgeWaiting looks at what decompressions wait for. They look for an eagle every quarter of an hour only: with one there their turn comes, and a
// queue that does not move is a problem of its own.
func (r *statusReport) judgeWaiting() {
	there := slices.ContainsFunc(r.Queues, func(q queueView) bool { return q.Queue == activities.EagleQueue && len(q.Workers) > 0 })
	for _, w := range r.Waiting {
		if w.State == workflows.StateWaitingForEagle && there {
			continue
		}
		code, advice, what := codeWaitingForEagle, "start one: worker --role eagle", "an eagle worker"
		if w.State == workflows.StateWaitingForGateway {
			code, what = codeWaitingForGateway, "the gateway"
			advice = "look at the gateway on tiger's host, and at the way from eagle to it; starter retry " + w.Oldest + " tries at once"
		}
		said := ""
		if w.Said != "" {
			said = ": " + w.Said
		}
		r.problem(code, advice, "%s for %s, the oldest since %s%s", count(w.Count, "decompression")+waits(w.Count), what, day(w.Since), said)
	}
}
