package main

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
)

// survey is everything that status finds out, before anybody judges it. Its JSON names are fixed: other programs read them.
type survey struct {
	Now          time.Time      `json:"now"` // by this host's clock
	Temporal     temporalView   `json:"temporal"`
	Queues       []queueView    `json:"queues"`
	Schedule     *schedulePlan  `json:"schedule,omitempty"` // absent: there is none
	Last         *runView       `json:"last_scheduled_run,omitempty"`
	Runs         []runView      `json:"runs"`    // collections that are at work
	Servers      serversView    `json:"servers"` // what tiger's catalog says
	AtWork       []workView     `json:"at_work"` // servers' workflows that are at work longest
	Paused       []string       `json:"paused"`  // servers that an operator has paused
	Waiting      []waitView     `json:"waiting"` // decompressions that wait, by what for
	Stuck        []stuckView    `json:"stuck"`   // workflows whose workflow task fails again and again
	Unknown      []unknownView  `json:"unknown"` // what could not be found out
	Counts       map[string]int `json:"counts"`  // workflows that are at work, by type; at most maxListed each
	wasScheduled bool           // there is no schedule, but Temporal knows runs of one
	standing     []serverStanding
}

// newSurvey is a survey that has not begun: its lists are empty, not absent, in JSON.
func newSurvey() survey {
	return survey{
		Now: time.Now(), Queues: []queueView{}, Runs: []runView{}, AtWork: []workView{}, Paused: []string{}, Waiting: []waitView{},
		Stuck: []stuckView{}, Unknown: []unknownView{}, Counts: map[string]int{}, Servers: serversView{Silent: []silentView{}},
	}
}

type temporalView struct {
	Address   string   `json:"address"`
	Namespace string   `json:"namespace"`
	Version   string   `json:"version,omitempty"`
	Missing   []string `json:"missing_search_attributes,omitempty"`
}

// queueView is one task queue of one type.
type queueView struct {
	Queue   string       `json:"queue"` // activities.TigerQueue or EagleQueue
	Type    string       `json:"type"`  // workflow or activity
	Workers []workerView `json:"workers"`
	// Backlog is about how many tasks no worker has taken, and Oldest how long the oldest of them has been waiting.
	Backlog int64         `json:"backlog"`
	Oldest  time.Duration `json:"oldest_ns"`
	Known   bool          `json:"known"` // false: Temporal did not tell
}

// workerView is a worker that polls a queue, or is too busy to poll and says so by its heartbeats.
type workerView struct {
	Identity string    `json:"identity"`
	Seen     time.Time `json:"seen"`
	Busy     bool      `json:"busy,omitempty"`
}

// schedulePlan is the schedule with what describe does not need.
type schedulePlan struct {
	scheduleView
	Changed time.Time `json:"changed,omitzero"` // created or updated
	// Exhausted: the schedule has no action left to start, or never had a time for one.
	Exhausted bool `json:"exhausted,omitempty"`
}

// runView is a collection.
type runView struct {
	Run    string    `json:"run"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end,omitzero"`
	Status string    `json:"status"`           // as Temporal calls it: Running, Completed, Failed, Terminated, …
	Result *int      `json:"result,omitempty"` // of a completed one
	// Progress of a running one; absent if it did not answer, Silent then says why.
	Progress *progressView `json:"progress,omitempty"`
	Silent   string        `json:"silent,omitempty"`
	status   enumspb.WorkflowExecutionStatus
}

type progressView struct {
	State string `json:"state"`
	Done  int    `json:"done"`
	Total int    `json:"total"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// workView is a workflow that is at work, with the activities that failed and are to be tried again.
type workView struct {
	Workflow string      `json:"workflow"`
	Start    time.Time   `json:"start"` // of the page it is on
	State    string      `json:"state,omitempty"`
	Retries  []retryView `json:"retries,omitempty"`
}

type retryView struct {
	Activity string    `json:"activity"`
	Attempt  int32     `json:"attempt"`
	Failure  string    `json:"failure"`
	Next     time.Time `json:"next,omitzero"` // zero: the attempt is under way
}

// waitView is a state in which decompressions wait.
type waitView struct {
	State  string    `json:"state"`
	Count  int       `json:"count"`
	Oldest string    `json:"oldest"` // workflow ID
	Since  time.Time `json:"since"`  // start of the oldest: it waits for no longer
	Said   string    `json:"said,omitempty"`
}

type stuckView struct {
	Workflow string `json:"workflow"`
	Attempt  int32  `json:"attempt"`
	Failure  string `json:"failure"`
}

// serversView is a summary of what tiger's catalog knows of the servers.
type serversView struct {
	Known  bool         `json:"known"`
	Why    string       `json:"why,omitempty"` // it is not known
	Total  int          `json:"total"`
	Silent []silentView `json:"silent"`
}

type silentView struct {
	Server      string    `json:"server"`
	Lag         *float64  `json:"lag,omitempty"` // intervals; absent: never collected completely
	LastSuccess time.Time `json:"last_success,omitzero"`
	Reason      string    `json:"reason,omitempty"`
	Detail      string    `json:"detail,omitempty"`
}

type unknownView struct {
	What  string `json:"what"`
	Error string `json:"error"`
}
