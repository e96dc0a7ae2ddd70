// Package catalog is tiger's database: what was listed, collected, refused, extracted, from where, when, by which run. It is
// SQLite in WAL mode, so that two tiger workers on one host may share it, and it is the source of every report.
//
// Every write is one transaction and may be repeated: a second call with the same arguments leaves the same rows.
package catalog

import (
	"errors"
	"time"
)

// Errors of this package, always wrapped with what was asked for.
var (
	// ErrNoRow: the catalog holds no such run, entry, file or archive.
	ErrNoRow = errors.New("not in the catalog")
	// ErrNewerSchema: a newer Talon has changed this catalog in a way that this one does not understand; it must not touch it.
	ErrNewerSchema = errors.New("catalog was written by a newer Talon: update this one")
)

// State is what became of a listed file in one run.
type State string

// States of an Entry. After a run every entry of it is in one of the last four; unchanged files have no entry, only a count.
const (
	StatePending   State = "pending"
	StateCollected State = "collected"
	StateDeferred  State = "deferred"
	StateRefused   State = "refused"
	StateFailed    State = "failed"
)

// Listed is one file of a server's listing, as ListServer saw it. State is StatePending (wanted if new or changed),
// StateDeferred (left for the next run) or StateRefused; the last two carry a Reason.
type Listed struct {
	RawPath string // the server's bytes: the key
	Path    string // decoded, for people
	Size    int64
	ModTime time.Time
	// Precision of ModTime: LIST has minutes, and for files older than half a year only days. Times that agree in the coarser precision
	// of two listings are the same: a file must not look changed because it got old.
	Precision time.Duration
	// Alias is the same moment as the server's other kind of listing would show it, zero if unknown: LIST has the wall clock of a zone that
	// nobody names, MLSD has UTC (RFC 3659 section 2.3). A file that is known under it is the same file. It is not kept.
	Alias time.Time
	Line  string // raw listing line
	// Marker is the raw path of the done-marker that lies beside the file, "" if none does.
	Marker string
	State  State
	Reason string
	Detail string
}

// Reasons of what a plan itself defers.
const (
	ReasonNotStable = "not_stable" // it has not looked the same for long enough
	ReasonOverQuota = "over_quota" // the run takes no more of the server
)

// PlanOptions say what is to become of the lines of a listing beyond what they say themselves. The zero value takes them as they are.
type PlanOptions struct {
	// Excluded tells how many files of the server were kept out of the listing. It is asked once the listing has been read; nil is none.
	Excluded func() int
	Baseline Baseline
	// MaxFiles and MaxBytes bound what the run collects of the server, 0 does not: the oldest files first, then by raw path. What is over
	// is deferred with ReasonOverQuota. One file is always allowed, however large: it would wait for ever.
	MaxFiles int
	MaxBytes int64
	// Stable is how long a file must have had one size and modification time before it is collected; until then it is deferred with
	// ReasonNotStable. 0 asks for no proof.
	Stable time.Duration
	Now    time.Time // the present if zero
}

// Baseline says which files of a server's first listing ever are adopted: known from then on, in that version, without being collected.
type Baseline struct {
	Adopt  bool      // all of them
	Before time.Time // those modified before, if not zero; a file without a modification time is not
}

// Plan is the outcome of PlanListing.
type Plan struct {
	Books    Books
	Unstable int // of the deferred: those that are not stable yet
}

// Books are the counts of one server in one run. Listed = Unchanged + Deferred + Refused + Failed + Collected + Pending.
type Books struct {
	Listed    int   `json:"listed"`
	Excluded  int   `json:"excluded"` // kept out by include/exclude: not part of Listed
	Unchanged int   `json:"unchanged"`
	Deferred  int   `json:"deferred"`
	Refused   int   `json:"refused"`
	Failed    int   `json:"failed"`
	Collected int   `json:"collected"`
	Pending   int   `json:"pending"`
	Bytes     int64 `json:"bytes"`             // of the collected files
	Adopted   int   `json:"adopted,omitempty"` // of the unchanged files: those that this run adopted
}

// Add adds other's counts to b.
func (b *Books) Add(other Books) {
	b.Listed += other.Listed
	b.Excluded += other.Excluded
	b.Unchanged += other.Unchanged
	b.Deferred += other.Deferred
	b.Refused += other.Refused
	b.Failed += other.Failed
	b.Collected += other.Collected
	b.Pending += other.Pending
	b.Bytes += other.Bytes
	b.Adopted += other.Adopted
}

// Entry is a listed file that is new, changed, deferred or refused in one run.
type Entry struct {
	ID     int64
	Run    string
	Server string
	Listed
}

// Settled is what became of an entry of a page. State is StateCollected (then SHA256, Size, LocalPath are set, and Detail is a note
// for people, if there is one), StateDeferred, StateRefused or StateFailed (then Reason and Detail).
type Settled struct {
	EntryID   int64
	State     State
	SHA256    string
	Size      int64
	LocalPath string // relative to the zip directory: "branch-001/a~2.zip"
	Archive   bool   // hand it to eagle
	Reason    string
	Detail    string
}

// Page is one commit of a server's files.
type Page struct {
	Run    string
	Server string
	ZipDir string // absolute
	// Decompression is the ID of the decompress workflow that the page's archives are for.
	Decompression string
	// RemoteAction is what is to be done on the server with each collected file: "" | "delete" | "move" | "rename".
	RemoteAction string
	UnzipDir     string // absolute, where the page's archives are to be unpacked
	Files        []Settled
	// Completed are archives that were published before and that files of this page belong to, as further volumes: what was
	// said of them in this run, that a volume is missing, no longer holds. Only Path and Size are set.
	Completed []Archive
}

// RemoteAction is an action that is still to be done on the server for a collected file.
type RemoteAction struct {
	FileID  int64
	RawPath string
	Marker  string // raw path of the done-marker beside the file, as in Listed
	Action  string // "delete" | "move" | "rename"
	Size    int64
	ModTime time.Time
	// Precision of ModTime, as in Listed.
	Precision time.Duration
}

// ServerRow is the outcome of one server in one run.
type ServerRow struct {
	Run        string    `json:"run"`
	Server     string    `json:"server"`
	Result     int       `json:"result"`
	Reason     string    `json:"reason,omitempty"` // stable code, "" when all is well
	Detail     string    `json:"detail,omitempty"`
	Books      Books     `json:"books"`
	BufferPath string    `json:"buffer_path,omitempty"`
	Leftovers  int       `json:"leftovers,omitempty"` // staged files of dead attempts removed
	Warnings   []string  `json:"warnings,omitempty"`  // sentences for people; the first maxWarnings are kept
	Start      time.Time `json:"start_time,omitzero"`
	End        time.Time `json:"end_time,omitzero"`
}

// RunRow is the outcome of one run: a collection or a decompression of its own.
type RunRow struct {
	ID     string    `json:"id"`   // workflow ID: "collect/…" or "decompress/…"
	Kind   string    `json:"kind"` // KindCollect | KindDecompress
	Result int       `json:"result"`
	Reason string    `json:"reason,omitempty"`
	Detail string    `json:"detail,omitempty"`
	Start  time.Time `json:"start_time,omitzero"`
	End    time.Time `json:"end_time,omitzero"` // zero while it runs
	// Leftovers counts the staged files that the janitor removed before the run, because no attempt could own them.
	Leftovers int `json:"leftovers,omitempty"`
}

// Kinds of a run.
const (
	KindCollect    = "collect"
	KindDecompress = "decompress"
)

// Archive is one compressed file handed to eagle.
type Archive struct {
	ID            int64  `json:"id"`
	Decompression string `json:"decompression"` // workflow ID of its decompression
	Run           string `json:"run,omitempty"` // the collect run it came with; "" for a decompression of its own
	Server        string `json:"server,omitempty"`
	FileID        int64  `json:"file_id,omitempty"` // row in files, 0 if it was not collected by Talon
	ZipDir        string `json:"zip_dir"`
	Path          string `json:"path"` // relative to ZipDir: the key in reports
	Size          int64  `json:"size"`
	SHA256        string `json:"sha256,omitempty"` // "" until known
	UnzipDir      string `json:"unzip_dir,omitempty"`
	// From here on: the outcome, set by SaveExtraction.
	Done      bool      `json:"done"`
	UnzipPath string    `json:"unzip_path,omitempty"` // relative to UnzipDir, "" when nothing was published
	Result    int       `json:"result"`
	Reason    string    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	Host      string    `json:"host,omitempty"`
	Start     time.Time `json:"start_time,omitzero"`
	End       time.Time `json:"end_time,omitzero"`
	Failed    int       `json:"failed"`
	Received  int       `json:"received"`
	Bytes     int64     `json:"bytes"`
}

// Layer, Member and Refusal are the details of an extracted archive, as the engine reported them.
type (
	Layer struct {
		Path     string `json:"path"`
		Result   int    `json:"result"`
		Archives int    `json:"archives"`
		Files    int    `json:"files"`
		Reason   string `json:"reason,omitempty"`
		Detail   string `json:"detail,omitempty"`
	}
	Member struct {
		Layer   string
		Path    string // relative to the archive's UnzipPath
		RawName []byte
		Size    int64
		SHA256  string
	}
	Refusal struct {
		Layer   string
		Name    string
		RawName []byte
		Reason  string
		Detail  string
	}
)

// Extraction is the sealed outcome of one archive.
type Extraction struct {
	Archive Archive // ID and the outcome fields
	Layers  []Layer
	Members []Member
	Refused []Refusal
}

// Origin leads from an extracted file back to the line of the branch's listing.
type Origin struct {
	UnzipFile string // absolute path of the extracted file
	SHA256    string
	Layer     string // "a.zip/inner.tar.gz"
	Archive   string // relative path of the collected archive
	Server    string
	RawPath   string
	Line      string
	Run       string
	Collected time.Time
}
