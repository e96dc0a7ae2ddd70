// Package activities holds the activities of Talon's two roles: Tiger, which lists, downloads, publishes and seals, and Eagle,
// which extracts. They join the engines of internal/ to Temporal: inputs and results are small, versionable structs without
// file contents or secrets, and every error leaves through Classify.
package activities

import (
	"time"

	"talon/internal/catalog"
)

// Task queues. Only workers of the role of the same name poll them.
const (
	TigerQueue = "tiger"
	EagleQueue = "eagle"
)

// Result codes of servers, archives and runs.
const (
	Success = 0
	Failed  = 1
	Partial = 2
)

// Books are the counts of one server in one run.
type Books = catalog.Books

// ReportPage is one page of a run's full report.
type ReportPage = catalog.ReportPage

// PlanInput asks which servers a run collects.
type PlanInput struct {
	Run     string   `json:"run"` // workflow ID of the root collection
	Servers []string `json:"servers,omitempty"`
	// From (inclusive) and Until (exclusive) bound a shard of a list too long for one workflow; "" is open.
	From   string `json:"from,omitempty"`
	Until  string `json:"until,omitempty"`
	Buffer string `json:"buffer,omitempty"` // absolute path of another zip warehouse
}

// Plan is what a run works on: the servers of one workflow, or the shards they are divided into.
type Plan struct {
	Servers  []PlannedServer `json:"servers,omitempty"`
	Shards   []Shard         `json:"shards,omitempty"`
	Window   int             `json:"window"`   // server children in flight
	Deadline time.Duration   `json:"deadline"` // of the collect run
	Settings ServerSettings  `json:"settings"`
	// Leftovers counts the staged files that the janitor removed before the run, because no attempt can own them.
	Leftovers int `json:"leftovers,omitempty"`
	// Orphans are decompressions of earlier runs that are to be started again.
	Orphans []Orphan `json:"orphans,omitempty"`
}

// PlannedServer is one server of a plan.
type PlannedServer struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"` // downloads at a time
}

// Shard is a range of server names: From inclusive, Until exclusive, "" is open.
type Shard struct {
	From  string `json:"from,omitempty"`
	Until string `json:"until,omitempty"`
}

// ServerSettings are what a server's workflow needs to know of the configuration: no secrets, no names.
type ServerSettings struct {
	ZipDir    string `json:"zip_dir"`    // absolute, on tiger
	UnzipDir  string `json:"unzip_dir"`  // absolute, on tiger
	PageFiles int    `json:"page_files"` // files listed, downloaded and committed together
	SmallFile int64  `json:"small_file"` // bytes; up to here a file is tried as a local activity first
	// ExtractDeadline is how long a decompression may wait for eagle and work.
	ExtractDeadline time.Duration `json:"extract_deadline"`
	// SearchAttributes says that the server knows Talon's search attributes, so that workflows may set them.
	SearchAttributes bool `json:"search_attributes,omitempty"`
}

// ListInput asks for a page of a server's new and changed files. After is 0 for the first page, which lists the server; later
// pages continue that same listing.
type ListInput struct {
	Run       string `json:"run"`
	Server    string `json:"server"`
	After     int64  `json:"after,omitempty"`
	PageFiles int    `json:"page_files"`
	Try       int    `json:"try,omitempty"` // see visit
}

// FilePage is a page of files to download.
type FilePage struct {
	Files     []FileRef `json:"files,omitempty"`
	More      bool      `json:"more,omitempty"`
	Books     Books     `json:"books"`
	Leftovers int       `json:"leftovers,omitempty"` // staged files of dead attempts that were removed
	// Recheck asks to list once more after so long, because files are not known to be stable yet.
	Recheck time.Duration `json:"recheck,omitempty"`
	// Warnings and Shrank belong into the server's row (ServerEnd).
	Warnings []string `json:"warnings,omitempty"`
	Shrank   string   `json:"shrank,omitempty"`
}

// FileRef names a listed file by its row in the catalog; the raw remote name stays there.
type FileRef struct {
	ID   int64  `json:"id"`
	Name string `json:"name"` // for people
	Size int64  `json:"size"`
}

// DownloadInput asks for one file.
type DownloadInput struct {
	Run    string `json:"run"`
	Server string `json:"server"`
	FileRef
	Try int `json:"try,omitempty"` // see visit
}

// Download is a staged file, not yet synced and not visible.
type Download struct {
	Staged string `json:"staged"` // name in the run's stage directory of the server
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Note   string `json:"note,omitempty"` // what the server contradicted itself in, and why the file is believed all the same
}

// FileOutcome is what became of one file of a page: a Download, or the State and Reason of its absence.
type FileOutcome struct {
	ID       int64     `json:"id"`
	Download *Download `json:"download,omitempty"`
	State    string    `json:"state,omitempty"` // catalog.State: deferred or failed
	Reason   string    `json:"reason,omitempty"`
	Detail   string    `json:"detail,omitempty"`
}

// MissingFile is the outcome of a file that could not be downloaded. One that changed while it was read is left to the next run.
func MissingFile(id int64, err error) FileOutcome {
	outcome := FileOutcome{ID: id, State: string(catalog.StateFailed)}
	outcome.Reason, outcome.Detail = ReasonOf(err)
	if outcome.Reason == ReasonChanged {
		outcome.State = string(catalog.StateDeferred)
	}
	return outcome
}

// LostFiles are the outcomes of files whose staged data was lost again and again.
func LostFiles(ids []int64) []FileOutcome {
	outcomes := make([]FileOutcome, len(ids))
	for i, id := range ids {
		outcomes[i] = FileOutcome{
			ID: id, State: string(catalog.StateFailed), Reason: ReasonStagedLost,
			Detail: "the downloaded data was lost before it was safe on disk; the next run fetches it again",
		}
	}
	return outcomes
}

// CommitInput publishes a page and, with Close set, ends the server's part of the run.
type CommitInput struct {
	Run           string        `json:"run"`
	Server        string        `json:"server"`
	ZipDir        string        `json:"zip_dir"`
	UnzipDir      string        `json:"unzip_dir"`
	Decompression string        `json:"decompression"` // ID of the workflow that will extract this page's archives
	Files         []FileOutcome `json:"files,omitempty"`
	Close         *ServerEnd    `json:"close,omitempty"`
	Try           int           `json:"try,omitempty"` // see visit
}

// ServerEnd closes a server's books. Files still pending get the state failed with Reason.
type ServerEnd struct {
	Reason    string    `json:"reason,omitempty"` // "" when the server was worked through
	Detail    string    `json:"detail,omitempty"`
	Leftovers int       `json:"leftovers,omitempty"`
	Start     time.Time `json:"start"`
	Warnings  []string  `json:"warnings,omitempty"`
	Shrank    string    `json:"shrank,omitempty"` // the listing may have been cut short: a sentence
}

// CommitResult says what was published.
type CommitResult struct {
	Archives int           `json:"archives,omitempty"` // of this page, waiting for extraction
	Lost     []int64       `json:"lost,omitempty"`     // staged data that a crash or a failed sync took: fetch again
	Row      *ServerResult `json:"row,omitempty"`      // set when the input had Close
}

// ServerResult is the outcome of one server in one run.
type ServerResult struct {
	Server         string    `json:"server"`
	Result         int       `json:"result"`
	Reason         string    `json:"reason,omitempty"` // stable code
	Detail         string    `json:"detail,omitempty"` // a sentence
	Books          Books     `json:"books"`
	Archives       int       `json:"archives,omitempty"`       // sent to eagle
	Decompressions int       `json:"decompressions,omitempty"` // decompress workflows started
	Try            int       `json:"try,omitempty"`            // how often an operator had it tried again
	Warnings       []string  `json:"warnings,omitempty"`       // what is well, but should be looked at
	Start          time.Time `json:"start"`
	End            time.Time `json:"end"`
}

// CloseRunInput writes a run's outcome and the rows of servers whose own workflow wrote none.
type CloseRunInput struct {
	Run     string         `json:"run"`
	Result  int            `json:"result"`
	Reason  string         `json:"reason,omitempty"`
	Detail  string         `json:"detail,omitempty"`
	Start   time.Time      `json:"start"`
	ZipDir  string         `json:"zip_dir"`
	Servers []ServerResult `json:"servers,omitempty"`
	Shard   bool           `json:"shard,omitempty"` // only rows: the root writes the run itself
}

// ReportInput asks for a page of a run's full report.
type ReportInput struct {
	Run    string `json:"run"`
	Cursor string `json:"cursor,omitempty"` // "" is the first page, then ReportPage.Next
}
