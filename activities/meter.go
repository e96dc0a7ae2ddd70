package activities

import (
	"strings"
	"time"

	"talon/internal/archive"
	"talon/internal/catalog"
)

// Meter is told what has become final. Activities call it, and never workflows, whose code runs again at each replay. Its methods may be called
// from several goroutines. What an activity had finished when its worker died may be told once more, or not at all, by another.
type Meter interface {
	// Server tells that the row of a server in a run was written. Of one that left no books to its run there are no outcomes.
	Server(row ServerResult, outcomes []Outcome)
	// Run tells that a run was closed. kind is collect or decompress.
	Run(kind string, result int, reason string)
	// Leftovers tells of staged files that no attempt could own and that were removed.
	Leftovers(files int)
	// Archive tells what became of an archive in the end; files and bytes are what was published of it.
	Archive(server string, result int, reason string, files int, bytes int64)
	// Layer tells how an eagle ended with a layer of an archive, "" for well.
	Layer(reason string)
	// Took tells how long a step took, and whether it came to an end that counts.
	Took(step string, duration time.Duration, err error)
}

// Outcome counts the files of a server in a run that came to the same end.
type Outcome = catalog.Outcome

// Steps whose time is taken.
const (
	StepList     = "list"     // a server, with all its directories
	StepDownload = "download" // an attempt at a file
	StepCommit   = "commit"   // a page: sync, publish, record
	StepExtract  = "extract"  // an attempt at an archive: fetch, extract, deliver
	StepSeal     = "seal"     // a batch: receive, check, sync, publish, record
)

// stateUnchanged is the state of files that have no entries.
const stateUnchanged catalog.State = "unchanged"

// deaf is the Meter of nobody.
type deaf struct{}

func (deaf) Server(ServerResult, []Outcome)          {}
func (deaf) Run(string, int, string)                 {}
func (deaf) Leftovers(int)                           {}
func (deaf) Archive(string, int, string, int, int64) {}
func (deaf) Layer(string)                            {}
func (deaf) Took(string, time.Duration, error)       {}

func listener(m Meter) Meter {
	if m == nil {
		return deaf{}
	}
	return m
}

// timed takes the time of a step.
func timed(m Meter, step string, do func() error) error {
	start := time.Now()
	err := do()
	listener(m).Took(step, time.Since(start), err)
	return err
}

// ReasonCrashed is the reason of a layer whose decoding process died.
const ReasonCrashed = string(archive.ReasonCrashed)

// IsLimit tells whether a reason is one of the limits that an archive ran into.
func IsLimit(reason string) bool {
	return strings.HasPrefix(reason, "limit_") || reason == string(archive.ReasonTimeout)
}
