package activities

import (
	"time"

	"talon/internal/catalog"
)

// Finding is something that a verification found not to be as it should be.
type Finding = catalog.Finding

// Areas of a verification.
const (
	AreaZip   = catalog.AreaZip
	AreaUnzip = catalog.AreaUnzip
)

// VerifyOptions say what a verification looks at, and how fast.
type VerifyOptions struct {
	catalog.Scope
	Area string `json:"area,omitempty"` // AreaZip or AreaUnzip; "" is both
	Rate int64  `json:"rate,omitempty"` // bytes per second that are read at most; 0 is as fast as it goes
}

// VerifyInput asks for a page of a verification.
type VerifyInput struct {
	Verification string `json:"verification"` // workflow ID
	VerifyOptions
	From VerifyCursor `json:"from,omitzero"` // where to begin; zero is the start
}

// VerifyCursor is how far a verification is: within its Phase, after the row ID and the Path.
type VerifyCursor struct {
	Phase int    `json:"phase,omitempty"`
	ID    int64  `json:"id,omitempty"`
	Path  []byte `json:"path,omitempty"` // names on disk need not be UTF-8
}

// VerifyPage is what a page found, in numbers; what is not as it should be is in the catalog.
type VerifyPage struct {
	Counts VerifyCounts `json:"counts"`
	Total  int          `json:"total,omitempty"` // files that the whole verification will check, on the first page
	Next   VerifyCursor `json:"next,omitzero"`
	Done   bool         `json:"done,omitempty"` // this was the last page
	// SearchAttributes says that the server knows Talon's search attributes.
	SearchAttributes bool `json:"search_attributes,omitempty"`
}

// VerifyCounts add up: Checked = Intact + Damaged + Missing + Unreadable. The others count what the catalog has no row for, or no file of.
type VerifyCounts struct {
	Checked    int   `json:"checked"`
	Intact     int   `json:"intact"`
	Damaged    int   `json:"damaged"`
	Missing    int   `json:"missing"`
	Unreadable int   `json:"unreadable"`
	Bytes      int64 `json:"bytes"`   // of the checked files that could be compared
	Unknown    int   `json:"unknown"` // files that the catalog does not know
	// Unsettled are files that the catalog does not know yet, in directories of servers that are being worked on: nothing can be said of them.
	Unsettled int `json:"unsettled"`
	Aside     int `json:"aside"` // damaged files that were set aside before
	Stuck     int `json:"stuck"` // archives that wait for a decompression that is not running any more
}

// Add adds other's counts to c.
func (c *VerifyCounts) Add(other VerifyCounts) {
	c.Checked += other.Checked
	c.Intact += other.Intact
	c.Damaged += other.Damaged
	c.Missing += other.Missing
	c.Unreadable += other.Unreadable
	c.Bytes += other.Bytes
	c.Unknown += other.Unknown
	c.Unsettled += other.Unsettled
	c.Aside += other.Aside
	c.Stuck += other.Stuck
}

// Code is the result: Success if every file that was checked is intact and no archive is stuck, Failed if none is. Unknown files are no fault
// of the warehouse.
func (c VerifyCounts) Code() int {
	switch {
	case c.Intact == c.Checked && c.Stuck == 0:
		return Success
	case c.Intact == 0 && c.Checked > 0:
		return Failed
	default:
		return Partial
	}
}

// FindingsInput asks for a page of what a verification found.
type FindingsInput struct {
	Verification string `json:"verification"`
	After        int64  `json:"after,omitempty"` // ID of the last finding of the page before
}

// FindingsPage is a page of what a verification found.
type FindingsPage struct {
	Findings []Finding `json:"findings"`
	More     bool      `json:"more,omitempty"`
}

// MendInput asks to begin the mending of a page of findings.
type MendInput struct {
	Verification string `json:"verification"`
	// Decompression is the workflow ID that the archives to be extracted again are queued for, followed by a number for each pair of directories.
	Decompression string    `json:"decompression"`
	After         int64     `json:"after,omitempty"`
	Now           time.Time `json:"now"` // the same for every attempt: part of names
	// Extractions are those of the pages before.
	Extractions []MendExtraction `json:"extractions,omitempty"`
}

// MendPage is what is to be done after a page of findings was mended as far as tiger can.
type MendPage struct {
	Aside     int      `json:"aside,omitempty"`     // damaged files that were set aside
	Forgotten int      `json:"forgotten,omitempty"` // collected files that are to be fetched again
	Again     int      `json:"again,omitempty"`     // extracted files that are to be extracted again
	Hopeless  int      `json:"hopeless,omitempty"`  // findings that cannot be mended
	Servers   []string `json:"servers,omitempty"`   // to collect from
	// Extractions are to be started after the last page, for the archives that were queued: those of the pages before, and new ones.
	Extractions []MendExtraction `json:"extractions,omitempty"`
	Next        int64            `json:"next,omitempty"` // 0: this was the last page
	Deadline    time.Duration    `json:"deadline,omitempty"`
}

// MendExtraction is a decompression of archives that lie in one directory, into another.
type MendExtraction struct {
	ZipDir   string `json:"zip_dir"`
	UnzipDir string `json:"unzip_dir"`
	ID       string `json:"id"` // workflow ID
}
