// Package workflows holds Talon's workflows: CollectWorkflow, its child per server, DecompressWorkflow, and the small
// ReportWorkflow, LookupWorkflow and ProbeWorkflow that carry to the starter what the catalog holds and what servers can do. Workflow code is
// deterministic: it knows time, concurrency and the outside world only through workflow.* and the activities.
package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"

	"talon/activities"
)

// Prefixes of workflow IDs, which read like paths.
const (
	collectPrefix    = "collect/"
	serverPrefix     = "server/"
	decompressPrefix = "decompress/"
	reportPrefix     = "report/"
	probePrefix      = "probe/"
	lookupPrefix     = "lookup/"
	forgetPrefix     = "forget/"
	verifyPrefix     = "verify/"
	cleanPrefix      = "clean/"
)

// ProgressQuery is the name of the query that every workflow of a run answers with a Progress.
const ProgressQuery = "progress"

// CollectID returns the workflow ID of the collection with this key.
func CollectID(key string) string { return collectPrefix + key }

// ServerID returns the workflow ID of a server's collection. It is the same in every run: it is the lock that keeps two runs off
// one server.
func ServerID(server string) string { return serverPrefix + server }

// OwnDecompressID returns the workflow ID of a decompression that belongs to no collection.
func OwnDecompressID(key string) string { return decompressPrefix + key }

// DecompressID returns the workflow ID of the n-th decompression (1, 2, …) of a server in the run with this workflow ID.
func DecompressID(run, server string, n int) string {
	id := decompressPrefix + strings.TrimPrefix(run, collectPrefix) + "/" + server
	if n > 1 {
		id += fmt.Sprintf("/%d", n)
	}
	return id
}

// ReportID returns the workflow ID of one page of a report; nonce makes it unique.
func ReportID(run, nonce string) string { return reportPrefix + run + "/" + nonce }

// LookupID returns the workflow ID of one page of an answer to a lookup; what is LookupInput.What, and nonce makes it unique.
func LookupID(what, nonce string) string { return lookupPrefix + what + "/" + nonce }

// ProbeID returns the workflow ID of the n-th page (1, 2, …) of the probe with this key.
func ProbeID(key string, n int) string {
	if n > 1 {
		return fmt.Sprintf("%s%s/%d", probePrefix, key, n)
	}
	return probePrefix + key
}

// ForgetID returns the workflow ID of an order to forget files; nonce makes it unique.
func ForgetID(nonce string) string { return forgetPrefix + nonce }

// VerifyID returns the workflow ID of the verification with this key.
func VerifyID(key string) string { return verifyPrefix + key }

// FindingsID returns the workflow ID of the question for a page of what a verification found; nonce makes it unique.
func FindingsID(verification, nonce string) string { return verification + "/findings/" + nonce }

// CleanID returns the workflow ID of the cleaning with this key.
func CleanID(key string) string { return cleanPrefix + key }

// RunID returns the workflow ID for what a user calls a run: the ID itself or the key of a collection.
func RunID(name string) string {
	if strings.HasPrefix(name, collectPrefix) || strings.HasPrefix(name, decompressPrefix) {
		return name
	}
	return CollectID(name)
}

// Search attributes. They are set only where the server knows them (Plan.Settings.SearchAttributes).
var (
	AttributeServer = temporal.NewSearchAttributeKeyKeyword("TalonServer")
	AttributeRun    = temporal.NewSearchAttributeKeyKeyword("TalonRun")
	AttributeState  = temporal.NewSearchAttributeKeyKeyword("TalonState")
	AttributeResult = temporal.NewSearchAttributeKeyInt64("TalonResult")
	AttributeFiles  = temporal.NewSearchAttributeKeyInt64("TalonFiles")
	AttributeFailed = temporal.NewSearchAttributeKeyInt64("TalonFailed")
)

// States that workflows show in the progress query and in AttributeState.
const (
	StatePlanning = "planning"
	StateListing  = "listing"
	// StateWaitingForStability: files that may still be being written are looked at again.
	StateWaitingForStability = "waiting-for-stability"
	StateCollecting          = "collecting"
	StatePaused              = "paused" // by an operator
	StateExtracting          = "extracting"
	StateProbing             = "probing"
	StateVerifying           = "verifying"
	StateMending             = "mending"
	StateCleaning            = "cleaning"
	StateWaitingForEagle     = "waiting-for-eagle"
	// StateWaitingForGateway: eagles are there, but cannot get at tiger's directories.
	StateWaitingForGateway = "waiting-for-gateway"
	StateDone              = "done"
)

// CollectInput starts a collection.
type CollectInput struct {
	Servers []string `json:"servers,omitempty"` // empty: all of the configuration
	Buffer  string   `json:"buffer,omitempty"`  // absolute path: overrides where the zip warehouse lies
	// Shard marks the part of a long list that a child CollectWorkflow works on, for the run with the workflow ID Root.
	Shard *activities.Shard `json:"shard,omitempty"`
	Root  string            `json:"root,omitempty"`
	// Window overrides the plan's: the share of a shard.
	Window int `json:"window,omitempty"`
}

// CollectResult is the outcome of a collection in counts; the full lists are in the catalog (ReportWorkflow).
type CollectResult struct {
	Run     string           `json:"run"`
	Result  int              `json:"result"`
	Servers int              `json:"servers"`
	Good    int              `json:"good"` // servers with result 0
	Bad     int              `json:"bad"`  // servers with result 1
	Books   activities.Books `json:"books"`
	// Failures are the first servers with a reason (at most maxBriefs).
	Failures []Brief `json:"failures,omitempty"`
	// Decompressions names the servers whose archives went to eagle, with the number of workflows (DecompressID).
	Decompressions []Decompressions `json:"decompressions,omitempty"`
	Shards         []string         `json:"shards,omitempty"` // workflow IDs of the shards of a long list
	ZipDir         string           `json:"zip_dir"`
	Start          time.Time        `json:"start"`
	End            time.Time        `json:"end"`
}

// Decompressions counts the decompress workflows of a server in a run, and their archives.
type Decompressions struct {
	Server   string `json:"server"`
	Count    int    `json:"count"`
	Archives int    `json:"archives"`
}

// Brief is a finished server in a line.
type Brief struct {
	Server    string `json:"server"`
	Result    int    `json:"result"`
	Reason    string `json:"reason,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Collected int    `json:"collected"`
	Bytes     int64  `json:"bytes"`
}

// Progress answers ProgressQuery.
type Progress struct {
	State   string           `json:"state"`
	Servers int              `json:"servers,omitempty"` // planned
	Done    int              `json:"done"`              // servers, files or archives that are finished
	Total   int              `json:"total"`             // what Done grows to, as far as known
	Books   activities.Books `json:"books,omitzero"`    // finished servers
	// Finished are the servers that finished since the position asked for, at most maxBriefs; Position is where to go on.
	Finished []Brief `json:"finished,omitempty"`
	Position int     `json:"position,omitempty"`
	// Decompressions known so far, from the same position on.
	Decompressions []Decompressions `json:"decompressions,omitempty"`
}

// ServerInput starts the collection of one server.
type ServerInput struct {
	Run         string                    `json:"run"`
	Server      string                    `json:"server"`
	Connections int                       `json:"connections"`
	Settings    activities.ServerSettings `json:"settings"`
	// From here on: what one page hands to the next.
	Page           int              `json:"page,omitempty"`
	After          int64            `json:"after,omitempty"`
	Decompressions int              `json:"decompressions,omitempty"`
	Archives       int              `json:"archives,omitempty"`
	Leftovers      int              `json:"leftovers,omitempty"`
	Warnings       []string         `json:"warnings,omitempty"`
	Shrank         string           `json:"shrank,omitempty"`
	Books          activities.Books `json:"books,omitzero"`
	Start          time.Time        `json:"start,omitzero"`
	// What operators ordered: Paused until it is resumed; Again, after this page, the whole listing; Try is how often that came.
	Paused *Order `json:"paused,omitempty"`
	Again  bool   `json:"again,omitempty"`
	Try    int    `json:"try,omitempty"`
}

// DecompressInput starts a decompression: of a collection's page, or with Own set of a directory.
type DecompressInput struct {
	ZipDir    string `json:"zip_dir"`
	UnzipDir  string `json:"unzip_dir"`
	Own       bool   `json:"own,omitempty"`
	Recursive bool   `json:"recursive,omitempty"` // Own only: scan subdirectories too
	Server    string `json:"server,omitempty"`
	Run       string `json:"run,omitempty"`
	Archives  int    `json:"archives,omitempty"` // how many there will be, for progress
	// Deadline is the business deadline of each extraction; SearchAttributes as in ServerSettings. A run of its own gets both with
	// its plan.
	Deadline         time.Duration `json:"deadline,omitempty"`
	SearchAttributes bool          `json:"search_attributes,omitempty"`
	// From here on: what one page hands to the next.
	After  int64                 `json:"after,omitempty"`
	Totals activities.SealResult `json:"totals,omitzero"`
	Start  time.Time             `json:"start,omitzero"`
}

// DecompressResult is the outcome of a decompression in counts.
type DecompressResult struct {
	Result    int       `json:"result"`
	Total     int       `json:"total"`
	Succeeded int       `json:"succeeded"`
	Partly    int       `json:"partly"`
	Failed    int       `json:"failed"`
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
}

// ProbeInput starts a probe of servers, or continues one.
type ProbeInput struct {
	Servers []string `json:"servers,omitempty"` // empty: all of the configuration
	Write   bool     `json:"write,omitempty"`   // also store, rename and delete a file of the probe's own
	After   string   `json:"after,omitempty"`   // "" is the first page, then ProbePage.Next
}

// ProbePage is what the probes of one page of servers found, in the order of their names.
type ProbePage struct {
	Servers []activities.ServerProbe `json:"servers"`
	Next    string                   `json:"next,omitempty"` // "": this was the last page
}

// LookupInput is a question to tiger's catalog: exactly one field is set. Each has a cursor, for one page after the other.
type LookupInput struct {
	Servers *activities.ServersInput `json:"servers,omitempty"`
	Runs    *activities.RunsInput    `json:"runs,omitempty"`
	Files   *activities.FilesInput   `json:"files,omitempty"`
}

// Names of lookups.
const (
	LookupServers = "servers"
	LookupRuns    = "runs"
	LookupFiles   = "files"
)

// What names the question, "nothing" or "several" if it is not exactly one.
func (in LookupInput) What() string {
	var asked []string
	if in.Servers != nil {
		asked = append(asked, LookupServers)
	}
	if in.Runs != nil {
		asked = append(asked, LookupRuns)
	}
	if in.Files != nil {
		asked = append(asked, LookupFiles)
	}
	switch len(asked) {
	case 0:
		return "nothing"
	case 1:
		return asked[0]
	default:
		return "several"
	}
}

// LookupPage is the answer: the field of the same name is set.
type LookupPage struct {
	Servers *activities.ServersPage `json:"servers,omitempty"`
	Runs    *activities.RunsPage    `json:"runs,omitempty"`
	Files   *activities.FilesPage   `json:"files,omitempty"`
}

// VerifyInput starts a verification of the warehouses.
type VerifyInput struct {
	activities.VerifyOptions
	Fetch bool `json:"fetch,omitempty"` // have what is damaged or missing collected and extracted again
	// From here on: what one page hands to the next.
	From     activities.VerifyCursor `json:"from,omitzero"`
	Counts   activities.VerifyCounts `json:"counts,omitzero"`
	Total    int                     `json:"total,omitempty"`
	Verified bool                    `json:"verified,omitempty"` // all is read: what was found is being mended
	After    int64                   `json:"after,omitempty"`    // the last finding that was
	Mended   Mended                  `json:"mended,omitzero"`
	// Extractions are started when all is mended.
	Extractions []activities.MendExtraction `json:"extractions,omitempty"`
	Start       time.Time                   `json:"start,omitzero"`
	Known       bool                        `json:"known,omitempty"` // the server knows Talon's search attributes
}

// Mended is what a verification has begun about what it found.
type Mended struct {
	Aside     int `json:"aside"`     // damaged files that were set aside
	Forgotten int `json:"forgotten"` // collected files to be fetched again
	Again     int `json:"again"`     // extracted files to be extracted again
	Hopeless  int `json:"hopeless"`  // findings that nothing can be done about; each says why
	// Servers to collect from, sorted; more than maxFetched of them stand for all, and then there is none.
	Servers    []string `json:"servers,omitempty"`
	AllServers bool     `json:"all_servers,omitempty"`
	// Collection and Decompressions are the workflow IDs of what was started.
	Collection     string   `json:"collection,omitempty"`
	Decompressions []string `json:"decompressions,omitempty"`
}

// VerifyResult is the outcome of a verification in counts; what it found is in the catalog (FindingsWorkflow).
type VerifyResult struct {
	Verification string                  `json:"verification"`
	Result       int                     `json:"result"` // of what was found, before it was mended
	Counts       activities.VerifyCounts `json:"counts"`
	Mended       *Mended                 `json:"mended,omitempty"`
	Start        time.Time               `json:"start"`
	End          time.Time               `json:"end"`
}

// CleanInput starts a cleaning.
type CleanInput struct {
	activities.CleanOptions
	// From here on: what one page hands to the next.
	From  activities.VerifyCursor     `json:"from,omitzero"`
	Spent map[string]activities.Spent `json:"spent,omitempty"`
	Start time.Time                   `json:"start,omitzero"`
}

// CleanResult is what a cleaning removed, or would remove, by kind (activities.CleanVersions and its kin).
type CleanResult struct {
	Cleaning string                      `json:"cleaning"`
	Meant    bool                        `json:"meant"`
	Spent    map[string]activities.Spent `json:"spent"`
	Start    time.Time                   `json:"start"`
	End      time.Time                   `json:"end"`
}
